# ruff: noqa: A005 - imported by its full name only, so it hides nothing of the standard library
"""Statistics of the samples in windows of one series, batched over windows and repeatable to the bit.

A replay must give the bits of the first run, although it cuts the data into other blocks. So a segment's result is a
function of its own samples alone:

* Every floating-point operation works element by element (``+ - * /`` and square root, which IEEE 754 rounds
  correctly whatever the vector width), never a library reduction: NumPy's own sums choose their order by memory layout
  and batch shape, BLAS by chunk size, and a running sum by everything that came before.
* Sums are trees of fixed shape along the samples (:func:`_tree_sum`). A segment is padded with zeros to a width which
  only its own length decides, so the same additions happen in any company.
* Moments are taken in two passes about the mean, after the segment's first value is subtracted: a signal that varies
  by 1 around 1e9 keeps its digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from wheeltapper_workers.features.long_segments import CHUNK_ELEMENTS as LONG_CHUNK
from wheeltapper_workers.features.long_segments import LONG, Room, row_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


class Statistic(NamedTuple):
    """What a function says, and its unit."""

    doc: str
    unit: Literal["same", "1", "per-second"]
    """``same``: the signal's unit; ``1``: a plain number; ``per-second``: the signal's unit per second."""


FUNCTIONS: Final[dict[str, Statistic]] = {
    "mean": Statistic("Arithmetic mean of the samples.", "same"),
    "std": Statistic("Population standard deviation (divided by n), the RMS about the mean.", "same"),
    "rms": Statistic("Root of the mean square, mean included.", "same"),
    "kurtosis": Statistic("Fourth standardised population moment: 3 for Gaussian noise, higher for impacts.", "1"),
    "skewness": Statistic("Third standardised population moment: 0 for a symmetric signal.", "1"),
    "crest-factor": Statistic("Largest absolute value divided by the RMS.", "1"),
    "peak-to-peak": Statistic("Largest value minus smallest.", "same"),
    "slope": Statistic("Slope of the least-squares line through values and source times.", "per-second"),
    "min": Statistic("Smallest value.", "same"),
    "max": Statistic("Largest value.", "same"),
    "last": Statistic("Value of the newest sample.", "same"),
    "count": Statistic("Number of samples; 0 for an empty window.", "1"),
}
"""Every function by the name an asset class gives it."""

CHUNK_ELEMENTS: Final = 32_768
"""Elements of one working array. Below, calls cost more than arithmetic; above, little is won (measured)."""

_MOMENTS: Final = frozenset({"std", "rms", "kurtosis", "skewness", "crest-factor", "slope"})
_EXTREMES: Final = frozenset({"min", "max", "peak-to-peak", "crest-factor"})
_NS_PER_S: Final = 1e9


def segment_statistics(
    values: Floats, times_ns: Integers, starts: Integers, ends: Integers, functions: Sequence[str]
) -> Floats:
    """Return statistics of segments of one series.

    Parameters
    ----------
    values : float64 [n]
        Samples in the order of their source times, good ones only: a NaN or an infinity makes every function of its
        segment NaN except ``count``.
    times_ns : int64 [n]
        Source times in nanoseconds; used by ``slope``.
    starts, ends : int64 [s]
        Segment i is ``values[starts[i]:ends[i]]``. Segments may overlap, be empty and come in any order.
    functions : sequence of str
        Names out of :data:`FUNCTIONS`.

    Returns
    -------
    float64 [s, len(functions)]
        In the signal's unit, as :data:`FUNCTIONS` says. NaN where a function has no answer: everything but ``count``
        of an empty segment; ``kurtosis`` and ``skewness`` without variance, or with one whose square
        float64 cannot hold; ``crest-factor`` of all zeros; ``slope`` without two different times; any result
        that overflows.

    Raises
    ------
    ValueError
        For an unknown function, arrays of unequal length, or a segment outside the series.

    Notes
    -----
    Moments are population moments (ISO 20816-1 for RMS; kurtosis is Pearson's beta-2, the convention of vibration
    diagnosis), so they equal ``numpy.std`` and ``scipy.stats.kurtosis(fisher=False)`` and ``scipy.stats.skew``.
    """
    lengths = _checked_lengths(values, times_ns, starts, ends, functions)
    result = np.full((len(starts), len(functions)), np.nan)
    room = Room()
    # Overflow and 0/0 are answers here (NaN), not surprises.
    with np.errstate(all="ignore"):
        for rows, width in _chunks(lengths):
            columns = _alike(values, times_ns, starts[rows], lengths[rows], width, frozenset(functions), room)
            for column, name in enumerate(functions):
                if name != "count":
                    result[rows, column] = columns[name]
    result[~np.isfinite(result)] = np.nan  # one bit pattern for "no answer"
    result += 0.0  # and one for zero: which of -0.0 and 0.0 is the smaller depends on the vector width
    for column, name in enumerate(functions):
        if name == "count":
            result[:, column] = lengths
    return result


def _checked_lengths(
    values: Floats, times_ns: Integers, starts: Integers, ends: Integers, functions: Sequence[str]
) -> Integers:
    """Return the segments' lengths, or raise what the caller got wrong."""
    unknown = [name for name in functions if name not in FUNCTIONS]
    if unknown:
        raise ValueError(f"Unknown function {unknown[0]!r}; the functions are {', '.join(FUNCTIONS)}")
    if values.shape != times_ns.shape or values.ndim != 1:
        raise ValueError(f"Values and times must be two equal rows, not {values.shape} and {times_ns.shape}")
    if starts.shape != ends.shape or starts.ndim != 1:
        raise ValueError(f"Starts and ends must be two equal rows, not {starts.shape} and {ends.shape}")
    if len(starts) and (starts.min() < 0 or ends.max() > len(values) or (ends < starts).any()):
        raise ValueError(f"Every segment must lie within the {len(values)} samples and not end before it starts")
    return np.asarray(ends - starts, dtype=np.int64)


def _width(length: int) -> int:
    """Return the padded width of a segment: the next of 1, 2, 3, 4, 6, 8, 12, 16 ... (padding adds 18 % on average).

    It must depend on nothing but the length, because it decides the order of additions.
    """
    power = 1 << (length - 1).bit_length()
    return power * 3 // 4 if power >= 4 and length <= power * 3 // 4 else power


def _chunks(lengths: Integers) -> Iterator[tuple[Integers, int]]:
    """Yield rows of segments with one padded width, in chunks that fit the cache; empty segments are left out."""
    distinct, which = np.unique(lengths, return_inverse=True)
    widths = np.array([_width(int(length)) if length else 0 for length in distinct], dtype=np.int64)[which]
    order = np.argsort(widths, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(widths[order])) + 1):
        width = int(widths[rows[0]]) if len(rows) else 0
        if width:
            # Long segments go by length, since they are worked on without padding.
            if width >= LONG:
                yield from _equally_long(rows, lengths, width)
                continue
            step = max(1, CHUNK_ELEMENTS // width)
            for first in range(0, len(rows), step):
                yield rows[first : first + step], width


def _equally_long(rows: Integers, lengths: Integers, width: int) -> Iterator[tuple[Integers, int]]:
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    step = max(1, LONG_CHUNK // width)
    for same in np.split(rows, np.flatnonzero(np.diff(lengths[rows])) + 1):
        for first in range(0, len(same), step):
            yield same[first : first + step], width


def _alike(
    values: Floats,
    times_ns: Integers,
    starts: Integers,
    lengths: Integers,
    width: int,
    names: frozenset[str],
    room: Room,
) -> dict[str, Floats]:
    """Return each named statistic [g] of g segments of one padded width, by the layout that suits their length."""
    if width < LONG:
        return _chunk_statistics(values, times_ns, starts, lengths, width, names)
    columns = row_statistics(values, times_ns, starts, int(lengths[0]), width, names, room)
    if "crest-factor" in names:
        columns["crest-factor"] = np.maximum(columns["max"], -columns["min"]) / columns["rms"]
    return columns


def _tree_sum(terms: Floats, width: int) -> Floats:
    """Sum over the first axis, as a tree whose shape is a function of the width only; missing terms are zeros.

    The error grows with the logarithm of the width (Higham 1993, pairwise summation).
    """
    rows = width
    while rows > 1:
        half = rows // 2
        paired = min(len(terms) - half, half)
        pairs = np.empty_like(terms[:half])
        np.add(terms[:paired], terms[half : half + paired], out=pairs[:paired])
        pairs[paired:] = terms[paired:half]
        if rows % 2 and len(terms) == rows:
            pairs[0] += terms[-1]
        terms, rows = pairs, half
    total: Floats = terms[0]
    return total


def _chunk_statistics(
    values: Floats, times_ns: Integers, starts: Integers, lengths: Integers, width: int, names: frozenset[str]
) -> dict[str, Floats]:
    """Return each named statistic [g] of g segments, computed on arrays [longest, g] with one segment a column."""
    longest = int(lengths.max())
    position = np.arange(longest)[:, np.newaxis]
    index, weight = starts + position, None
    if (lengths < longest).any():
        # Padding repeats the last sample (so extremes need no mask); the weight takes it out of sums.
        index = starts + np.minimum(position, lengths - 1)
        weight = (position < lengths).astype(np.float64)
    count = lengths.astype(np.float64)
    sample = values.take(index)
    first = sample[0]
    offset, relative_mean = _from_first(sample - first, weight, count, width)
    mean = first + relative_mean
    columns = {"mean": mean, "last": values[starts + lengths - 1]}
    if names & _EXTREMES:
        columns |= {"min": sample.min(axis=0), "max": sample.max(axis=0)}
        columns["peak-to-peak"] = columns["max"] - columns["min"]
    if names & _MOMENTS:
        relative = _centred(offset, relative_mean, weight)
        columns |= _moments(relative, mean, count, width, names)
        if "slope" in names:
            elapsed = (times_ns.take(index) - times_ns[starts]).astype(np.float64)
            elapsed = _centred(*_from_first(elapsed, weight, count, width), weight)
            columns["slope"] = _slope(elapsed, relative, width)
    if "crest-factor" in names:
        peak = np.maximum(columns["max"], -columns["min"])
        columns["crest-factor"] = peak / columns["rms"]
    spoiled = ~np.isfinite(mean)
    for column in columns.values():
        column[spoiled] = np.nan
    return columns


def _from_first(terms: Floats, weight: Floats | None, count: Floats, width: int) -> tuple[Floats, Floats]:
    """Return the terms, zero where the weight is, and their mean.

    The terms start at 0, so their mean is rounded relative to their own range: no second correction is needed.
    """
    if weight is not None:
        terms = terms * weight
    return terms, _tree_sum(terms, width) / count


def _centred(terms: Floats, mean: Floats, weight: Floats | None) -> Floats:
    """Return the terms minus their mean, zero where the weight is."""
    centred = terms - mean
    return centred if weight is None else centred * weight


def _moments(relative: Floats, mean: Floats, count: Floats, width: int, names: frozenset[str]) -> dict[str, Floats]:
    """Return the statistics that are made of central moments."""
    square = relative * relative
    variance = _tree_sum(square, width) / count
    # Both terms are positive, so nothing cancels, and no second pass over the raw values is needed.
    columns = {"std": np.sqrt(variance), "rms": np.sqrt(variance + mean * mean)}
    squared = variance * variance
    squared[(squared < np.finfo(np.float64).tiny) | np.isinf(squared)] = np.nan
    if "skewness" in names:
        columns["skewness"] = _tree_sum(square * relative, width) / count * columns["std"] / squared
    if "kurtosis" in names:
        columns["kurtosis"] = _tree_sum(square * square, width) / count / squared
    return columns


def _slope(elapsed_ns: Floats, relative: Floats, width: int) -> Floats:
    """Return the least-squares slope per second, of times and values that are both relative to their means."""
    return _tree_sum(elapsed_ns * relative, width) / _tree_sum(elapsed_ns * elapsed_ns, width) * _NS_PER_S
