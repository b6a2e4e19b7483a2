"""Stored blocks in the order of their stream, without ever holding more of a history than a few row groups.

A table's files are sorted by series, and merged ones hold many commits, so the blocks of a stream lie scattered. Each
row group knows the lowest block it has a row of: taken in that order every row group is decoded once, and whatever lies
before the next one's lowest block is complete.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from wheeltapper_api.wire import Line
from wheeltapper_workers.history.revisions import live
from wheeltapper_workers.history.tables import REMOVED, Store

T = TypeVar("T")

_SEQUENCE: Final = "block_sequence"


@dataclass(frozen=True, slots=True)
class Group:
    """A row group of a file, and the lowest block of which it has a row."""

    fragment: pads.ParquetFileFragment
    number: int
    lowest: int

    def alike(self, columns: Collection[str]) -> dict[str, int | None]:
        """Columns that need not be read: all rows have one whole number, or null, by the file's statistics.

        Of texts and floating-point numbers statistics do not tell that much: they are cut short, and pass over NaN.
        """
        metadata = self.fragment.metadata.row_group(self.number)
        found: dict[str, int | None] = {}
        for position in range(metadata.num_columns):
            chunk = metadata.column(position)
            name, told = chunk.path_in_schema.partition(".")[0], chunk.statistics
            if name not in columns or told is None or not told.has_null_count:
                continue
            if told.null_count == chunk.num_values:
                found[name] = None
            elif told.null_count == 0 and isinstance(told.min, int) and told.min == told.max:
                found[name] = told.min
        return found

    def read(self, columns: Sequence[str] | None, dictionaries: Sequence[str] = ()) -> pa.Table:
        """Rows; text columns that are named come dictionary-encoded."""
        fragment = self.fragment
        with fragment.filesystem.open_input_file(fragment.path) as file:
            parquet = pq.ParquetFile(file, metadata=fragment.metadata, read_dictionary=list(dictionaries))
            return parquet.read_row_group(self.number, columns=columns)


def of_line(line: Line) -> pc.Expression:
    """Filter for the files of a line."""
    return (pc.field("plant") == line.plant) & (pc.field("class") == line.asset_class)


def first_sequence(store: Store, line: Line, table: str) -> int | None:
    """Lowest block of a line that is stored in a table; None if there is none."""
    groups = groups_of(store, line, table, None)
    return groups[0].lowest if groups else None


def removed_days(store: Store, line: Line, table: str, last: date) -> list[date]:
    """Days up to a last one of which rows were removed from a table because of their age."""
    dataset = store.dataset(line.tenant, REMOVED)
    if dataset is None:
        return []
    rows = dataset.to_table(columns=["day"], filter=of_line(line) & (pc.field("removed_from") == table))
    return sorted({day for day in rows["day"].to_pylist() if day <= last})


def highest(store: Store, line: Line, table: str, column: str, beyond: int = 0) -> int:
    """Highest number of a column in the files of a line, by their statistics; ``beyond`` if there is none above it.

    Files that the table's log says to have nothing beyond are not opened.
    """
    dataset = store.dataset(line.tenant, table)
    if dataset is None:
        return beyond
    found = beyond
    for fragment in dataset.get_fragments(filter=of_line(line) & (pc.field(column) > beyond)):
        fragment.ensure_complete_metadata()
        told = [group.statistics.get(column, {}) for group in fragment.row_groups]
        found = max(found, *(int(one["max"]) for one in told if one.get("max") is not None), beyond)
    return found


def in_order(
    store: Store,
    line: Line,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    first: int = 0,
    last: int | None = None,
) -> Iterator[pa.Table]:
    """Rows of a line in tables that follow one another: each holds all rows of its blocks, in any order.

    They are the rows as they were live: corrections came in no block.

    Parameters
    ----------
    columns
        To be read; a file that lacks one is read without it, and the partition columns are never among them.
    first, last
        Stream sequences of the first and the last block that are wanted.
    """
    wanted = None if columns is None else [*dict.fromkeys((*columns, "revision"))]
    return ahead(_in_order(groups_of(store, line, table, last, first), wanted, first, last))


def ahead(items: Iterator[T], most: int = 1) -> Iterator[T]:
    """Items of an iterator, of which the next ones, so many at most, are made in a thread while one is worked with.

    Decoding and copying release the interpreter's lock, so the two do run at once.
    """
    pool = ThreadPoolExecutor(1)
    try:
        following = deque(pool.submit(next, items, None) for _ in range(most))
        while (item := following.popleft().result()) is not None:
            following.append(pool.submit(next, items, None))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(groups: list[Group], columns: Sequence[str] | None, first: int, last: int | None) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for group, following in zip_longest(groups, groups[1:]):
        rows = live(group.read(columns))
        waiting.append(rows.filter(pc.greater_equal(rows[_SEQUENCE], first)) if group.lowest < first else rows)
        ready, waiting = _split(waiting, following.lowest if following else None, last)
        if ready.num_rows:
            yield ready


def groups_of(store: Store, line: Line, table: str, last: int | None, first: int = 0) -> list[Group]:
    """Row groups of a line's rows in a table, by their lowest block; those out of ``first`` to ``last`` are not."""
    dataset = store.dataset(line.tenant, table)
    if dataset is None:
        return []
    where = of_line(line)
    if last is not None:
        where &= pc.field(_SEQUENCE) <= last
    if first:
        where &= pc.field(_SEQUENCE) >= first
    found = []
    for fragment in dataset.get_fragments(filter=where):
        metadata = fragment.metadata
        column = metadata.schema.names.index(_SEQUENCE)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            told = group.column(column).statistics
            known = told is not None and told.has_min_max
            lowest = int(told.min) if known else 0  # without statistics it may hold anything, so it is read first
            highest = int(told.max) if known else first
            if group.num_rows and highest >= first and (last is None or lowest <= last):
                found.append(Group(fragment, number, lowest))
    return sorted(found, key=lambda group: group.lowest)


def _split(tables: list[pa.Table], before: int | None, last: int | None) -> tuple[pa.Table, list[pa.Table]]:
    """Rows before a block, and tables of the others; rows behind ``last`` are dropped."""
    ready, waiting = [], []
    for table in tables:
        sequence = np.asarray(table[_SEQUENCE])
        if last is not None and sequence.max(initial=0) > last:
            table = table.filter(pa.array(sequence <= last))  # noqa: PLW2901 - the same table without its end
            sequence = sequence[sequence <= last]
        complete = sequence < before if before is not None else np.ones(len(sequence), bool)
        if complete.all():
            ready.append(table)
        elif not complete.any():
            waiting.append(table)
        else:
            ready.append(table.filter(pa.array(complete)))
            waiting.append(table.filter(pa.array(~complete)))
    if not ready:
        return pa.table({}), waiting
    return pa.concat_tables(ready, promote_options="default"), waiting
