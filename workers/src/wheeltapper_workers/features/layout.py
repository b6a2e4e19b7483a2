"""Positions of a line's assets, tracks and features, worked out once a config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import LineConfig
from wheeltapper_api.kinds.assetclass import Function, SignalKind
from wheeltapper_workers.features.modes import Modes
from wheeltapper_workers.features.tracks import HELD, Tracks
from wheeltapper_workers.runtime.blocks import Positions
from wheeltapper_workers.software import SOFTWARE

_FOREVER_NS = 10**18
_MOST_AT_FIRST = 2048


@dataclass(frozen=True, slots=True)
class Group:
    """Tracks of which the same functions are wanted over the same window, so that they are done in one call."""

    window_ns: int
    tracks: tuple[int, ...]
    functions: tuple[Function, ...]
    held: bool


class Layout:
    """Positions of a line's assets, tracks and features. A series is ``asset * len(tracks) + track``."""

    def __init__(self, config: LineConfig) -> None:
        pipeline = config.pipeline
        self.config = config
        self.pipeline = pipeline
        self.assets = [asset.name for asset in config.assets]
        self.asset_index = {name: position for position, name in enumerate(self.assets)}
        self.tracks = Tracks(pipeline)
        self.width = len(self.tracks)
        self.plain = any(signal.kind is not SignalKind.WAVEFORM for signal in pipeline.signals)
        """Whether anything but bursts comes."""
        self.asset_positions = Positions(self.asset_index)
        self.number_positions = Positions({t.signal: i for i, t in self.tracks.plain() if t.equals is None})
        """Track of each signal that is read as it is."""
        self.equals = [(position, track) for position, track in self.tracks.plain() if track.equals is not None]
        self.indicator = np.array([track.equals is not None for track in self.tracks.all], np.bool_)
        self.modes = Modes(pipeline.modes, {feature.name: i for i, feature in enumerate(pipeline.features)})
        self.groups = tuple(self._groups())
        self.place = {
            (group.window_ns, track, function): (number, row, column)
            for number, group in enumerate(self.groups)
            for row, track in enumerate(group.tracks)
            for column, function in enumerate(group.functions)
        }
        """Group, row and column in which a function of a track over a window is found."""
        self.longest_ns = int(self.tracks.window_ns.max())
        signals = [track.signal for track in self.tracks.all]
        self.interval_ns = _by_series([[a.signals.get(s, np.nan) for s in signals] for a in config.assets])
        """Expected time between samples of every series; NaN for a signal that an asset does not have."""
        self.stale_ns = _by_series([[a.stale_after_ns.get(s, _FOREVER_NS) for s in signals] for a in config.assets])
        expected = np.nan_to_num(np.tile(self.tracks.window_ns, len(self.assets)) / self.interval_ns, nan=0.0)
        self.capacity = np.minimum(2 * expected + 16, _MOST_AT_FIRST).astype(np.int64)
        """Room for the samples of every series, if they come as promised."""
        self.metadata = {
            "pipeline_digest": pipeline.digest,
            "features": json.dumps([feature.name for feature in pipeline.features]),
            "units": json.dumps([feature.unit for feature in pipeline.features]),
            "software": json.dumps(SOFTWARE),
        }

    def _groups(self) -> Iterator[Group]:
        wanted: dict[tuple[int, int, bool], set[Function]] = {}
        for feature, reading in zip(self.pipeline.features, self.tracks.readings, strict=True):
            for track in reading.tracks:
                key = (feature.window_ns, track, reading.function in HELD)
                wanted.setdefault(key, set()).add(reading.function)
        alike: dict[tuple[int, bool, tuple[Function, ...]], list[int]] = {}
        for (window_ns, track, held), functions in sorted(wanted.items()):
            alike.setdefault((window_ns, held, tuple(sorted(functions))), []).append(track)
        for (window_ns, held, names), tracks in alike.items():
            yield Group(window_ns, tuple(tracks), names, held)


def _by_series(rows: list[list[float]]) -> npt.NDArray[np.float64]:
    return np.array(rows, np.float64).reshape(-1)
