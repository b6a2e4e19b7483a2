"""Measures of waveform bursts: levels, spectral lines, orders of the running speed, envelopes; batched over bursts.

A burst's numbers depend on that burst alone, to the bit: transforms go row by row inside NumPy, every sum is one of
:func:`~wheeltapper_workers.features.statistics.segment_statistics`, and absolute values are spelled out, since library
functions round differently with the width of the processor's vectors.

Lines are those of the periodic Hann window (Harris 1978): a tone of amplitude A shows as A on its line and A/2 on both
neighbours, so the squares of its main lobe sum to 1.5 A^2. Dividing by 1.5, the window's equivalent noise bandwidth in
lines, turns a sum of squares back into the amplitude of a tone or, halved, the power of noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from wheeltapper_workers.features.statistics import FUNCTIONS, segment_statistics

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Band = tuple[float, float]

SPECTRAL: Final = ("rms", "peak-amplitude", "peak-frequency", "order-amplitude")
"""Functions of the spectrum; the others are statistics of the samples."""
_SHORTEST: Final = 8
_LOBE: Final = 2
"""Lines on each side that belong to a tone."""
_NOISE_BANDWIDTH: Final = 1.5
_CHUNK_SAMPLES: Final = 2**18


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured of a burst.

    ``envelope`` is the band, in Hz, that is demodulated first; ``band``, in Hz, or ``orders``, multiples of the running
    speed, choose the part of the spectrum; ``tolerance`` is half the width around an order as a share of it.
    """

    function: str
    envelope: Band | None = None
    band: Band | None = None
    orders: tuple[float, ...] = ()
    tolerance: float = 0.0

    @property
    def of_spectrum(self) -> bool:
        """Whether it is read off spectral lines; the other ones are statistics of the samples."""
        return self.function not in FUNCTIONS or (self.function == "rms" and bool(self.band or self.orders))


def measures(bursts: Floats, rate_hz: float, speed_hz: Floats, wanted: Sequence[Measure]) -> Floats:
    """Measures of bursts of equal length.

    Parameters
    ----------
    bursts : float64 [n, samples]
    rate_hz : float
        Samples per second.
    speed_hz : float64 [n]
        Running speed; NaN where it is not known.
    wanted : sequence of Measure

    Returns
    -------
    float64 [n, len(wanted)]
        In the bursts' unit, ``peak-frequency`` in Hz, ratios without one. Amplitudes are peak values of a tone,
        ``rms`` about the mean where a band or orders are given. NaN for a burst with a sample that is not finite or
        with fewer than 8 samples, for orders without a running speed or beyond half the sample rate, and for bands
        without a line.
    """
    count, length = bursts.shape
    result = np.full((count, len(wanted)), np.nan)
    if length < _SHORTEST or not rate_hz > 0:
        return result
    sound = np.flatnonzero(np.isfinite(bursts).all(axis=1))
    step = max(1, _CHUNK_SAMPLES // length)
    for first in range(0, len(sound), step):
        rows = sound[first : first + step]
        result[rows] = _measured(np.ascontiguousarray(bursts[rows]), rate_hz, speed_hz[rows], wanted)
    return result


def _measured(bursts: Floats, rate_hz: float, speed_hz: Floats, wanted: Sequence[Measure]) -> Floats:
    columns: list[Floats] = [np.empty(0)] * len(wanted)
    for envelope in dict.fromkeys(measure.envelope for measure in wanted):
        signal = bursts if envelope is None else envelopes(bursts, rate_hz, envelope)
        chosen = [(i, measure) for i, measure in enumerate(wanted) if measure.envelope == envelope]
        plain = [(i, measure) for i, measure in chosen if not measure.of_spectrum]
        table = _statistics(signal, [measure.function for _, measure in plain])
        for column, (i, _) in enumerate(plain):
            columns[i] = table[:, column]
        if len(plain) < len(chosen):
            squares = _Squares(signal, rate_hz)
            for i, measure in chosen:
                if measure.of_spectrum:
                    columns[i] = squares.measure(measure, speed_hz)
    return np.stack(columns, axis=1)


def _statistics(signal: Floats, functions: Sequence[str]) -> Floats:
    count, length = signal.shape
    starts = np.arange(count) * length
    return segment_statistics(
        signal.reshape(-1), np.zeros(count * length, np.int64), starts, starts + length, functions
    )


def envelopes(bursts: Floats, rate_hz: float, band: Band) -> Floats:
    """Envelope of the part of each burst within a band (Hz), less its mean: the magnitude of the analytic signal.

    Impacts of a damaged bearing ring a resonance; its envelope repeats at the defect's frequency (ISO 13373-3, annex on
    rolling-element bearings).
    """
    length = bursts.shape[1]
    lines = np.fft.rfft(bursts, axis=1)
    frequency = np.arange(lines.shape[1]) * (rate_hz / length)
    lines[:, (frequency < band[0]) | (frequency > band[1])] = 0.0
    one_sided = np.zeros(bursts.shape, np.complex128)
    one_sided[:, : lines.shape[1]] = 2.0 * lines
    envelope = _magnitude(np.fft.ifft(one_sided, axis=1))
    return envelope - _statistics(envelope, ["mean"])


def _magnitude(numbers: npt.NDArray[np.complex128]) -> Floats:
    return np.asarray(np.sqrt(numbers.real * numbers.real + numbers.imag * numbers.imag))


class _Squares:
    """Squared amplitudes of the lines of bursts, [n, lines], from the line after 0 Hz on."""

    def __init__(self, signal: Floats, rate_hz: float) -> None:
        count, length = signal.shape
        window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)
        lines = np.fft.rfft((signal - _statistics(signal, ["mean"])) * window, axis=1)
        amplitude = _magnitude(lines) * (4.0 / length)
        self.line_hz = rate_hz / length
        self.lines = amplitude.shape[1]
        self.count = count
        self.squares = amplitude * amplitude
        self.squares[:, 0] = 0.0

    def measure(self, measure: Measure, speed_hz: Floats) -> Floats:
        """One measure of all bursts."""
        if measure.orders:
            power = self._orders(measure, speed_hz)
            return np.sqrt(power if measure.function == "order-amplitude" else power / 2.0)
        low, high = measure.band or (0.0, np.inf)
        first = max(1, int(np.ceil(low / self.line_hz)))
        last = min(self.lines, int(np.floor(min(high, self.lines * self.line_hz) / self.line_hz)) + 1)
        if first >= last:
            return np.full(self.count, np.nan)
        if measure.function == "rms":
            bounds = np.full(self.count, first), np.full(self.count, last)
            return np.sqrt(self._sum(*bounds) / 2.0)
        return self._peak(measure.function, first, last)

    def _orders(self, measure: Measure, speed_hz: Floats) -> Floats:
        """Squared amplitude of all orders together."""
        total = np.zeros(self.count)
        for order in measure.orders:
            centre = order * speed_hz / self.line_hz
            within = np.isfinite(centre) & (centre >= 1.0) & (centre <= self.lines - 1)
            line = np.where(within, centre, 1.0)
            half = np.maximum(measure.tolerance * line, _LOBE)
            first = np.maximum(np.ceil(line - half), 1.0).astype(np.int64)
            last = np.minimum(np.floor(line + half) + 1.0, self.lines).astype(np.int64)
            total += np.where(within, self._sum(first, last), np.nan)
        return total

    def _sum(self, first: Integers, last: Integers) -> Floats:
        """Power of the lines ``first`` to ``last`` (excluded) of each burst, as the square of a tone's amplitude."""
        offset = np.arange(self.count) * self.lines
        flat = self.squares.reshape(-1)
        mean = segment_statistics(flat, np.zeros(len(flat), np.int64), offset + first, offset + last, ["mean"])[:, 0]
        return np.asarray(mean * (last - first) / _NOISE_BANDWIDTH)

    def _peak(self, function: str, first: int, last: int) -> Floats:
        """Amplitude or frequency of the largest line of a band, from the lines of its lobe."""
        line = np.argmax(self.squares[:, first:last], axis=1) + first
        if function == "peak-amplitude":
            return np.sqrt(self._sum(np.maximum(line - _LOBE, 1), np.minimum(line + _LOBE + 1, self.lines)))
        rows = np.arange(self.count)
        amplitude = np.sqrt(self.squares)
        before = amplitude[rows, np.maximum(line - 1, 0)]
        after = amplitude[rows, np.minimum(line + 1, self.lines - 1)]
        largest = amplitude[rows, line]
        higher = after > before
        neighbour = np.where(higher, after, before)
        # Offset from the line, from the ratio of the two largest lines of the window's lobe.
        ratio = np.divide(neighbour, largest, out=np.full(self.count, 0.5), where=largest > 0)
        away = (2.0 * ratio - 1.0) / (ratio + 1.0)
        found = (line + np.where(higher, away, -away)) * self.line_hz
        return np.where(largest > 0, found, np.nan)
