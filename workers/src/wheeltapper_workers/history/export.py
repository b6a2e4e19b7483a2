"""Rows of a table as Parquet or CSV with a data dictionary, in batches: a history never has to fit into memory.

The dictionary is a ``datapackage.json`` (Frictionless Data Package 1): columns with type, meaning and unit.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from wheeltapper_api.config import LineConfig
from wheeltapper_api.fields import Model
from wheeltapper_workers.history.folder import Rows, write_parquet
from wheeltapper_workers.history.query import QueryError, open_store
from wheeltapper_workers.history.retention import EPOCH
from wheeltapper_workers.history.tables import CONFIGS, FIELDS, TIME, Store, feature_column

FORMATS: Final = ("parquet", "csv")
_TIME_COLUMN: Final = {"raw": "source_time", "features": "window_end", "scores": "window_end"}
_US_PER_DAY: Final = 86_400 * 10**6
_MEDIA: Final = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv"}
_SLACK_DAYS: Final = 2
"""A row with an impossible clock lies under the day it was received; days beside the period are looked at, too."""


class Exported(Model):
    """What was written."""

    table: str
    file: str
    dictionary: str
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of a table that are wanted; None does not narrow. Microseconds since 1970, the end is not in it."""

    table: str
    asset: str | None = None
    start_us: int | None = None
    end_us: int | None = None


def export(
    root: str, tenant: str, wanted: Wanted, file: Path, *, storage_options: Mapping[str, str] | None = None
) -> Exported:
    """Write rows to a file, in the format that its name ends with, and their dictionary beside it.

    Raises
    ------
    QueryError
        If the table has no data or no such column, or the name ends with no known format.
    OSError
        If the file cannot be written; then there is none.
    """
    kind = file.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise QueryError(f"{file.name} ends with no format; let it end with .parquet or .csv")
    store = open_store(root, tenant, storage_options)
    dataset = store.dataset(tenant, wanted.table)
    if dataset is None:
        raise QueryError(f"No data yet in {wanted.table} of {tenant} under {root}")
    described = _described(store, tenant, wanted.table)
    meanings = {name: _meaning(told) for name, told in described.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    found = Rows(dataset, _where(wanted, dataset.schema))
    with _whole(file) as partial:
        rows = write_parquet(partial, found, meanings) if kind == "parquet" else _write_csv(partial, found)
    dictionary = file.with_name(f"{file.stem}.datapackage.json")
    document = _dictionary(wanted, file, kind, rows, dataset.schema, described)
    dictionary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Exported(
        table=wanted.table, file=str(file), dictionary=str(dictionary), rows=rows, size_bytes=file.stat().st_size
    )


@contextlib.contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """Path to write to, which becomes the file when all of it is there."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _where(wanted: Wanted, schema: pa.Schema) -> pc.Expression | None:
    parts = []
    if wanted.asset is not None:
        if "asset" not in schema.names:
            raise QueryError(f"The rows of {wanted.table} are of no twin; leave --twin out")
        parts.append(pc.field("asset") == wanted.asset)
    column = pc.field(_TIME_COLUMN.get(wanted.table, "time"))
    if wanted.start_us is not None:
        parts += [column >= pa.scalar(wanted.start_us, TIME), pc.field("day") >= _day(wanted.start_us, -_SLACK_DAYS)]
    if wanted.end_us is not None:
        parts += [column < pa.scalar(wanted.end_us, TIME), pc.field("day") <= _day(wanted.end_us, _SLACK_DAYS)]
    where: pc.Expression | None = None
    for part in parts:
        where = part if where is None else where & part
    return where


def _day(microseconds: int, slack: int) -> pa.Scalar:
    return pa.scalar(EPOCH + timedelta(days=microseconds // _US_PER_DAY + slack), pa.date32())


def _write_csv(path: Path, found: Rows) -> int:
    """Write rows as CSV by RFC 4180: times in ISO 8601 and UTC, lists with ``;`` between, nothing for null and NaN."""
    schema = pa.schema([(field.name, _csv_type(field.type)) for field in found.schema])
    rows = 0
    with pcsv.CSVWriter(path, schema) as writer:
        for batch in found.batches():
            columns = [_csv_column(column) for column in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            rows += batch.num_rows
    return rows


def _csv_type(kind: pa.DataType) -> pa.DataType:
    textual = pa.types.is_list(kind) or pa.types.is_timestamp(kind) or pa.types.is_dictionary(kind)
    return pa.string() if textual else kind


def _csv_column(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        return pc.binary_join(column.cast(pa.list_(pa.string())), ";")
    if pa.types.is_timestamp(column.type):
        # Not by strftime: that looks for the system's time zones, and an image need not have any, not even UTC.
        text = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
        return pc.binary_join_element_wise(pc.replace_substring(text, " ", "T"), "Z", "")
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    return column.cast(_csv_type(column.type))


def _described(store: Store, tenant: str, table: str) -> dict[str, dict[str, str]]:
    """Meaning, and unit where there is one, by column; a feature's are those of the newest config that has it."""
    found = {name: {"description": meaning} for name, _, meaning in FIELDS[table]}
    if table == "features":
        for config in _configs(store, tenant):
            for feature in config.pipeline.features:
                found[feature_column(feature.name)] = {"description": feature.title, "unit": feature.unit}
    return found


def _configs(store: Store, tenant: str) -> list[LineConfig]:
    """Stored configs, the oldest first."""
    dataset = store.dataset(tenant, CONFIGS)
    if dataset is None:
        return []
    rows = dataset.to_table(columns=["document", "time"]).sort_by("time")
    return [LineConfig.model_validate_json(document) for document in rows["document"].to_pylist()]


def _meaning(told: Mapping[str, str]) -> str:
    unit = told.get("unit")
    return f"{told['description']}, in {unit}" if unit else told["description"]


def _dictionary(
    wanted: Wanted, file: Path, kind: str, rows: int, schema: pa.Schema, described: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    fields = [{"name": field.name, "type": _type(field.type), **described.get(field.name, {})} for field in schema]
    return {
        "profile": "data-package",
        "name": f"wheeltapper-{wanted.table}",
        "resources": [
            {
                "name": wanted.table,
                "path": file.name,
                "format": kind,
                "mediatype": _MEDIA[kind],
                "rows": rows,
                "schema": {"fields": fields, "missingValues": [""]},
            }
        ],
    }


def _type(kind: pa.DataType) -> str:
    """Type in the words of a Table Schema."""
    if pa.types.is_list(kind):
        return "array"
    if pa.types.is_timestamp(kind):
        return "datetime"
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_floating(kind):
        return "number"
    return "integer" if pa.types.is_integer(kind) else "string"
