"""Rows made again, held against what is stored: those that say something else become corrections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_workers.history.compare import column_of, differs
from wheeltapper_workers.history.tables import TIME

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_NOT_SAID: Final = frozenset(
    {
        *("plant", "class", "day", "block_sequence", "published_time", "trace", "generation", "revision"),
        *("input_sequence", "features_sequence", "telemetry_first", "telemetry_last", "received_last"),
        *("late_first", "late_last"),
    }
)
"""Columns that tell where a row comes from, and not what it says."""
_LIMIT: Final = 1.0
"""Of a score."""


def places(made: pa.Table, stored: pa.Table, keys: Sequence[str]) -> I64:
    """For each row of ``made`` the row of ``stored`` with the same keys, -1 if there is none."""
    there = {key: row for row, key in enumerate(_keys(stored, keys))}
    return np.array([there.get(key, -1) for key in _keys(made, keys)], np.int64)


def says_otherwise(made: pa.Table, stored: pa.Table, place: I64) -> Bools:
    """Rows of ``made`` that are not, to the bit, what their stored row says; those without one are."""
    otherwise = place < 0
    mine = np.flatnonzero(~otherwise)
    old, new = stored.take(place[mine]), made.take(mine)
    for name in dict.fromkeys((*old.column_names, *new.column_names)):
        if name not in _NOT_SAID:
            otherwise[mine] |= differs(column_of(old, name), column_of(new, name), exact=True)
    return otherwise


def as_corrections(
    made: pa.Table, stored: pa.Table, place: I64, late: tuple[int, int], now_us: int, input_column: str
) -> pa.Table:
    """Rows of ``made`` as they are appended: a revision more than their stored row, of the blocks that came late.

    Parameters
    ----------
    late
        First and last telemetry block with late samples that led to them.
    now_us
        Microseconds since 1970.
    input_column
        Column that names the input: a correction of features names the last late block, and one of scores the block
        of features it would have been made of.
    """
    before = {name: _taken(stored, name, place) for name in ("revision", "block_sequence", "features_sequence")}
    count = len(place)
    columns = {
        "revision": pa.array(np.where(place < 0, 0, before["revision"]) + 1, pa.int32()),
        "block_sequence": pa.array(before["block_sequence"], mask=before["block_sequence"] == 0),
        "published_time": pa.array(np.full(count, now_us)).view(TIME),
        "late_first": pa.array(np.full(count, late[0])),
        "late_last": pa.array(np.full(count, late[1])),
        input_column: pa.array(
            before["features_sequence"] if input_column == "features_sequence" else np.full(count, late[1])
        ),
    }
    for name, column in columns.items():
        made = made.set_column(made.column_names.index(name), made.schema.field(name), column)
    return made


def crossings(rows: pa.Table, stored: pa.Table, place: I64, kept: Bools) -> int:
    """Scores that are on the other side of the limit than what is stored."""
    mine = np.flatnonzero(kept)
    now = np.asarray(rows["score"].take(mine).to_numpy(), np.float64)
    before = np.full(len(mine), np.nan)
    there = place[mine] >= 0
    before[there] = stored["score"].take(place[mine][there]).to_numpy()
    return int(((before >= _LIMIT) != (now >= _LIMIT)).sum())


def _taken(stored: pa.Table, name: str, place: I64) -> I64:
    """Numbers of the stored rows; 0 where there is none."""
    if name not in stored.column_names or not stored.num_rows:
        return np.zeros(len(place), np.int64)
    column = np.asarray(stored[name].fill_null(0)).astype(np.int64)
    return np.where(place < 0, 0, column[np.maximum(place, 0)])


def _keys(rows: pa.Table, keys: Sequence[str]) -> list[tuple[object, ...]]:
    columns = [
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in (rows[key] for key in keys)
    ]
    return list(zip(*columns, strict=True))
