"""The tables of a tenant: where they are and what their columns mean.

Delta tables, so that any engine reads them. Delta knows neither unsigned integers nor, portably, times finer than a
microsecond: unsigned columns are kept in the next wider signed type, and where nanoseconds belong to a row's identity
a second column holds the 0 to 999 beyond the microsecond.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from wheeltapper_api.fields import NAME_PATTERN
from wheeltapper_api.wire import Stage

TABLE_OF: Final[Mapping[Stage, str]] = {
    Stage.TELEMETRY: "raw",
    Stage.FEATURES: "features",
    Stage.SCORES: "scores",
    Stage.EVENTS: "events",
    Stage.GAPS: "gaps",
}
CONFIGS: Final = "configs"
TICKS: Final = "ticks"
REMOVED: Final = "removed"
CORRECTIONS: Final = "corrections"
TABLES: Final = (*TABLE_OF.values(), CONFIGS, TICKS, REMOVED, CORRECTIONS)
"""One for each stream, what the streams' steps were told meanwhile (configs, and where each took effect), what was
removed because of its age, and what late data corrected."""
QUARANTINE: Final = "quarantine"
UNREAD: Final = "unread"
"""Folder of notes on messages that were gone from their stream before they could be stored."""
PARTITIONS: Final = ("plant", "class", "day")

TIME: Final = pa.timestamp("us", tz="UTC")
_FLOATS: Final = pa.list_(pa.float64())

Fields = tuple[tuple[str, pa.DataType, str], ...]

_PLACE: Final[Fields] = (
    ("plant", pa.string(), "plant"),
    ("class", pa.string(), "asset class"),
    ("day", pa.date32(), "UTC date of the row's own time; by it and plant and class the files are divided"),
)
_ORIGIN: Final[Fields] = (
    ("block_sequence", pa.int64(), "stream sequence of the message that held the row"),
    ("published_time", TIME, "when that message was stored in its stream"),
    ("trace", pa.string(), "W3C traceparent of that message"),
    ("generation", pa.string(), "config generation it was made with"),
)
_MADE_OF: Final[Fields] = (("input_sequence", pa.int64(), "stream sequence of the message of which it was made"),)
_WINDOW: Final[Fields] = (
    ("window_end", TIME, "end of the window"),
    ("mode", pa.string(), "operating mode"),
    ("band", pa.int16(), "load band of the mode"),
    ("mode_since", TIME, "start of the mode"),
)
_TELEMETRY: Final[Fields] = (
    ("telemetry_first", pa.int64(), "first block with samples of the window"),
    ("telemetry_last", pa.int64(), "last block with samples of the window"),
    ("received_last", TIME, "when the newest of its samples reached the collector"),
)
_REVISION: Final[Fields] = (
    ("revision", pa.int32(), "0 as it was live, null in old files too; n after the nth correction by late data"),
    ("late_first", pa.int64(), "of a correction: first telemetry block with late samples that led to it"),
    ("late_last", pa.int64(), "of a correction: last such block"),
)

FIELDS: Final[Mapping[str, Fields]] = {
    "raw": (
        *_PLACE,
        ("asset", pa.string(), "asset"),
        ("signal", pa.string(), "signal"),
        ("source_time", TIME, "when the source measured, in whole microseconds"),
        ("source_nanos", pa.int16(), "nanoseconds of source_time beyond the microsecond, 0 to 999"),
        ("ordinal", pa.int64(), "number among samples of the series with equal source time"),
        ("value", pa.float64(), "value in the class's unit, NaN where there is no number"),
        ("text", pa.string(), "state, context or alarm, or the text found where a number belongs"),
        ("quality", pa.int32(), "flags of what is wrong, 0 is good"),
        ("status", pa.int64(), "status code of the protocol"),
        ("received_time", TIME, "when the collector received it"),
        ("received_nanos", pa.int16(), "nanoseconds of received_time beyond the microsecond, 0 to 999"),
        ("sample_rate", pa.float64(), "of a waveform's burst, in Hz; null elsewhere"),
        ("samples", _FLOATS, "samples of a burst, in the class's unit; null elsewhere"),
        ("block_row", pa.int32(), "row in the block"),
        *_ORIGIN,
    ),
    "features": (
        *_PLACE,
        ("asset", pa.string(), "asset"),
        *_WINDOW,
        ("features", pa.list_(pa.string()), "names of the features, in the order of coverage and quality"),
        ("coverage", _FLOATS, "share of the expected samples that were good"),
        ("quality", pa.list_(pa.int32()), "flags of the samples that were not"),
        *_TELEMETRY,
        ("pipeline_digest", pa.string(), "version of the feature pipeline"),
        *_MADE_OF,
        *_ORIGIN,
        *_REVISION,
    ),
    "scores": (
        *_PLACE,
        ("asset", pa.string(), "asset"),
        ("failure_model", pa.string(), "failure model"),
        *_WINDOW,
        ("score", pa.float64(), "1.0 at the limit, NaN where there is none"),
        ("reason", pa.string(), "why there is no score"),
        ("values", _FLOATS, "the model's inputs"),
        ("expected", _FLOATS, "what was expected of them"),
        ("deviation", _FLOATS, "how far they are from it, 1.0 at the limit"),
        ("coverage", pa.float64(), "lowest coverage of the inputs"),
        ("model_digest", pa.string(), "version of the model's graph"),
        ("baseline_digest", pa.string(), "version of what it learned"),
        ("features_sequence", pa.int64(), "block of FEATURES it was made of"),
        *_TELEMETRY,
        *_ORIGIN,
        *_REVISION,
    ),
    "events": (
        *_PLACE,
        ("alert_id", pa.string(), "alert"),
        ("type", pa.string(), "CloudEvents type: opened, changed or cleared"),
        ("time", TIME, "time of the event"),
        ("asset", pa.string(), "asset"),
        ("failure_model", pa.string(), "failure model"),
        ("severity", pa.string(), "watch, warn or act"),
        ("score", pa.float64(), "score"),
        ("summary", pa.string(), "what is wrong, in a sentence"),
        ("document", pa.string(), "the whole CloudEvent, as JSON"),
        *_MADE_OF,
        *_ORIGIN,
    ),
    "gaps": (
        *_PLACE,
        ("asset", pa.string(), "asset"),
        ("signal", pa.string(), "signal"),
        ("since", TIME, "last sample before"),
        ("until", TIME, "first sample after"),
        ("cause", pa.string(), "why they are missing"),
        ("recovered", pa.bool_(), "whether the source had kept all of them and gave them when asked"),
        ("samples", pa.int64(), "samples it gave"),
        *_ORIGIN,
    ),
    CONFIGS: (
        *_PLACE,
        ("shard", pa.string(), "part of the class's machines at the plant"),
        ("generation", pa.string(), "config generation: a digest of the document"),
        ("document", pa.string(), "config of the line, as canonical JSON"),
        ("time", TIME, "when the historian first saw it"),
    ),
    TICKS: (
        *_PLACE,
        ("shard", pa.string(), "part of the class's machines at the plant"),
        ("stage", pa.string(), "stream whose steps were told: telemetry, features or scores"),
        ("block_sequence", pa.int64(), "stream sequence of the tick; the generation holds from here on"),
        ("time", TIME, "time that the tick tells"),
        ("generation", pa.string(), "config generation, other than that of the tick before"),
        ("learned", pa.binary(), "baselines that came with it, learned from what was stored"),
    ),
    REMOVED: (
        *_PLACE,
        ("removed_from", pa.string(), "table that had the rows"),
        ("rows", pa.int64(), "how many of that day there were"),
        ("time", TIME, "when it was decided; the rows went right after"),
        ("kept_for", pa.string(), "age after which such rows go"),
    ),
    CORRECTIONS: (
        *_PLACE,
        ("shard", pa.string(), "part of the class's machines at the plant"),
        ("number", pa.int64(), "counts the entries"),
        ("time", TIME, "when it was entered"),
        ("block_sequence", pa.int64(), "telemetry block up to which late samples were looked for"),
        ("late", pa.int64(), "late samples found since the entry before"),
        ("windows", pa.int64(), "windows whose features were corrected"),
        ("scores", pa.int64(), "scores that were corrected"),
        ("crossed", pa.int64(), "of them those that are now on the other side of the limit"),
        ("note", pa.string(), "what could not be corrected, and why"),
        ("state", pa.string(), "what the next look needs to know, as JSON"),
    ),
}
"""Columns by table: name, type, meaning. ``features`` has a column more for every feature any pipeline ever had."""

SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    table: pa.schema([pa.field(name, kind) for name, kind, _ in fields]) for table, fields in FIELDS.items()
}


SORTED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "raw": ("asset", "signal", "source_time", "source_nanos", "ordinal"),
    "features": ("asset", "window_end"),
    "scores": ("asset", "failure_model", "window_end"),
}
"""Order of the rows in a merged file; those of other tables stay as they came."""


def feature_column(feature: str) -> str:
    """Column of a feature: its name with underscores, so that SQL needs no quotes.

    A feature called like one of the table's own columns gets an underscore at the end, which no name can have.
    """
    name = feature.replace("-", "_")
    return f"{name}_" if name in SCHEMAS["features"].names else name


@dataclass(frozen=True, slots=True)
class Store:
    """Where tables are: a folder, or the ``s3://`` URL of an object store and what is needed to open it.

    ``options`` are those of the ``object_store`` crate that deltalake uses, in lower case, such as
    ``aws_endpoint_url``.
    """

    root: str
    options: Mapping[str, str] | None = field(default=None, repr=False)
    """Keys may be among them, which no log should show."""

    @property
    def storage_options(self) -> dict[str, str] | None:
        """Options as deltalake takes them."""
        return dict(self.options) if self.options else None

    def path(self, tenant: str, name: str) -> str:
        """Path of a table or folder of a tenant.

        Raises
        ------
        ValueError
            If the tenant's name is none: it would lead out of the root.
        """
        if not re.fullmatch(NAME_PATTERN, tenant):
            raise ValueError(f"{tenant!r} is not the name of a tenant")
        return f"{self.root.rstrip('/')}/{tenant}/{name}"

    def open(self, tenant: str, table: str) -> DeltaTable | None:
        """Newest snapshot of a table; None if nothing was stored in it yet."""
        path = self.path(tenant, table)
        local = _local(path)
        if local is not None and not local.is_dir():
            return None  # opening it would make the folder
        try:
            return DeltaTable(path, storage_options=self.storage_options)
        except TableNotFoundError:
            return None

    def create(self, tenant: str, table: str) -> DeltaTable:
        """Table of a tenant, made if it is not there."""
        path = self.path(tenant, table)
        _make_folder(path)
        return DeltaTable.create(
            path,
            SCHEMAS[table],
            mode="ignore",
            partition_by=list(PARTITIONS),
            # A commit every few seconds makes many log entries; beyond a day the checkpoints serve.
            configuration={
                "delta.logRetentionDuration": "interval 1 days",
                # Opening a table reads every commit since the last checkpoint.
                "delta.checkpointInterval": "20",
                "delta.deletedFileRetentionDuration": "interval 1 days",
            },
            storage_options=self.storage_options,
        )

    def dataset(self, tenant: str, table: str) -> pads.Dataset | None:
        """Newest snapshot as an Arrow dataset, whose files are pruned by partition and statistics; None if empty."""
        opened = self.open(tenant, table)
        return None if opened is None else opened.to_pyarrow_dataset(filesystem=self._folder(self.path(tenant, table)))

    def paths(self, tenant: str, table: str) -> list[str] | None:
        """Files of the newest snapshot, if they lie in a local folder; None elsewhere, and where there is no table."""
        local = _local(self.path(tenant, table))
        opened = self.open(tenant, table) if local is not None else None
        return None if opened is None else [unquote(urlsplit(uri).path) for uri in opened.file_uris()]

    def tenants(self) -> list[str]:
        """Tenants that have a folder under the root."""
        found = self._folder(self.root).get_file_info(pafs.FileSelector("", allow_not_found=True))
        names = [entry.base_name for entry in found if entry.type == pafs.FileType.Directory]
        return sorted(name for name in names if re.fullmatch(NAME_PATTERN, name))

    def files(self, tenant: str, name: str) -> pafs.FileSystem:
        """File system rooted at a folder of a tenant, which is made if it is not there."""
        path = self.path(tenant, name)
        _make_folder(path)
        return self._folder(path)

    def _folder(self, path: str) -> pafs.FileSystem:
        """Arrow's own access to files: that of deltalake keeps all of Python waiting while a server is slow."""
        local = _local(path)
        if local is not None:
            return pafs.SubTreeFileSystem(str(local), pafs.LocalFileSystem())
        return pafs.SubTreeFileSystem(path.removeprefix("s3://"), _s3(self.options or {}))


@dataclass(frozen=True, slots=True)
class Snapshot(Store):
    """A store of which each table is opened but once: opening takes long, and what is read of it fits together."""

    _opened: dict[tuple[str, str], pads.Dataset | None] = field(default_factory=dict, init=False, repr=False)

    def dataset(self, tenant: str, table: str) -> pads.Dataset | None:
        """A table as it was when it was first asked for."""
        key = tenant, table
        if key not in self._opened:
            self._opened[key] = Store.dataset(self, tenant, table)
        return self._opened[key]


def _s3(options: Mapping[str, str]) -> pafs.S3FileSystem:
    """What deltalake's options say, in Arrow's words."""
    scheme, _, endpoint = options.get("aws_endpoint_url", "").rpartition("://")
    return pafs.S3FileSystem(
        access_key=options.get("aws_access_key_id"),
        secret_key=options.get("aws_secret_access_key"),
        session_token=options.get("aws_session_token"),
        region=options.get("aws_region"),
        endpoint_override=endpoint or None,
        scheme=scheme or "https",
        tls_ca_file_path=os.environ.get("SSL_CERT_FILE"),
    )


def _local(path: str) -> Path | None:
    """Folder of a path or ``file://`` URL; None for an object store, which has no folders to be made."""
    if path.startswith("file://"):
        return Path(unquote(urlsplit(path).path))
    return None if "://" in path else Path(path)


def _make_folder(path: str) -> None:
    local = _local(path)
    if local is not None:
        local.mkdir(parents=True, exist_ok=True)
