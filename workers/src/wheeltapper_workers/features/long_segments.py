"""Statistics of long segments, one segment a row: memory is read in order, and no index is as large as the data.

The additions are those of :mod:`~wheeltapper_workers.features.statistics` one by one, padding included, so the bits are
the same; only the layout differs, which for short segments would be the slower one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

LONG: Final = 1_024
"""Padded width from which rows are faster than columns (measured)."""
CHUNK_ELEMENTS: Final = 131_072

_MOMENTS: Final = frozenset({"std", "rms", "kurtosis", "skewness", "crest-factor", "slope"})
_SQUARED: Final = frozenset({"std", "rms", "kurtosis", "skewness", "crest-factor"})
_NS_PER_S: Final = 1e9


class Room:
    """Arrays that are used again from chunk to chunk: memory fresh from the system costs more than the arithmetic."""

    def __init__(self) -> None:
        self._arrays: dict[str, Floats] = {}

    def take(self, name: str, count: int, length: int) -> Floats:
        """Return an array [count, length] of the name's own, with anything in it."""
        flat = self._arrays.get(name)
        if flat is None or len(flat) < count * length:
            flat = self._arrays[name] = np.empty(count * length)
        return flat[: count * length].reshape(count, length)


def row_statistics(
    values: Floats, times_ns: Integers, starts: Integers, length: int, width: int, names: frozenset[str], room: Room
) -> dict[str, Floats]:
    """Return each named statistic [g] of g segments of one length, as if they were padded with zeros to a width."""
    count = len(starts)
    rows, work = room.take("rows", count, length), room.take("work", count, length)
    sums = room.take("sums", count, max(1, width // 2))
    for row, start in enumerate(starts.tolist()):
        rows[row] = values[start : start + length]
    columns = {"last": rows[:, -1].copy(), "min": rows.min(axis=1), "max": rows.max(axis=1)}
    columns["peak-to-peak"] = columns["max"] - columns["min"]
    first = rows[:, :1].copy()
    mean = _centre(np.subtract(rows, first, out=rows), width, sums, first[:, 0])
    columns["mean"] = mean
    if names & _SQUARED:
        columns |= _moments(rows, mean, width, names, room.take("cube", count, length), work, sums)
    if "slope" in names:
        elapsed = room.take("cube", count, length)
        columns["slope"] = _slope(times_ns, starts, rows, width, elapsed, work, sums)
    spoiled = ~np.isfinite(mean)
    for column in columns.values():
        column[spoiled] = np.nan
    return columns


def _tree_sum(terms: Floats, width: int, sums: Floats) -> Floats:
    """Sum of each row, by the tree of a row that is padded with zeros to a width; ``sums`` is room for half of it."""
    length = terms.shape[1]
    if width == 1:
        return terms[:, 0].copy()
    half = width // 2
    paired = min(length - half, half)
    np.add(terms[:, :paired], terms[:, half : half + paired], out=sums[:, :paired])
    sums[:, paired:half] = terms[:, paired:half]
    if width % 2 and length == width:
        sums[:, 0] += terms[:, -1]
    while half > 1:
        rest = sums[:, half - 1].copy() if half % 2 else None
        half //= 2
        np.add(sums[:, :half], sums[:, half : 2 * half], out=sums[:, :half])
        if rest is not None:
            sums[:, 0] += rest
    return sums[:, 0].copy()


def _centre(rows: Floats, width: int, sums: Floats, first: Floats) -> Floats:
    """Subtract each row's mean in place; return the mean of the values, which were relative to the first."""
    mean = _tree_sum(rows, width, sums) / rows.shape[1]
    rows -= mean[:, np.newaxis]
    return np.asarray(first + mean)


def _moments(
    relative: Floats, mean: Floats, width: int, names: frozenset[str], cube: Floats, work: Floats, sums: Floats
) -> dict[str, Floats]:
    count = relative.shape[1]
    square = np.multiply(relative, relative, out=work)
    variance = _tree_sum(square, width, sums) / count
    columns = {"std": np.sqrt(variance), "rms": np.sqrt(variance + mean * mean)}
    squared = variance * variance
    squared[(squared < np.finfo(np.float64).tiny) | np.isinf(squared)] = np.nan
    if "skewness" in names:
        columns["skewness"] = (
            _tree_sum(np.multiply(square, relative, out=cube), width, sums) / count * columns["std"] / squared
        )
    if "kurtosis" in names:
        columns["kurtosis"] = _tree_sum(np.multiply(square, square, out=work), width, sums) / count / squared
    return columns


def _slope(
    times_ns: Integers, starts: Integers, relative: Floats, width: int, elapsed: Floats, work: Floats, sums: Floats
) -> Floats:
    length = relative.shape[1]
    for row, start in enumerate(starts.tolist()):
        np.subtract(times_ns[start : start + length], times_ns[start], out=elapsed[row], casting="unsafe")
    _centre(elapsed, width, sums, np.zeros(len(elapsed)))
    product = _tree_sum(np.multiply(elapsed, relative, out=work), width, sums)
    return np.asarray(product / _tree_sum(np.multiply(elapsed, elapsed, out=work), width, sums) * _NS_PER_S)
