"""Blocks as rows of the tables, and telemetry rows as the blocks they came in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from wheeltapper_api.fields import NAME_PATTERN
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_INPUT, HEADER_TRACE, AlertEvent, Line, Quality, Stage
from wheeltapper_workers.history.revisions import KEYS
from wheeltapper_workers.history.tables import SCHEMAS, TABLE_OF, TIME, feature_column
from wheeltapper_workers.runtime import blocks
from wheeltapper_workers.runtime.blocks import TIMESTAMP

I64 = npt.NDArray[np.int64]

_DAY_NS: Final = 86_400 * 10**9
_HEADER_LENGTH: Final = 200
_TIME_COLUMN: Final[Mapping[Stage, str]] = {
    Stage.TELEMETRY: "source_time",
    Stage.FEATURES: "window_end",
    Stage.SCORES: "window_end",
    Stage.EVENTS: "time",
    Stage.GAPS: "since",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of a stream that was read and found good; ``batch`` has its rows."""

    sequence: int
    published_ns: int
    line: Line
    batch: pa.RecordBatch
    trace: str
    generation: str
    input_sequence: int | None
    features: tuple[str, ...] = ()
    """Names of the features, in the order of a row's values."""
    pipeline_digest: str = ""


def read_entry(
    stage: Stage,
    sequence: int,
    published_ns: int,
    subject: str,
    payload: bytes | pa.RecordBatch,
    headers: Mapping[str, str],
) -> Entry:
    """Entry of a message.

    Raises
    ------
    ValueError
        If it is not what the stream should hold: a message comes from outside and is not believed unread.
    """
    try:
        line = line_of(subject)
        batch = _read_event(payload) if stage is Stage.EVENTS else _read_batch(stage, payload)
        names, digest = _read_features(batch) if stage is Stage.FEATURES else ((), "")
    except pa.ArrowException as error:
        raise ValueError(f"Not a sound Arrow block: {error}") from error
    source, _, _ = headers.get(HEADER_INPUT, "").partition(":")
    return Entry(
        sequence,
        published_ns,
        line,
        batch,
        _plain(headers.get(HEADER_TRACE, "")),
        _plain(headers.get(HEADER_GENERATION, "")),
        int(source) if source.isdecimal() and len(source) < 19 else None,
        names,
        digest,
    )


def line_of(subject: str) -> Line:
    """Line of a subject.

    Raises
    ------
    ValueError
        If it is not the subject of one.
    """
    line = Line.of_subject(subject)
    if not all(re.fullmatch(NAME_PATTERN, part) for part in (line.tenant, line.plant, line.asset_class)):
        raise ValueError(f"The subject {_plain(subject)} has parts that are no names")
    return line


def _plain(text: str) -> str:
    """Header as a column can hold it."""
    return text[:_HEADER_LENGTH].encode("utf-8", "replace").decode()


def _read_batch(stage: Stage, payload: bytes | pa.RecordBatch) -> pa.RecordBatch:
    batch = payload if isinstance(payload, pa.RecordBatch) else blocks.from_bytes(payload, stage)
    known = batch.schema.equals(blocks.SCHEMAS[stage], check_metadata=False)
    if not known and not (stage is Stage.TELEMETRY and blocks.is_waveform(batch)):
        raise ValueError(f"The block's columns are not those of {stage.value}: {batch.schema.names}")
    # A dictionary index or list offset beyond its array would be read as memory.
    batch.validate(full=True)
    for field, column in zip(batch.schema, batch.columns, strict=True):
        _check_column(field.name, column)
    return batch


def _check_column(name: str, column: pa.Array) -> None:
    """Refuse here what could not be stored: later it would hold up every block behind it."""
    if pa.types.is_dictionary(column.type):
        if column.dictionary.null_count:
            raise ValueError(f"The dictionary of {name} has an empty entry")
    elif column.null_count:
        raise ValueError(f"The block has rows without {name}")
    elif column.type == pa.uint64() and len(column) and pc.max(column).as_py() >= 2**63:
        raise ValueError(f"The block has a {name} beyond 63 bits")


def _read_features(batch: pa.RecordBatch) -> tuple[tuple[str, ...], str]:
    told = blocks.metadata(batch)
    names = json.loads(told.get("features", "null"))
    known = isinstance(names, list) and all(isinstance(n, str) and re.fullmatch(NAME_PATTERN, n) for n in names)
    if not known or len(set(names)) < len(names):
        raise ValueError("The block does not name its features")
    lists = (batch.column(column) for column in ("values", "coverage", "quality"))
    if any(
        pc.any(pc.not_equal(pc.fill_null(pc.list_value_length(column), -1), len(names))).as_py() for column in lists
    ):
        raise ValueError(f"The block names {len(names)} features and has rows with another number of values")
    return tuple(names), told.get("pipeline_digest", "")


def _read_event(payload: bytes | pa.RecordBatch) -> pa.RecordBatch:
    if not isinstance(payload, bytes):
        raise ValueError("An event is JSON, not Arrow")  # noqa: TRY004 - a bad message like any other, to be kept aside
    try:
        event = AlertEvent.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"Not an alert event: {where}: {first['msg']}") from error
    alert = event.data
    row = {
        "alert_id": alert.alert_id,
        "type": event.type,
        "asset": alert.asset,
        "failure_model": alert.failure_model,
        "severity": alert.severity,
        "score": alert.score,
        "summary": alert.summary,
        "document": payload.decode(),
    }
    columns = {name: pa.array([value], SCHEMAS["events"].field(name).type) for name, value in row.items()}
    columns["time"] = pc.cast(pa.array([event.time]), TIMESTAMP)
    return pa.RecordBatch.from_pydict(columns)


def rows_of(stage: Stage, entries: Sequence[Entry]) -> pa.Table:
    """Rows of the stage's table; none of no entries.

    Entries of one pipeline go together, since the columns of features differ between pipelines; so do bursts.
    """
    groups: dict[tuple[tuple[str, ...], str, bool], list[Entry]] = {}
    for entry in entries:
        if entry.batch.num_rows:
            key = (entry.features, entry.pipeline_digest, blocks.is_waveform(entry.batch))
            groups.setdefault(key, []).append(entry)
    tables = [_rows(stage, group) for group in groups.values()]
    return pa.concat_tables([SCHEMAS[TABLE_OF[stage]].empty_table(), *tables], promote_options="default")


def _rows(stage: Stage, entries: Sequence[Entry]) -> pa.Table:
    batch = blocks.concat(entry.batch.replace_schema_metadata(None) for entry in entries)
    columns = _columns(stage, batch) | _origin(entries)
    values: dict[str, Any] = {}
    if stage is Stage.FEATURES:
        columns |= _feature_names(batch.num_rows, entries[0])
        values = _feature_values(batch, entries[0].features)
    if TABLE_OF[stage] in KEYS:
        columns |= {"revision": np.zeros(batch.num_rows, np.int32)}
        columns |= {name: pa.nulls(batch.num_rows, pa.int64()) for name in ("late_first", "late_last")}
    if stage is Stage.TELEMETRY:
        counts = [entry.batch.num_rows for entry in entries]
        columns["block_row"] = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    schema = SCHEMAS[TABLE_OF[stage]]
    arrays = {name: _fit(columns[name], kind) for name, kind in zip(schema.names, schema.types, strict=True)}
    table = pa.table(arrays | values)
    return table.take(_by_series(batch)) if stage is Stage.TELEMETRY else table


def _columns(stage: Stage, batch: pa.RecordBatch) -> dict[str, Any]:
    columns: dict[str, Any] = {name: batch.column(name) for name in batch.schema.names}
    time = blocks.numbers(batch, _TIME_COLUMN[stage])
    if stage is Stage.TELEMETRY:
        received = blocks.numbers(batch, "received_time")
        columns |= {"source_nanos": time % 1000, "received_nanos": received % 1000}
        columns = _unsaid(batch.num_rows) | columns
        # A clock that runs wild would spread its samples over a folder for every day there ever was.
        time = np.where(blocks.numbers(batch, "quality") & Quality.CLOCK, received, time)
    if stage is Stage.SCORES:
        columns["score"] = _known(blocks.numbers(batch, "score"))
    columns["day"] = pa.array((time // _DAY_NS).astype(np.int32)).view(pa.date32())
    return columns


def _unsaid(count: int) -> dict[str, pa.Array]:
    """What a plain sample or a burst leaves open: a burst has no single value, a sample no burst."""
    plain = {"value": np.full(count, np.nan), "text": pa.nulls(count, pa.string())}
    burst = {"sample_rate": pa.nulls(count, pa.float64()), "samples": pa.nulls(count, pa.list_(pa.float64()))}
    return plain | burst


def _origin(entries: Sequence[Entry]) -> dict[str, Any]:
    counts = np.array([entry.batch.num_rows for entry in entries])
    told: dict[str, list[str]] = {
        "plant": [entry.line.plant for entry in entries],
        "class": [entry.line.asset_class for entry in entries],
        "trace": [entry.trace for entry in entries],
        "generation": [entry.generation for entry in entries],
    }
    which = pa.array(np.repeat(np.arange(len(entries)), counts))
    return {
        "block_sequence": np.repeat([entry.sequence for entry in entries], counts),
        "published_time": blocks.encode_times(np.repeat([entry.published_ns for entry in entries], counts)),
        "input_sequence": pa.array([entry.input_sequence for entry in entries], pa.int64()).take(which),
        **{name: pa.array(values, pa.string()).take(which) for name, values in told.items()},
    }


def _feature_names(count: int, entry: Entry) -> dict[str, Any]:
    names = entry.features
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * len(names))
    each = pa.array(np.tile(np.arange(len(names)), count))
    return {
        "features": pa.ListArray.from_arrays(offsets, pa.array(names, pa.string()).take(each)),
        "pipeline_digest": pa.array([entry.pipeline_digest], pa.string()).take(pa.array(np.zeros(count, np.int64))),
    }


def _feature_values(batch: pa.RecordBatch, names: Sequence[str]) -> dict[str, Any]:
    """A column for each feature."""
    values = blocks.matrix(batch, "values") if names else np.empty((batch.num_rows, 0))
    return {feature_column(name): _known(values[:, i]) for i, name in enumerate(names)}


def _known(values: npt.NDArray[np.float64]) -> pa.Array:
    """No value as null: for SQL NaN is a number, and the largest of all."""
    return pa.array(np.ascontiguousarray(values), pa.float64(), mask=np.isnan(values))


def _fit(column: Any, kind: pa.DataType) -> pa.Array:
    """Column in the table's type; times are cut to the microsecond below."""
    array = column if isinstance(column, pa.Array) else pa.array(column)
    if pa.types.is_timestamp(array.type) and kind == TIME:
        return pa.array(np.asarray(array.view(pa.int64()).fill_null(0)) // 1000, mask=_nulls(array)).view(TIME)
    return array.cast(kind)


def _nulls(array: pa.Array) -> Any:
    return np.asarray(array.is_null()) if array.null_count else None


def _by_series(batch: pa.RecordBatch) -> I64:
    """Order by asset, signal and time: a file then holds each series in one piece, small and quick to find."""
    keys = [blocks.numbers(batch, "source_time")]
    for column in ("signal", "asset"):
        encoded = blocks.codes(batch, column)
        rank = np.argsort(np.argsort(np.array(encoded.names, dtype=np.str_)))
        keys.append(np.append(rank, -1)[encoded.codes])
    return np.lexsort(keys)


def block_of(rows: pa.Table) -> pa.RecordBatch:
    """Telemetry block of all its stored rows: the same columns and values, to the nanosecond, as were published."""
    rows = rows.sort_by("block_row").combine_chunks()
    bursts = rows.num_rows > 0 and rows.column("samples").null_count == 0
    schema = blocks.WAVEFORMS if bursts else blocks.SCHEMAS[Stage.TELEMETRY]
    columns: dict[str, Any] = {}
    for field in schema:
        column = rows.column(field.name).combine_chunks()
        if pa.types.is_timestamp(field.type):
            nanos = np.asarray(rows.column(field.name.replace("time", "nanos")))
            columns[field.name] = blocks.encode_times(np.asarray(column.view(pa.int64())) * 1000 + nanos)
        elif pa.types.is_dictionary(field.type):
            columns[field.name] = column.cast(pa.string()).dictionary_encode()
        else:
            columns[field.name] = column.cast(field.type)
    return blocks.batch_of(schema, columns)
