"""Functions of values that hold until the next one comes: states, alarms, contexts, counters.

All sums are of whole numbers (nanoseconds, counts) or of one difference, so they are exact, and no cut of the data can
change a bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_workers.features.statistics import segment_statistics

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


def held_statistics(
    values: F64,
    times_ns: I64,
    starts: I64,
    ends: I64,
    window: tuple[I64, I64],
    stale_ns: I64,
    rises: npt.NDArray[np.bool_],
    functions: Sequence[Function],
) -> tuple[F64, F64]:
    """Statistics of segments whose first sample may lie before their window.

    Parameters
    ----------
    values : float64[n]
        Good samples, sorted by series and time.
    times_ns : int64[n]
    starts, ends : int64[s]
        Segment i is ``values[starts[i]:ends[i]]``; its first sample may be the last one before the window.
    window : tuple of int64[s]
        Begin and end of each window, ns; samples lie before the end.
    stale_ns : int64[s]
        How long a value holds.
    rises : bool[s]
        Whether only a change to 1 counts as a change: of an indicator each other one is what it stops to be.
    functions
        ``share``: part of the known time in which the value is 1; ``changes``: times that a value differs from the one
        before it; ``increase``: growth, where a fall is a reset to zero.

    Returns
    -------
    tuple
        Values [s, functions], NaN where nothing is known; share of the window in which a value is known [s].
    """
    result = np.full((len(starts), len(functions)), np.nan)
    known = np.zeros(len(starts), np.int64)
    filled = np.flatnonzero(ends > starts)
    if not len(filled):
        return result, known.astype(np.float64)
    segments = _Segments(values, times_ns, starts[filled], ends[filled])
    begin, end = window[0][filled], window[1][filled]
    lasting = segments.lasting(begin, end, stale_ns[filled])
    known[filled] = segments.total(lasting)
    for column, function in enumerate(functions):
        if function is Function.SHARE:
            result[filled, column] = segments.share(lasting)
        elif function is Function.CHANGES:
            result[filled, column] = segments.changes(rises[filled])
        else:
            result[filled, column] = segments.increase()
    return result, known / np.maximum(window[1] - window[0], 1)


class _Segments:
    """Segments that overlap, spelled out: ``row`` is the sample of each place, ``of`` the segment it belongs to."""

    def __init__(self, values: F64, times_ns: I64, starts: I64, ends: I64) -> None:
        lengths = ends - starts
        self.first = np.cumsum(lengths) - lengths
        self.last = self.first + lengths - 1
        self.of = np.repeat(np.arange(len(starts)), lengths)
        row = np.arange(len(self.of)) - self.first[self.of] + starts[self.of]
        self.value, self.time = values[row], times_ns[row]

    def total(self, numbers: I64) -> I64:
        """Sum of whole numbers of each segment."""
        return np.asarray(np.add.reduceat(numbers, self.first), np.int64)

    def lasting(self, begin: I64, end: I64, stale_ns: I64) -> I64:
        """Nanoseconds for which each sample's value holds within its window."""
        until = np.empty_like(self.time)
        until[:-1] = self.time[1:]
        until[self.last] = end
        until = np.minimum(until, self.time + stale_ns[self.of])
        return np.asarray(np.maximum(until - np.maximum(self.time, begin[self.of]), 0), np.int64)

    def share(self, lasting: I64) -> F64:
        """Time in which the value is 1 over the time in which it is known."""
        whole, part = self.total(lasting), self.total(np.where(self.value == 1.0, lasting, 0))
        return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0))

    def changes(self, rises: npt.NDArray[np.bool_]) -> F64:
        """Times a value differs from the one before it."""
        changed = np.zeros(len(self.value), np.int64)
        changed[1:] = self.value[1:] != self.value[:-1]
        changed[rises[self.of] & (self.value != 1.0)] = 0
        changed[self.first] = 0
        return self.total(changed).astype(np.float64)

    def increase(self) -> F64:
        """Last value less the first, and what was counted before each reset."""
        grown: F64 = self.value[self.last] - self.value[self.first]
        resets = np.zeros(len(self.value), np.bool_)
        resets[1:] = self.value[1:] < self.value[:-1]
        resets[self.first] = False
        at = np.flatnonzero(resets)
        if not len(at):
            return grown
        lost = self.value[at - 1]
        segment = self.of[at]
        bounds = np.searchsorted(segment, np.arange(len(self.first) + 1))
        count = np.diff(bounds).astype(np.float64)
        mean = segment_statistics(lost, np.zeros(len(lost), np.int64), bounds[:-1], bounds[1:], ["mean"])[:, 0]
        return np.asarray(grown + np.where(count > 0, mean * count, 0.0))
