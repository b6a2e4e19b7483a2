"""Merging the many small files of a table into few, each sorted by series.

A commit every few seconds makes small files, each of which holds a little of every series. Merged ones hold each series
in one piece: few bytes, and one row group to read. Sizes grow by half or more, so that no row is rewritten more than a
few times; what a merge holds in memory is bounded by :data:`CELLS`.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction, RemoveAction

from wheeltapper_workers.history.tables import PARTITIONS, SORTED_BY, Store

log = logging.getLogger(__name__)

MERGED_BYTES: Final = 32 * 2**20
"""A file of this size is large enough to be left alone."""
CELLS: Final = 96 * 10**6
"""Rows times columns in one file; a list counts as many columns as the table has."""
GROUP_ROWS: Final = 128 * 1024
CLOSED_FILES: Final = 3
"""So many small files a day may keep that gets no more."""
_LEAST_BYTES: Final = 2**20
_DISTINCT: Final = 0.2
"""Share of different numbers up to which a dictionary is smaller than the numbers."""
_STATISTICS_TEXT: Final = 64

Place = tuple[str, str, date]


@dataclass(frozen=True, slots=True)
class File:
    """A file of a table, as its log has it."""

    path: str
    place: Place
    """Plant, class and day."""
    size: int
    rows: int


def files_of(table: DeltaTable) -> list[File]:
    """Live files."""
    actions = pa.table(table.get_add_actions(flatten=True))
    names = ["path", *(f"partition.{name}" for name in PARTITIONS), "size_bytes", "num_records"]
    columns = [actions[name].to_pylist() for name in names]
    return [
        File(path, (plant, asset_class, day), size, rows or 0)
        for path, plant, asset_class, day, size, rows in zip(*columns, strict=True)
    ]


def plan(files: Iterable[File], most_rows: int) -> list[list[File]]:
    """Files to be merged into one each. Pure.

    Of each partition's small files, smallest first, those are taken that are at most twice as large as the ones before
    together: so a file grows by half or more whenever it is rewritten.
    """
    small: dict[Place, list[File]] = {}
    newest: dict[tuple[str, str], date] = {}
    for file in files:
        if file.size < MERGED_BYTES and file.rows < most_rows:
            small.setdefault(file.place, []).append(file)
        line = file.place[:2]
        newest[line] = max(newest.get(line, file.place[2]), file.place[2])
    merges = []
    for place, found in sorted(small.items()):
        closed = place[2] < newest[place[:2]] and len(found) > CLOSED_FILES
        chosen = sorted(found, key=lambda file: (file.size, file.path))
        if not closed:
            chosen = _growing(chosen)
        merges += [part for part in _parts(chosen, most_rows) if len(part) > 1]
    return merges


def spared(merges: Iterable[Sequence[File]]) -> int:
    """How many files fewer there are after merging."""
    return sum(len(part) - 1 for part in merges)


def most_rows(columns: pa.Schema) -> int:
    """Rows that a merged file may have, so that merging fits in the memory."""
    lists = sum(1 for kind in columns.types if pa.types.is_list(kind))
    width = len(columns) * (1 + lists)
    return max(1, CELLS // width)


def merge(store: Store, tenant: str, name: str, table: DeltaTable, files: Sequence[File]) -> None:
    """Merge files of one partition on a snapshot.

    Raises
    ------
    CommitFailedError
        If another process removed one of them meanwhile, or swept the table. Nothing is changed then.
    """
    system = store.files(tenant, name)
    rows = _read(system, files, pa.schema(table.schema().to_arrow()))
    order = _order(rows, SORTED_BY.get(name, ()))
    place: dict[str, str | None] = dict(zip(PARTITIONS, (str(part) for part in files[0].place), strict=True))
    folder = "/".join(f"{key}={value}" for key, value in place.items())
    path = f"{folder}/part-00000-{uuid.uuid4()}-c000.zstd.parquet"
    size, statistics = _write(system, path, rows, order)
    now = int(time.time() * 1000)
    actions: list[AddAction | RemoveAction] = [
        RemoveAction(file.path, data_change=False, deletion_timestamp=now, size=file.size, partition_values=place)
        for file in files
    ]
    actions.append(AddAction(path, size, place, now, False, json.dumps(statistics)))
    version = (table.transaction_version(merge_id(name)) or 0) + 1
    table.create_write_transaction(
        actions,
        "append",
        table.schema(),
        partition_by=list(PARTITIONS),
        commit_properties=CommitProperties(app_transactions=[Transaction(merge_id(name), version)]),
    )


def merge_id(name: str) -> str:
    """Name under which merges of a table exclude one another, and a sweep excludes them."""
    return f"wheeltapper-historian/{name}/merged"


def _growing(files: Sequence[File]) -> list[File]:
    chosen: list[File] = []
    total = 0
    for file in files:
        if chosen and file.size > 2 * max(total, _LEAST_BYTES):
            break
        chosen.append(file)
        total += file.size
    return chosen


def _parts(files: Sequence[File], most: int) -> list[list[File]]:
    parts: list[list[File]] = []
    rows = size = 0
    for file in files:
        if not parts or rows + file.rows > most or size + file.size > 2 * MERGED_BYTES:
            parts.append([])
            rows = size = 0
        parts[-1].append(file)
        rows, size = rows + file.rows, size + file.size
    return parts


def _read(system: pafs.FileSystem, files: Sequence[File], schema: pa.Schema) -> pa.Table:
    """Rows of all files, with texts as codes; column by column, so that nothing is in the memory twice."""
    wanted = [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if pa.types.is_string(field.type) else field
        for field in schema
        if field.name not in PARTITIONS
    ]
    texts = [field.name for field in wanted if pa.types.is_dictionary(field.type)]
    with ExitStack() as stack:
        parts = [
            pq.ParquetFile(stack.enter_context(system.open_input_file(file.path)), read_dictionary=texts)
            for file in files
        ]
        columns = [_column(parts, field) for field in wanted]
    return pa.table(columns, schema=pa.schema(wanted))


def _column(parts: Sequence[pq.ParquetFile], field: pa.Field) -> pa.ChunkedArray:
    """A column of all files; one that a file does not have is null there."""
    found = [
        part.read(columns=[field.name])[field.name].cast(field.type)
        if field.name in part.schema_arrow.names
        else pa.chunked_array([pa.nulls(part.metadata.num_rows, field.type)])
        for part in parts
    ]
    joined = pa.chunked_array([chunk for column in found for chunk in column.chunks], field.type)
    return pa.chunked_array([joined.unify_dictionaries().combine_chunks()], field.type)


def _order(rows: pa.Table, names: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Positions in the table's order; equal ones stay in the order in which they came. None for that alone."""
    if not names:
        return None
    return np.lexsort([_key(rows[name]) for name in reversed(names)])


def _key(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    if not pa.types.is_dictionary(array.type):
        return np.asarray(array.view(pa.int64()) if pa.types.is_timestamp(array.type) else array)
    names = np.array(array.dictionary.to_pylist(), dtype=np.str_)
    ranks = np.append(np.argsort(np.argsort(names)), -1)
    found: npt.NDArray[np.int64] = ranks[np.asarray(array.indices.fill_null(len(names)))]
    return found


def _write(
    system: pafs.FileSystem, path: str, rows: pa.Table, order: npt.NDArray[np.int64] | None
) -> tuple[int, dict[str, Any]]:
    """Write a file; returns its bytes, and its statistics as the log has them."""
    coded, encodings = _encodings(rows)
    plain = pa.schema(
        [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in rows.schema], metadata=None
    )
    with (
        system.open_output_stream(path) as stream,
        pq.ParquetWriter(
            stream,
            plain,
            compression="zstd",
            compression_level=3,
            use_dictionary=coded,
            column_encoding=encodings,
            store_schema=False,
        ) as writer,
    ):
        for start in range(0, rows.num_rows, GROUP_ROWS):
            part = rows.slice(start, GROUP_ROWS) if order is None else rows.take(order[start : start + GROUP_ROWS])
            writer.write_table(part.cast(plain), row_group_size=GROUP_ROWS)
        writer.close()
        size = stream.tell()
    return size, _statistics(rows)


def _encodings(rows: pa.Table) -> tuple[list[str], dict[str, str]]:
    """Columns written as a dictionary, and the encodings of the others, whichever comes out smaller."""
    coded, encodings = [], {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if field.name in ("source_time", "window_end"):
            encodings[field.name] = "DELTA_BINARY_PACKED"  # near each other in the order of the file, and never equal
        elif pa.types.is_floating(field.type) and _varied(column):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        else:
            coded.append(field.name)
    return coded, encodings


def _varied(column: pa.ChunkedArray) -> bool:
    some = column.slice(0, GROUP_ROWS)
    distinct: int = pc.count_distinct(some).as_py()
    return distinct > _DISTINCT * len(some)


def _statistics(rows: pa.Table) -> dict[str, Any]:
    """Bounds by which readers leave files out. Numbers with a point are not among them: NaN has no place in order."""
    lowest, highest, nulls = {}, {}, {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if pa.types.is_list(field.type) or pa.types.is_floating(field.type):
            continue
        nulls[field.name] = column.null_count
        if column.null_count < len(column):
            bounds = [_said(bound) for bound in _bounds(column)]
            if all(not isinstance(bound, str) or len(bound) <= _STATISTICS_TEXT for bound in bounds):
                lowest[field.name], highest[field.name] = bounds
    return {"numRecords": rows.num_rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls}


def _bounds(column: pa.ChunkedArray) -> tuple[Any, Any]:
    if pa.types.is_dictionary(column.type):
        names = [name for name in column.chunk(0).dictionary.to_pylist() if name is not None]
        return min(names), max(names)
    found = pc.min_max(column)
    return found["min"], found["max"]


def _said(bound: Any) -> Any:
    if isinstance(bound, pa.TimestampScalar):
        return f"{bound.as_py().replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    return bound.as_py() if isinstance(bound, pa.Scalar) else bound
