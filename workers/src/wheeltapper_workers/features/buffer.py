"""Samples waiting for their windows, as columns over all series of a line.

A series is one signal of one asset, numbered ``asset * signals + signal``. The buffer is kept sorted by series, source
time and ordinal, so that a window of a series is a slice.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

_COLUMNS: Final[dict[str, Any]] = {
    "series": np.int64,
    "time": np.int64,
    "ordinal": np.int64,
    "value": np.float64,
    "quality": np.int64,
    "sequence": np.int64,
    "received": np.int64,
}


@dataclass(slots=True)
class Samples:
    """Columns of equal length: series, source time (ns), ordinal, value, quality, block sequence, receive time (ns)."""

    series: I64
    time: I64
    ordinal: I64
    value: F64
    quality: I64
    sequence: I64
    received: I64

    @classmethod
    def empty(cls) -> Samples:
        """No samples."""
        return cls(**{name: np.empty(0, dtype) for name, dtype in _COLUMNS.items()})

    @classmethod
    def from_columns(cls, columns: dict[str, npt.NDArray[Any]]) -> Samples:
        """Samples from columns by name."""
        return cls(**{name: np.asarray(columns[name], dtype) for name, dtype in _COLUMNS.items()})

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Columns by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def take(self, selection: npt.NDArray[Any]) -> Samples:
        """Samples by position or mask."""
        return Samples(**{name: column[selection] for name, column in self.columns().items()})

    def merge(self, *others: Samples) -> Samples:
        """All, sorted by series, time and ordinal; of samples with one identity only the first is kept."""
        columns = [samples.columns() for samples in (self, *others)]
        both = Samples(**{name: np.concatenate([one[name] for one in columns]) for name in _COLUMNS})
        order = np.lexsort((both.ordinal, both.time, both.series))
        both = both.take(order)
        if len(order) < 2:
            return both
        repeated = (
            (both.series[1:] == both.series[:-1])
            & (both.time[1:] == both.time[:-1])
            & (both.ordinal[1:] == both.ordinal[:-1])
        )
        return both.take(np.concatenate(([True], ~repeated))) if repeated.any() else both

    def __len__(self) -> int:
        return len(self.series)


def positions(samples: Samples, series: I64, time: I64) -> I64:
    """Position of the first sample of each series at or after each time.

    A binary search of all queries side by side, each within its own series.
    """
    low = np.searchsorted(samples.series, series, side="left")
    high = np.searchsorted(samples.series, series, side="right")
    if not len(samples):
        return np.asarray(low, np.int64)
    while (searching := low < high).any():
        middle = np.minimum((low + high) >> 1, len(samples) - 1)
        before = searching & (samples.time[middle] < time)
        low = np.where(before, middle + 1, low)
        high = np.where(searching & ~before, middle, high)
    return np.asarray(low, np.int64)


def with_previous(samples: Samples, series: I64, starts: I64) -> I64:
    """Positions moved back by one where the sample before is of the same series."""
    if not len(samples):
        return starts
    before = np.maximum(starts - 1, 0)
    return np.where((starts > 0) & (samples.series[before] == series), before, starts)


def extremes(values: I64, starts: I64, ends: I64, empty: int) -> tuple[I64, I64]:
    """Smallest and largest of each slice of ``values``, ``empty`` where a slice has nothing."""
    lowest = np.full(len(starts), empty, np.int64)
    highest = lowest.copy()
    filled = np.flatnonzero(ends > starts)
    if len(filled):
        # reduceat takes pairs; the padding lets a slice end at the very end of the values.
        bounds = np.stack((starts[filled], ends[filled]), axis=1).reshape(-1)
        padded = np.concatenate((values, values[-1:]))
        lowest[filled] = np.minimum.reduceat(padded, bounds)[::2]
        highest[filled] = np.maximum.reduceat(padded, bounds)[::2]
    return lowest, highest


def flags(quality: I64, starts: I64, ends: I64) -> I64:
    """All quality flags of each slice together."""
    gathered = np.zeros(len(starts), np.int64)
    filled = np.flatnonzero(ends > starts)
    if len(filled) and quality.any():
        bounds = np.stack((starts[filled], ends[filled]), axis=1).reshape(-1)
        gathered[filled] = np.bitwise_or.reduceat(np.concatenate((quality, [0])), bounds)[::2]
    return gathered
