"""The historian: keeps every block of a tenant's streams, once, in tables.

The position in a stream is kept in the table itself, in the commit that added the rows: there is no other checkpoint,
so a crash at any point leaves the two agreeing. Each stream feeds one table, so a commit of a table is whole by itself.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from wheeltapper_api.config import StoreConfig
from wheeltapper_api.wire import HEADER_TICK, Line, Stage
from wheeltapper_workers.history.announced import Announcements, ToldTick, read_tick
from wheeltapper_workers.history.cleaner import Cleaned, clean
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.rows import Entry, read_entry, rows_of
from wheeltapper_workers.history.tables import CONFIGS, QUARANTINE, TABLE_OF, TABLES, Store
from wheeltapper_workers.runtime.line import line_generation

log = logging.getLogger(__name__)

MAX_BYTES: Final = 256 * 2**20
"""Buffered at most; beyond it the historian is full, and its reader has to wait for a commit."""
COMPACT_FILES: Final = 150
"""A commit costs 19 ms with 250 live files and 138 ms with 2,000."""
COMPACTED_BYTES: Final = 96 * 2**20
"""A file of this size is large enough to be left alone."""
QUARANTINE_FILES: Final = 1000
"""Bad blocks kept aside at most; a source gone mad must not fill the disk."""
_ATTEMPTS: Final = 5
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=3)


class StoreError(Exception):
    """The tables could not be written. Nothing is lost: the rows wait, and the commit may be tried again."""


@dataclass(frozen=True, slots=True)
class BadBlock:
    """A message that could not be read as what its stream should hold."""

    stage: Stage
    sequence: int
    published_ns: int
    subject: str
    reason: str
    payload: bytes

    def __str__(self) -> str:
        """Say what is wrong, where it is kept, and what to do."""
        return (
            f"{self.stage.stream} {self.sequence} on {self.subject} was not stored: {self.reason}. It is kept in the "
            f"folder {QUARANTINE}; see which writer published it"
        )


@dataclass(slots=True)
class Buffer:
    """What waits for the commit of one table."""

    entries: list[Entry] = field(default_factory=list)
    bad: list[BadBlock] = field(default_factory=list)
    ticks: list[ToldTick] = field(default_factory=list)
    """Those that may have changed a line's config."""
    last: int = 0
    """Sequence of the last message of the stream that was added, of whatever kind."""

    @property
    def rows(self) -> int:
        """Rows that wait; a bad block or tick counts as one, since it too has to be written."""
        rows: int = sum(entry.batch.num_rows for entry in self.entries)
        return rows + len(self.bad) + len(self.ticks)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        size: int = sum(entry.batch.nbytes for entry in self.entries)
        return size + sum(len(block.payload) for block in self.bad)

    def before(self, later: Buffer) -> Buffer:
        """Both, in order."""
        return Buffer(
            self.entries + later.entries, self.bad + later.bad, self.ticks + later.ticks, max(self.last, later.last)
        )


class Historian:
    """Keeps the streams of one tenant under ``root``.

    ``add``, ``due`` and ``full`` do no I/O and belong on the event loop; ``commit``, ``compact`` and ``clean`` block
    and belong in threads. They may run at the same time as ``add`` and as each other.
    """

    def __init__(
        self,
        root: str,
        config: StoreConfig,
        *,
        storage_options: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._store, self._config, self._max_bytes = Store(root, storage_options), config, max_bytes
        self._buffers = {stage: Buffer() for stage in Stage}
        self._rows = self._bytes = 0
        self._waiting_since_ns: int | None = None
        self._tables: dict[Stage, DeltaTable] = {}
        self._told: dict[tuple[Stage, Line], str] = {}
        """Generation of the last tick that was added."""
        self._announcements = Announcements(self._store, config.tenant)
        self._announcements.want(config.lines, line_generation)
        self._guard = threading.Lock()
        self._committing = threading.Lock()

    def configure(self, config: StoreConfig) -> None:
        """Follow another config; what is buffered stays."""
        self._config = config
        self._announcements.want(config.lines, line_generation)

    def add(
        self,
        stage: Stage,
        sequence: int,
        published_ns: int,
        subject: str,
        payload: bytes | pa.RecordBatch,
        headers: Mapping[str, str] | None = None,
    ) -> BadBlock | None:
        """Take a message in; messages of a stream come in order, and one that came before is passed over.

        Parameters
        ----------
        stage, sequence, published_ns
            Its stream, stream sequence, and the server's timestamp in nanoseconds.
        payload
            Arrow IPC stream or its batch; CloudEvent JSON for events; empty for a tick.

        Returns
        -------
        BadBlock or None
            What is wrong with the message, for the log and the status. It is kept aside, and the position moves on.
        """
        headers = headers or {}
        if sequence <= self._buffers[stage].last:
            return None
        added, bad = Buffer(last=sequence), None
        if HEADER_TICK in headers:
            added.ticks += self._changes(stage, read_tick(sequence, subject, headers))
        else:
            try:
                added.entries.append(self._read(stage, sequence, published_ns, subject, payload, headers))
            except ValueError as error:
                data = payload if isinstance(payload, bytes) else b""
                bad = BadBlock(stage, sequence, published_ns, subject, str(error), data)
                added.bad.append(bad)
        with self._guard:
            self._put(stage, added)
        return bad

    def due(self, now_ns: int) -> bool:
        """Whether to commit: enough rows wait, or the first call that saw any waiting was long enough ago."""
        with self._guard:
            if self._rows == 0:
                self._waiting_since_ns = None
                return False
            if self._waiting_since_ns is None:
                self._waiting_since_ns = now_ns
            if self._rows >= self._config.commit_rows or self._bytes >= self._max_bytes:
                return True
            return now_ns - self._waiting_since_ns >= self._config.commit_every_ns

    @property
    def full(self) -> bool:
        """Whether the reader has to wait; what a running commit holds counts too."""
        with self._guard:
            return self._bytes >= self._max_bytes

    @property
    def buffered_rows(self) -> int:
        """Rows that are not stored yet."""
        with self._guard:
            return self._rows

    def positions(self) -> dict[str, int]:
        """Last stream sequence each table contains, by stream; 0 where there is nothing.

        Read the stream from the next one on. This opens the tables, and is meant for the start.
        """
        found: dict[str, int] = {}
        for stage in Stage:
            table = self._store.open(self._config.tenant, TABLE_OF[stage])
            found[stage.stream] = _covered(table, stage) if table else 0
        return found

    def commit(self) -> dict[str, int]:
        """Write what waits, each table in one commit; returns the positions of the tables written to.

        Raises
        ------
        StoreError
            If a table could not be written. The others are; the rows of that one wait on.
        """
        written: dict[str, int] = {}
        problems: list[str] = []
        with self._committing:
            try:
                self._announcements.keep_configs()
            except (DeltaError, pa.ArrowException, OSError) as error:
                problems.append(f"{CONFIGS}: {error}")
            for stage in Stage:
                taken = self._take(stage)
                if not taken.rows:
                    continue  # ticks that change no config are worth no commit: read again, they change nothing
                stored = False
                try:
                    if taken.ticks:
                        self._announcements.keep_ticks(stage, taken.ticks, taken.last)
                    if taken.entries or taken.bad:
                        written[stage.stream] = self._write(stage, taken)
                    stored = True
                except (DeltaError, pa.ArrowException, OSError) as error:
                    self._tables.pop(stage, None)  # the snapshot may be what is wrong
                    problems.append(f"{TABLE_OF[stage]} ({taken.rows} rows wait): {error}")
                finally:
                    self._settle(stage, taken, stored=stored)
        if problems:
            raise StoreError(f"Cannot write under {self._store.root}: {'; '.join(problems)}")
        return written

    def compact(self) -> list[str]:
        """Merge small files where there are many; returns the tables it was done for.

        Old files stay on disk, since a reader or a late writer may still need them. A conflict with another process
        means that it is done another time.
        """
        done = []
        for table in TABLES:
            opened = self._store.open(self._config.tenant, table)
            if opened is None or mergeable_files(opened) <= COMPACT_FILES:
                continue
            try:
                opened.optimize.compact(target_size=COMPACTED_BYTES, max_concurrent_tasks=1, writer_properties=_WRITER)
            except CommitFailedError as error:
                log.info("The files of %s are merged another time: %s", table, error)
            else:
                done.append(table)
        return done

    def clean(self, now_ns: int) -> Cleaned | None:
        """Remove what is past its age; None where everything is kept.

        Raises
        ------
        StoreError
            If the tables or a hold cannot be read, or the tables not be written.
        """
        retention = self._config.retention
        if retention is None:
            return None
        try:
            return clean(self._store, self._config.tenant, retention, now_ns)
        except (QueryError, DeltaError, pa.ArrowException, OSError) as error:
            raise StoreError(f"Cannot remove what is past its age under {self._store.root}: {error}") from error

    def _read(
        self, stage: Stage, sequence: int, published_ns: int, subject: str, payload: Any, headers: Mapping[str, str]
    ) -> Entry:
        entry = read_entry(stage, sequence, published_ns, subject, payload, headers)
        if entry.line.tenant != self._config.tenant:
            raise ValueError(f"It is of the tenant {entry.line.tenant}, not of {self._config.tenant}")
        return entry

    def _changes(self, stage: Stage, tick: ToldTick | None) -> list[ToldTick]:
        """The tick, if it may change its line's config: the first one after a start may, the table knows it."""
        if tick is None or tick.line.tenant != self._config.tenant:
            return []
        before = self._told.get((stage, tick.line))
        self._told[stage, tick.line] = tick.generation
        return [] if before == tick.generation else [tick]

    def _put(self, stage: Stage, added: Buffer) -> None:
        buffer = self._buffers[stage]
        buffer.entries.extend(added.entries)
        buffer.bad.extend(added.bad)
        buffer.ticks.extend(added.ticks)
        buffer.last = max(buffer.last, added.last)
        self._rows += added.rows
        self._bytes += added.size

    def _take(self, stage: Stage) -> Buffer:
        with self._guard:
            taken = self._buffers[stage]
            self._buffers[stage] = Buffer(last=taken.last)
            return taken

    def _settle(self, stage: Stage, taken: Buffer, *, stored: bool) -> None:
        """Let go of what is stored; put back what is not."""
        with self._guard:
            if stored:
                self._rows -= taken.rows
                self._bytes -= taken.size
                self._waiting_since_ns = None
            else:
                self._buffers[stage] = taken.before(self._buffers[stage])

    def _write(self, stage: Stage, taken: Buffer) -> int:
        """Write one table, once; returns the position it has then."""
        self._keep_aside(taken.bad)
        for _ in range(_ATTEMPTS):
            table = self._snapshot(stage)
            covered = _covered(table, stage)
            if covered >= taken.last:
                return covered  # a commit whose answer was lost, or another instance, has stored all of it
            rows = rows_of(stage, [entry for entry in taken.entries if entry.sequence > covered])
            try:
                self._append(table, stage, rows, taken.last)
            except CommitFailedError as error:
                # Another process wrote since the snapshot. What it covered is seen on the next one.
                log.info("Wrote %s at the same time as another: %s", TABLE_OF[stage], error)
                continue
            return taken.last
        raise CommitFailedError(f"others wrote {_ATTEMPTS} times in between; only one historian may serve a tenant")

    def _append(self, table: DeltaTable, stage: Stage, rows: pa.Table, last: int) -> None:
        """Commit rows and position together, on the very snapshot that told what is covered."""
        properties = CommitProperties(app_transactions=[Transaction(_app_id(stage), last)])
        write_deltalake(
            table,
            rows,
            mode="append",
            schema_mode="merge",
            writer_properties=_WRITER,
            commit_properties=properties,
        )

    def _snapshot(self, stage: Stage) -> DeltaTable:
        table = self._tables.get(stage)
        if table is None:
            table = self._tables[stage] = self._store.create(self._config.tenant, TABLE_OF[stage])
        table.update_incremental()
        return table

    def _keep_aside(self, bad: Iterable[BadBlock]) -> None:
        """Keep bad blocks as files, named so that a second time overwrites the first."""
        bad = list(bad)
        if not bad:
            return
        files = self._store.files(self._config.tenant, QUARANTINE)
        kept = len(files.get_file_info(pafs.FileSelector("", allow_not_found=True)))
        for block in bad[: max(0, (QUARANTINE_FILES * 2 - kept) // 2)]:
            name = f"{block.stage.stream}-{block.sequence}"
            told = {"subject": block.subject, "publishedNs": block.published_ns, "reason": block.reason}
            _write_file(files, f"{name}.block", block.payload)
            _write_file(files, f"{name}.json", json.dumps(told).encode())


def mergeable_files(table: DeltaTable) -> int:
    """Files that merging would spare: of each partition's small files all but one."""
    actions = pa.table(table.get_add_actions(flatten=True))
    small = actions.filter(pc.less(actions["size_bytes"], COMPACTED_BYTES))
    parts = small.group_by([name for name in small.column_names if name.startswith("partition.")])
    counts = parts.aggregate([([], "count_all")])["count_all"].to_pylist()
    mergeable: int = sum(counts) - len(counts)
    return mergeable


def _app_id(stage: Stage) -> str:
    return f"wheeltapper-historian/{stage.stream}"


def _covered(table: DeltaTable, stage: Stage) -> int:
    return table.transaction_version(_app_id(stage)) or 0


def _write_file(files: pafs.FileSystem, name: str, data: bytes) -> None:
    with files.open_output_stream(name) as stream:
        stream.write(data)
