"""Samples waiting for their windows: each series has a slot of its own in flat columns.

A series is one track of one asset. Its samples lie side by side, sorted by source time and ordinal, so a window is a
slice. What comes in order, nearly everything, is written behind what is there; only series with a sample out of order
are sorted anew. What no window needs any more is let go of by moving the slot's beginning, and overwritten later.

The slots of a large line are far apart in memory, and a block brings each of them a sample or two. So blocks wait, and
many are put into the slots together, at the latest when somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.wire import UNUSABLE

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_COLUMNS: Final[dict[str, Any]] = {
    "series": np.int64,
    "time": np.int64,
    "ordinal": np.uint32,
    "value": np.float64,
    "quality": np.uint16,
    "sequence": np.int64,
    "received": np.int64,
}
_STORED: Final = tuple(name for name in _COLUMNS if name != "series")
_LEAST_CAPACITY: Final = 8
_MOST_WAITING: Final = 262_144
"""Samples that wait for their slots at most, to bound memory and the time for which the one who asks has to wait."""
_MOST_WAITING_BLOCKS: Final = 64
"""Blocks that wait at most: a small one weighs more than its samples."""
_BEFORE_ALL: Final = np.iinfo(np.int64).min


@dataclass(slots=True)
class Samples:
    """Columns of equal length: series, source time (ns), ordinal, value, quality, block sequence, receive time (ns)."""

    series: I64
    time: I64
    ordinal: npt.NDArray[np.uint32]
    value: F64
    quality: npt.NDArray[np.uint16]
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

    @classmethod
    def concat(cls, parts: Sequence[Samples]) -> Samples:
        """Samples of several, one behind the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS})

    def take(self, selection: npt.NDArray[Any]) -> Samples:
        """Samples by position or mask."""
        places = np.flatnonzero(selection) if selection.dtype == np.bool_ else selection
        return Samples(**{name: column.take(places) for name, column in self.columns().items()})

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True)
class View:
    """Times and values in flat columns; series i has the places ``low[i]`` to ``high[i]`` (excluded)."""

    time: I64
    value: F64
    low: I64
    high: I64

    def positions(self, series: I64, time: I64) -> I64:
        """Place of the first sample of each series at or after each time: a binary search of all side by side."""
        low, high = self.low[series], self.high[series]
        if not len(self.time):
            return low
        while (searching := low < high).any():
            middle = np.minimum((low + high) >> 1, len(self.time) - 1)
            before = searching & (self.time.take(middle) < time)
            low = np.where(before, middle + 1, low)
            high = np.where(searching & ~before, middle, high)
        return low

    def with_previous(self, series: I64, places: I64) -> I64:
        """Places moved back by one where the series has a sample before."""
        return np.where(places > self.low[series], places - 1, places)


class Buffer:
    """Slots of all series. Used up by its methods: they change it in place.

    Parameters
    ----------
    capacity : int64[series]
        Samples each slot has room for at first; a slot grows when it must.
    """

    def __init__(self, capacity: I64) -> None:
        self._first = np.zeros(len(capacity), np.int64)
        self._count = np.zeros(len(capacity), np.int64)
        self._dirty = np.zeros(len(capacity), np.bool_)
        """Series that may hold samples no feature may use."""
        self._ordered = np.ones(len(capacity), np.bool_)
        """Series whose block sequences and receive times grow with their times, too."""
        self._zero = {"ordinal", "quality"}
        """Columns in which there is nothing else in any place, so that zeros need not be written to them."""
        self._waiting: list[Samples] = []
        self._waiting_samples = 0
        self._allocate(np.maximum(capacity, _LEAST_CAPACITY))

    @classmethod
    def of(cls, samples: Samples, capacity: I64) -> Buffer:
        """Buffer that holds samples, in any order."""
        buffer = cls(capacity)
        buffer.append(samples)
        return buffer

    def __len__(self) -> int:
        self._settle()
        return int(self._count.sum())

    def append(self, new: Samples) -> None:
        """Take samples in; of samples with one identity only the first to come is kept. Their arrays are taken over."""
        if not len(new):
            return
        self._waiting.append(new)
        self._waiting_samples += len(new)
        if self._waiting_samples >= _MOST_WAITING or len(self._waiting) >= _MOST_WAITING_BLOCKS:
            self._settle()

    def samples(self) -> Samples:
        """All samples, sorted by series, time and ordinal."""
        self._settle()
        places, series = self._places(np.arange(len(self._count)))
        return Samples(series, **{name: self._columns[name].take(places) for name in _STORED})

    def view(self) -> View:
        """Times and values of all samples."""
        self._settle()
        low = self._base + self._first
        return View(self._columns["time"], self._columns["value"], low, low + self._count)

    def good(self, everything: View) -> View:
        """Times and values of the samples that features may use; the given view of all if all are such."""
        dirty = np.flatnonzero(self._dirty & (self._count > 0))
        if not len(dirty):
            return everything
        # Of the few series with others among them the usable ones are copied behind the rest.
        places, series = self._places(dirty)
        usable = self._columns["quality"][places] & UNUSABLE == 0
        kept = places[usable]
        counts = np.bincount(series[usable], minlength=len(self._count))[dirty]
        low, high = everything.low.copy(), everything.high.copy()
        low[dirty] = len(everything.time) + np.cumsum(counts) - counts
        high[dirty] = low[dirty] + counts
        time = np.concatenate((everything.time, everything.time[kept]))
        return View(time, np.concatenate((everything.value, everything.value[kept])), low, high)

    def flags(self, series: I64, starts: I64, ends: I64) -> I64:
        """Flags of each slice's unusable samples together."""
        gathered = np.zeros(len(starts), np.int64)
        asked = np.flatnonzero(self._dirty[series] & (ends > starts))
        if len(asked):
            gathered[asked] = _reduced(np.bitwise_or, self._columns["quality"], starts[asked], ends[asked])
            gathered &= UNUSABLE
        return gathered

    def origins(self, series: I64, starts: I64, ends: I64) -> tuple[I64, I64, I64]:
        """First and last block sequence, newest receive time of each slice; the largest int64, 0, 0 of an empty one."""
        first = np.full(len(starts), np.iinfo(np.int64).max)
        last, received = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
        sequences, receipts = self._columns["sequence"], self._columns["received"]
        filled = ends > starts
        easy = np.flatnonzero(filled & self._ordered[series])
        first[easy], last[easy] = sequences[starts[easy]], sequences[ends[easy] - 1]
        received[easy] = receipts[ends[easy] - 1]
        hard = np.flatnonzero(filled & ~self._ordered[series])
        if len(hard):
            slices = starts[hard], ends[hard]
            first[hard] = _reduced(np.minimum, sequences, *slices)
            last[hard] = _reduced(np.maximum, sequences, *slices)
            received[hard] = _reduced(np.maximum, receipts, *slices)
        return first, last, received

    def forget(self, before: I64, carried: Bools) -> None:
        """Let go of samples before a time of each series; of carried ones the newest usable one before it stays."""
        everything = self.view()
        places = everything.positions(np.arange(len(self._count)), before)
        previous = places - 1
        looking = carried & (previous >= everything.low)
        quality = self._columns["quality"]
        while (bad := looking & (quality[np.maximum(previous, 0)] & UNUSABLE != 0)).any():
            previous = np.where(bad, previous - 1, previous)
            looking &= previous >= everything.low
        places = np.where(looking, previous, places)
        gone = places - everything.low
        self._first += gone
        self._count -= gone
        empty = self._count == 0
        self._first[empty] = 0
        self._dirty[empty] = False
        self._ordered[empty] = True

    def _settle(self) -> None:
        """Put what waits into the slots."""
        if not self._waiting:
            return
        new, self._waiting, self._waiting_samples = Samples.concat(self._waiting), [], 0
        order = _by_series(new.series)
        self._place(new if order is None else new.take(order))

    def _place(self, new: Samples) -> None:
        """Put samples into the slots: sorted by series, and those of one series in the order in which they came."""
        series = new.series
        begins = np.flatnonzero(np.concatenate(([True], series[1:] != series[:-1])))
        present, lengths = series[begins], np.diff(np.append(begins, len(series)))
        last = self._last(present)
        astray = new.time <= _shifted(new.time, begins, last["time"])
        if astray.any():
            slow = np.zeros(len(self._count), np.bool_)
            slow[series[astray]] = True
            of_slow = slow[series]
            self._merge(new.take(of_slow), np.flatnonzero(slow))
            if not of_slow.all():
                self._place(new.take(~of_slow))
            return
        for name in ("received", "sequence"):
            column = getattr(new, name)
            self._ordered[series[column < _shifted(column, begins, last[name])]] = False
        self._make_room(present, lengths)
        ends = self._base[present] + self._first[present] + self._count[present]
        self._write(np.repeat(ends - begins, lengths) + np.arange(len(series)), new)
        self._count[present] += lengths

    def _last(self, series: I64) -> dict[str, I64]:
        """Newest sample's time, receive time and sequence of each series, before all time where there is none."""
        place = self._base[series] + self._first[series] + self._count[series] - 1
        empty = self._count[series] == 0
        place[empty] = 0
        return {
            name: np.where(empty, _BEFORE_ALL, self._columns[name][place]) for name in ("time", "received", "sequence")
        }

    def _merge(self, new: Samples, series: I64) -> None:
        """Sort series anew together with samples that came out of order."""
        places, of = self._places(series)
        old = Samples(of, **{name: self._columns[name].take(places) for name in _STORED})
        mine, theirs = old.columns(), new.columns()
        both = Samples(**{name: np.concatenate((mine[name], theirs[name])) for name in _COLUMNS})
        order = np.lexsort((both.ordinal, both.time, both.series))
        same = np.zeros(len(order), np.bool_)
        for position, name in enumerate(("series", "time", "ordinal")):
            column = getattr(both, name)[order]
            equal = column[1:] == column[:-1]
            same[1:] = equal if position == 0 else same[1:] & equal
        merged = both.take(order[~same])
        lengths = np.bincount(merged.series, minlength=len(self._count))[series]
        self._count[series] = 0
        self._first[series] = 0
        self._make_room(series, lengths)
        rank = np.arange(len(merged)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self._write(np.repeat(self._base[series], lengths) + rank, merged)
        self._count[series] = lengths
        self._ordered[series] = True
        for column in (merged.sequence, merged.received):
            falls = (column[1:] < column[:-1]) & (merged.series[1:] == merged.series[:-1])
            self._ordered[merged.series[1:][falls]] = False

    def _places(self, series: I64) -> tuple[I64, I64]:
        """Places of all samples of the series, in order, and the series of each."""
        counts = self._count[series]
        of = np.repeat(series, counts)
        begins = self._base[series] + self._first[series]
        return np.repeat(begins - (np.cumsum(counts) - counts), counts) + np.arange(len(of)), of

    def _make_room(self, series: I64, more: I64) -> None:
        """Make sure that so many samples more fit behind each series."""
        short = self._first[series] + self._count[series] + more > self._capacity[series]
        if not short.any():
            return
        series, needed = series[short], (self._count[series] + more)[short]
        tight = needed > self._capacity[series] // 2
        grown, capacity = series[tight], 2 * needed[tight]
        if len(grown):  # then all slots are laid out anew; else samples only move to the beginning of their own
            series = np.arange(len(self._count))
        places, of = self._places(series)
        columns = self._columns
        self._first[series] = 0
        if len(grown):
            capacities = self._capacity.copy()
            capacities[grown] = capacity
            self._allocate(capacities)
        target, _ = self._places(series)
        for name in self._written():
            self._columns[name][target] = columns[name].take(places)
        self._dirty[series] = False
        self._dirty[of[self._columns["quality"][target] & UNUSABLE != 0]] = True

    def _allocate(self, capacity: I64) -> None:
        self._capacity = capacity
        self._base = np.cumsum(capacity) - capacity
        total = int(capacity.sum())
        self._columns: dict[str, Any] = {
            name: np.zeros(total, _COLUMNS[name]) if name in self._zero else np.empty(total, _COLUMNS[name])
            for name in _STORED
        }

    def _write(self, places: I64, samples: Samples) -> None:
        self._zero = {name for name in self._zero if not getattr(samples, name).any()}
        for name in self._written():
            self._columns[name][places] = getattr(samples, name)
        self._dirty[samples.series[samples.quality & UNUSABLE != 0]] = True

    def _written(self) -> list[str]:
        return [name for name in _STORED if name not in self._zero]


def _by_series(series: I64) -> I64 | None:
    """Order by series, and of equal ones as they came; None if they are so already."""
    falls = np.count_nonzero(series[1:] < series[:-1])
    if not falls:
        return None
    if falls < len(series) // 16:
        return np.argsort(series, kind="stable")  # it merges ascending pieces, which blocks mostly are
    # One number a sample, so that a plain sort gives series and order of arrival together.
    bits = len(series).bit_length()
    return np.asarray(np.sort((series << bits) | np.arange(len(series))) & ((1 << bits) - 1))


def _shifted(column: I64, begins: I64, before: I64) -> I64:
    """Each row's predecessor in its series; ``before`` where a series begins."""
    shifted = np.empty_like(column)
    shifted[1:] = column[:-1]
    shifted[begins] = before
    return shifted


def _reduced(function: Any, values: npt.NDArray[Any], starts: I64, ends: I64) -> npt.NDArray[Any]:
    """Reduction of each slice, none of which is empty."""
    # reduceat takes pairs; the padding lets a slice end at the very end of the values.
    bounds = np.stack((starts, ends), axis=1).reshape(-1)
    reduced: npt.NDArray[Any] = function.reduceat(np.append(values, values[-1:]), bounds)[::2]
    return reduced
