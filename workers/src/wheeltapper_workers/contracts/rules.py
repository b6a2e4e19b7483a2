"""The contract's rules, each over rows sorted by series and, within a series, in the order of their arrival.

Every rule looks back only along the arrival order, through the state where a batch begins. So it gives the same answer
however the samples were cut into batches.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

CONTENT_ORDINAL: Final = 1 << 31
"""Ordinals from here on are made of a sample's content, not counted."""


def first_rows(series: Index) -> Bools:
    """Rows at which another series begins."""
    first = np.ones(len(series), np.bool_)
    np.not_equal(series[1:], series[:-1], out=first[1:])
    return first


def previous(column: npt.NDArray[Any], first: Bools, before: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Value of the row before of the same series; ``before`` [rows] where the series begins."""
    shifted = np.empty_like(column)
    shifted[1:] = column[:-1]
    return np.where(first, before, shifted)


def digests(value: Floats, status: npt.NDArray[np.uint32], words: Mapping[int, bytes]) -> Words:
    """64-bit digest of what a sample says, without its time; ``words`` are what rows say that are no plain number."""
    word = np.ascontiguousarray(value).view(np.uint64).copy()
    if words:
        rows = np.fromiter(words.keys(), np.int64, len(words))
        word[rows] = np.fromiter((zlib.crc32(one) for one in words.values()), np.uint64, len(words))
        word[rows] |= np.uint64(0x7FF9 << 48)
    word += status.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return mixed(word)


def mixed(word: Words) -> Words:
    """Words with their bits mixed, in place; every bit changes about half of the result's.

    The finaliser of splitmix64 (Steele, Lea, Flood 2014).
    """
    word ^= word >> np.uint64(30)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(27)
    word *= np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    return word


def ordinals(
    series: Index, time_ns: Times, newest_ns: Times, newest_ordinal: Times
) -> tuple[npt.NDArray[np.int64], Times, Times]:
    """Number of each row among the rows of its series with the same source time; -1 for rows that come behind.

    A row counts if its time is not before the newest time its series had. One that comes behind cannot be counted
    without remembering every time ever seen, and gets its ordinal from its content.

    Parameters
    ----------
    series, time_ns
        Rows [n].
    newest_ns, newest_ordinal
        State [series]; changed in place.

    Returns
    -------
    tuple
        Ordinals [n]; the state's two arrays.
    """
    first = first_rows(series)
    if np.all(time_ns > previous(time_ns, first, newest_ns[series])):
        last = np.append(first[1:], True) if len(series) else first
        newest_ns[series[last]], newest_ordinal[series[last]] = time_ns[last], 0
        return np.zeros(len(series), np.int64), newest_ns, newest_ordinal
    return _counted(series, time_ns, first, newest_ns, newest_ordinal)


def _counted(
    series: Index, time_ns: Times, first: Bools, newest_ns: Times, newest_ordinal: Times
) -> tuple[npt.NDArray[np.int64], Times, Times]:
    # One row in front of each series stands for what came before; a time becomes its rank, so that series and time fit
    # into one key whose running maximum starts anew with every series.
    present, starts = series[first], np.flatnonzero(first)
    segment = np.cumsum(first) - 1
    times = np.insert(time_ns, starts, newest_ns[present])
    segments = np.insert(segment, starts, np.arange(len(present)))
    distinct, rank = np.unique(times, return_inverse=True)
    key = segments * (len(distinct) + 1) + rank
    newest = np.maximum.accumulate(key)
    counts = np.ones(len(key), np.bool_)
    counts[1:] = key[1:] >= newest[:-1]
    counted = key[counts]
    ordinal = np.arange(len(counted)) - np.searchsorted(counted, counted)
    seeds = starts + np.arange(len(present))
    seed = np.zeros(len(key), np.bool_)
    seed[seeds] = True
    # Where a row continues the time the state ends with, it continues its numbers.
    carried = counted == key[seeds][segments[counts]]
    ordinal += np.where(carried, newest_ordinal[present][segments[counts]], 0)
    result = np.full(len(key), -1, np.int64)
    result[counts] = ordinal
    last = np.append(segments[counts][1:] != segments[counts][:-1], True)
    newest_ns[present], newest_ordinal[present] = times[counts][last], ordinal[last]
    return result[~seed], newest_ns, newest_ordinal


def too_fast(
    series: Index, time_ns: Times, value: Floats, max_rate: Floats, good_time_ns: Times, good_value: Floats
) -> Bools:
    """Rows that changed faster since the last good sample of their series than the contract believes.

    The rows given are good as far as other rules know. A row that is not newer than the last good sample is not
    judged and does not become the last good one.

    Parameters
    ----------
    series, time_ns, value
        Rows [n].
    max_rate, good_time_ns, good_value
        [series], the rate per second; the last two are state and changed in place.
    """
    first = first_rows(series)
    elapsed, rate = _change(
        time_ns,
        value,
        previous(time_ns, first, good_time_ns[series]),
        previous(value, first, good_value[series]),
    )
    odd = np.zeros(len(good_time_ns), np.bool_)
    # A series with no violation and no time out of order is done in one go: every sample before was the last good one.
    odd[series[~(elapsed > 0) | (rate > max_rate[series])]] = True
    simple = ~odd[series]
    last = np.append(first[1:], True) & simple if len(series) else first
    good_time_ns[series[last]], good_value[series[last]] = time_ns[last], value[last]
    flagged = np.zeros(len(series), np.bool_)
    if not simple.all():
        rows = np.flatnonzero(~simple)
        flagged[rows] = _one_by_one(series[rows], time_ns[rows], value[rows], max_rate, good_time_ns, good_value)
    return flagged


def _change(time_ns: Times, value: Floats, time_before_ns: Times, value_before: Floats) -> tuple[Floats, Floats]:
    """Seconds elapsed and rate of change; before the first good sample an infinite time and no change."""
    known = np.where(np.isnan(value_before), time_ns, time_before_ns)
    elapsed = np.where(np.isnan(value_before), np.inf, (time_ns - known) / 1e9)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = np.abs(value - np.where(np.isnan(value_before), value, value_before)) / elapsed
    return elapsed, rate


def _one_by_one(
    series: Index, time_ns: Times, value: Floats, max_rate: Floats, good_time_ns: Times, good_value: Floats
) -> Bools:
    """First row of every series, then the second of every series, and so on: what is good depends on what was."""
    starts = np.flatnonzero(first_rows(series))
    lengths = np.diff(np.append(starts, len(series)))
    flagged = np.zeros(len(series), np.bool_)
    for step in range(int(lengths.max())):
        row = starts[lengths > step] + step
        at = series[row]
        elapsed, rate = _change(time_ns[row], value[row], good_time_ns[at], good_value[at])
        newer = elapsed > 0
        flagged[row] = newer & (rate > max_rate[at])
        good = newer & ~flagged[row]
        good_time_ns[at[good]], good_value[at[good]] = time_ns[row[good]], value[row[good]]
    return flagged
