"""Tracks: the columns of numbers that features read.

A feature's function wants numbers over time. A gauge gives them as it is; a state, alarm or context gives 1 while it
is what the feature asks for and else 0; a waveform gives one number a burst, such as the amplitude at twice the running
speed. So everything after this module knows only numbers over time, whatever the signal was.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import FeatureConfig, PipelineConfig, SpectrumConfig
from wheeltapper_api.kinds.assetclass import Function, SignalKind
from wheeltapper_workers.features.spectra import Measure
from wheeltapper_workers.runtime.blocks import Codes

F64 = npt.NDArray[np.float64]

HELD: Final = frozenset({Function.SHARE, Function.CHANGES, Function.INCREASE})
"""Functions that need the value a signal had when the window began."""


@dataclass(frozen=True, slots=True)
class Track:
    """What is read of a signal: its numbers, whether it equals something, or a measure of its bursts."""

    signal: str
    equals: float | str | None = None
    measure: Measure | None = None
    speed: str | None = None
    """The signal with the running speed, where the measure needs it."""
    speed_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How a feature reads: its tracks (one, or two that are compared) and the function over the window."""

    tracks: tuple[int, ...]
    function: Function


class Tracks:
    """Tracks of a pipeline, and which of them each feature reads."""

    def __init__(self, pipeline: PipelineConfig) -> None:
        kinds = {signal.name: signal.kind for signal in pipeline.signals}
        found: dict[Track, int] = {}
        readings: list[Reading] = []
        for feature in pipeline.features:
            tracks = [track_of(feature, name, kinds[name]) for name in signals_of(feature)]
            positions = tuple(found.setdefault(track, len(found)) for track in tracks)
            readings.append(Reading(positions, Function.MEAN if tracks[0].measure else feature.function))
        for track in list(found):
            if track.speed is not None:
                found.setdefault(Track(track.speed), len(found))
        self.all: tuple[Track, ...] = tuple(found)
        self.index = found
        self.readings: tuple[Reading, ...] = tuple(readings)
        self.bursts = tuple(sorted({track.signal for track in self.all if track.measure}))
        """Waveform signals that a feature reads."""
        self.window_ns = self._windows(pipeline)
        held = {position for reading in readings if reading.function in HELD for position in reading.tracks}
        self.carried = np.array([position in held for position in range(len(self.all))], np.bool_)
        """Tracks whose last value before a window counts in it."""

    def __len__(self) -> int:
        return len(self.all)

    def _windows(self, pipeline: PipelineConfig) -> npt.NDArray[np.int64]:
        """Longest window in which each track is read, in ns; a burst looks back for its running speed, too."""
        longest = np.full(len(self.all), pipeline.every_ns, np.int64)
        for feature, reading in zip(pipeline.features, self.readings, strict=True):
            for position in reading.tracks:
                longest[position] = max(longest[position], feature.window_ns)
                track = self.all[position]
                if track.speed is not None:
                    speed = self.index[Track(track.speed)]
                    longest[speed] = max(longest[speed], SPEED_MEMORY_NS)
        return longest

    def plain(self) -> Iterator[tuple[int, Track]]:
        """Tracks that are read of plain samples."""
        return ((position, track) for position, track in enumerate(self.all) if track.measure is None)

    def of_waveform(self, signal: str) -> list[tuple[int, Track]]:
        """Tracks of a waveform signal."""
        return [(i, track) for i, track in enumerate(self.all) if track.measure and track.signal == signal]


SPEED_MEMORY_NS: Final = 60 * 10**9
"""A burst takes the newest running speed that is at most this old."""


def signals_of(feature: FeatureConfig) -> list[str]:
    """Signals a feature reads: its own and the one it is compared with."""
    return [name for name in (feature.of, feature.minus or feature.over) if name]


def track_of(feature: FeatureConfig, signal: str, kind: SignalKind) -> Track:
    """Track that a feature reads of a signal."""
    if kind is not SignalKind.WAVEFORM:
        return Track(signal, feature.equals)
    spectrum = feature.spectrum or SpectrumConfig()
    measure = Measure(
        function=feature.function.value,
        envelope=spectrum.envelope,
        band=spectrum.band,
        orders=tuple(spectrum.orders),
        tolerance=spectrum.tolerance,
    )
    return Track(signal, None, measure, spectrum.speed, spectrum.speed_scale)


def as_numbers(value: F64, text: Codes) -> F64:
    """Numbers of a track that is read as it is.

    A text stands as a number that only equal texts share, so that its changes can be counted.
    """
    if not text.names:
        return value
    marks = np.array([*(float(zlib.crc32(name.encode())) for name in text.names), np.nan], np.float64)
    return np.where(np.isnan(value), marks[text.codes], value)


def indicator(track: Track, value: F64, text: Codes) -> F64:
    """1 while the signal equals what the track asks for, else 0; NaN where it has no value."""
    if isinstance(track.equals, float):
        return np.where(np.isnan(value), np.nan, (value == track.equals).astype(np.float64))
    wanted = np.array([*(name == track.equals for name in text.names), False], np.float64)
    return np.asarray(wanted[text.codes], np.float64)
