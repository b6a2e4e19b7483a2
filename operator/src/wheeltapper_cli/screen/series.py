"""Series on a grid of time, for sparklines: as many cells as a screen has columns, whatever the windows are.

What lies in one cell is one number, so a row that comes twice changes nothing and memory does not grow with time.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]

CELLS: Final = 120
"""Cells of a series; the widest sparkline."""
_NEVER: Final = -(2**62)


class Series:
    """Values of many series [series, cells] over the time up to the newest value of any of them.

    Parameters
    ----------
    count
        Number of series.
    cell_ns
        Length of a cell in nanoseconds.
    keep_peak
        Whether a cell keeps the highest of its values, else the newest.
    """

    def __init__(self, count: int, cell_ns: int, *, keep_peak: bool) -> None:
        self._values: F32 = np.full((count, CELLS), np.nan, np.float32)
        self._cell_ns = cell_ns
        self._keep_peak = keep_peak
        self._newest = _NEVER

    def put(self, series: I64, time_ns: I64, value: npt.NDArray[Any]) -> None:
        """Take values in, in any order of time; those older than the grid are left out, and NaN says nothing."""
        cell = time_ns // self._cell_ns
        if not len(cell):
            return
        self._move_to(int(cell.max()))
        kept = np.flatnonzero((cell > self._newest - CELLS) & ~np.isnan(value))
        where = series[kept], cell[kept] % CELLS
        if self._keep_peak:
            np.fmax.at(self._values, where, value[kept].astype(np.float32))
        else:
            order = np.argsort(time_ns[kept], kind="stable")  # of equal indices the last assignment holds
            self._values[where[0][order], where[1][order]] = value[kept][order]

    def row(self, series: int) -> F32:
        """The cells of one series, the oldest first; NaN where there was no value."""
        if self._newest == _NEVER:
            return np.full(CELLS, np.nan, np.float32)
        return np.roll(self._values[series], -(self._newest + 1) % CELLS)

    def _move_to(self, newest: int) -> None:
        """Empty the cells that time has come round to."""
        if newest <= self._newest:
            return
        first = max(self._newest + 1, newest - CELLS + 1)
        self._values[:, np.arange(first, newest + 1) % CELLS] = np.nan
        self._newest = newest


def shrink(row: F32, width: int, *, keep_peak: bool) -> F32:
    """A row in ``width`` cells: of those that fall together the highest or, without ``keep_peak``, their mean."""
    if width >= len(row):
        return row
    starts = np.arange(width) * len(row) // width
    if keep_peak:
        return np.asarray(np.fmax.reduceat(row, starts), np.float32)
    known = ~np.isnan(row)
    total, count = np.add.reduceat(np.where(known, row, 0.0), starts), np.add.reduceat(known.astype(np.int64), starts)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
