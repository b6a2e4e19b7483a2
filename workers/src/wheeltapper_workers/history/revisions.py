"""Revisions: rows as they were live, and rows that late data corrected, in one table.

A correction is a row more, with a higher ``revision``; nothing is changed in place. What an alert rests on is revision
0, so everything that does an alert's computation again reads that. Who asks what is known today reads the highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KEYS: Final = {
    "features": ("plant", "class", "asset", "window_end"),
    "scores": ("plant", "class", "asset", "failure_model", "window_end"),
}
"""Columns that say which row it is, in the tables that have revisions."""
SUFFIX: Final = "_revisions"
"""Behind a table's name: the view of all its revisions."""
NO_REVISION: Final = (
    "SELECT NULL::INTEGER AS revision, NULL::BIGINT AS late_first, NULL::BIGINT AS late_last WHERE false"
)
"""Statement without rows that gives older files the columns that they lack."""


def correction_id(table: str) -> str:
    """Name under which corrections of a table are committed, so that two instances exclude one another."""
    return f"wheeltapper-historian/{table}/corrected"


def is_live(schema: pa.Schema) -> pc.Expression:
    """Filter for the rows that were live."""
    if "revision" not in schema.names:
        return pc.scalar(True)
    return pc.field("revision").is_null() | (pc.field("revision") == 0)


def live(rows: pa.Table) -> pa.Table:
    """Rows that were live."""
    if "revision" not in rows.column_names:
        return rows
    revised = pc.greater(pc.fill_null(rows["revision"], 0), 0)
    return rows.filter(pc.invert(revised)) if pc.any(revised).as_py() else rows


def newest(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Rows without those of which there is a later revision, sorted by ``keys``.

    Of live rows that are there twice, since a step began anew without its state, the later block's is taken.
    """
    nothing = pa.nulls(rows.num_rows, pa.int32())
    revision = rows["revision"] if "revision" in rows.column_names else nothing
    block = pc.fill_null(rows["block_sequence"], 0)
    ranked = pa.table({**{key: rows[key] for key in keys}, "r": pc.fill_null(revision, 0), "b": block})
    order = pc.sort_indices(ranked, sort_keys=[(name, "ascending") for name in ranked.column_names])
    rows = rows.take(order)
    last = np.ones(rows.num_rows, np.bool_)
    if rows.num_rows > 1:
        same = np.ones(rows.num_rows - 1, np.bool_)
        for key in keys:
            column = rows[key].combine_chunks()
            same &= np.asarray(pc.equal(column[:-1], column[1:]))
        last[:-1] = ~same
    return rows.filter(pa.array(last))


def view(table: str, *, several: bool) -> str:
    """Statement that reads the newest revisions from the view of all of them.

    The few corrected windows are gathered first: they are in files of their own until files are merged, and then in
    few row groups, so a query pays for the corrections that there are and not for the rows that there are.

    Parameters
    ----------
    several
        The view has a column ``tenant``.
    """
    keys = ", ".join(f'"{key}"' for key in (*(("tenant",) if several else ()), *KEYS[table]))
    every = f"{table}{SUFFIX}"
    return (
        f"SELECT {every}.* FROM {every} LEFT JOIN "  # noqa: S608 - our own names
        f"(SELECT {keys}, max(revision) AS newest FROM {every} WHERE revision > 0 GROUP BY {keys}) USING ({keys}) "
        f"WHERE coalesce(revision, 0) = coalesce(newest, 0)"
    )
