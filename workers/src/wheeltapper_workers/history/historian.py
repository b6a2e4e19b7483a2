"""The historian: keeps every block of a tenant's streams, once, in tables.

The position in a stream is kept in the table itself, in the commit that added the rows: there is no other checkpoint,
so a crash at any point leaves the two agreeing. Each stream feeds one table, so a commit of a table is whole by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

from wheeltapper_api.config import StoreConfig
from wheeltapper_api.wire import HEADER_TICK, Line, Stage
from wheeltapper_workers.history.announced import Announcements, ToldTick, read_tick, writers
from wheeltapper_workers.history.aside import keep_bad, keep_gaps, kept_gaps
from wheeltapper_workers.history.cleaner import clean
from wheeltapper_workers.history.merging import files_of, merge, merge_id, most_rows, plan, spared
from wheeltapper_workers.history.pending import BadBlock, Pending
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.retention import Part
from wheeltapper_workers.history.revisions import correction_id
from wheeltapper_workers.history.rows import Entry, read_entry, rows_of
from wheeltapper_workers.history.store_words import STORAGE_ERRORS, said
from wheeltapper_workers.history.streams import Gap, ReadUpTo
from wheeltapper_workers.history.sweeping import sweep
from wheeltapper_workers.history.tables import CONFIGS, TABLE_OF, TABLES, UNREAD, Store
from wheeltapper_workers.runtime.configs import line_generation

log = logging.getLogger(__name__)

MAX_BYTES: Final = 256 * 2**20
"""Buffered at most; beyond it the historian is full, and its reader has to wait for a commit."""
PORTION_BYTES: Final = 8 * 2**20
"""Written in one commit at most; as rows of a table, names spelled out and sorted, it is many times as much."""
COMPACT_FILES: Final = 30
"""A commit costs 19 ms with 250 live files and 138 ms with 2,000; reading a series, a row group for every file."""
QUARANTINE_FILES: Final = 1000
"""Bad blocks kept aside at most; a source gone mad must not fill the disk."""
_ATTEMPTS: Final = 5
# Beside the position a commit keeps when its last message was published, and when the stream was made: microseconds.
_PUBLISHED: Final = "/published"
_MADE: Final = "/made"
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=3)


class StoreError(Exception):
    """The tables could not be written. Nothing is lost: the rows wait, and the commit may be tried again."""


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
        self._waiting = {stage: Pending() for stage in Stage}
        self._gaps: list[Gap] = []
        self._rows = self._bytes = 0
        self._waiting_since_ns: int | None = None
        self._tables: dict[Stage, DeltaTable] = {}
        self._made_us: dict[Stage, int] = {}
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

    def use(self, store: Store) -> None:
        """Go on with the same tables opened anew, as with other keys; what is buffered stays."""
        with self._committing:
            self._store = self._announcements.store = store
            self._tables.clear()

    def follow(self, stage: Stage, made_us: int) -> None:
        """Keep with the position when the stream was made that it counts in, in microseconds since 1970."""
        self._made_us[stage] = made_us

    def forget(self, stage: Stage, since_us: int) -> None:
        """Let go of what was published since then: another stream of the same name holds it."""
        with self._guard:
            waiting = self._waiting[stage]
            own = [entry for entry in waiting.entries if entry.published_ns < since_us * 1000]
            kept = waiting.until(own[-1])[0] if own else Pending()
            self._rows -= waiting.rows - kept.rows
            self._bytes -= waiting.size - kept.size
            self._waiting[stage] = kept

    def missed(self, gap: Gap) -> None:
        """Keep with the next commit that messages are missing; does no I/O."""
        with self._guard:
            self._gaps.append(gap)

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
        if sequence <= self._waiting[stage].last:
            return None
        added, bad = Pending(last=sequence, last_ns=published_ns), None
        if HEADER_TICK in headers:
            added.ticks += self._changes(stage, read_tick(sequence, subject, headers, bytes(payload)))
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
        """Whether to commit: enough rows wait, or the first call that saw any waiting was long enough ago.

        ``now_ns`` is of a clock that goes on evenly, such as ``time.monotonic_ns``.
        """
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

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are not stored yet."""
        with self._guard:
            return self._bytes

    def positions(self) -> dict[str, int]:
        """Last stream sequence each table contains, by stream; 0 where there is nothing.

        Read the stream from the next one on. This opens the tables, and is meant for the start.
        """
        return {stream: read.sequence for stream, read in self.read_up_to().items()}

    def read_up_to(self) -> dict[str, ReadUpTo]:
        """The message of each stream that the tables have last."""
        tables = {stage: self._store.open(self._config.tenant, TABLE_OF[stage]) for stage in Stage}
        return {stage.stream: _read_up_to(table, stage) if table else ReadUpTo() for stage, table in tables.items()}

    def gaps(self) -> list[Gap]:
        """What was gone before it could be stored, ever since the tables began."""
        return kept_gaps(self._store, self._config.tenant)

    def commit(self, stages: Iterable[Stage] = Stage) -> dict[str, int]:
        """Write what waits, in the order of the stages; returns the positions of the tables written to.

        Raises
        ------
        StoreError
            If a table could not be written. The others are; the rows of that one wait on.
        """
        written: dict[str, int] = {}
        problems: list[str] = []
        with self._committing:
            for what, keep in ((CONFIGS, self._announcements.keep_configs), (UNREAD, self._keep_gaps)):
                try:
                    keep()
                except STORAGE_ERRORS as error:
                    problems.append(f"{what}: {said(error)}")
            for stage in stages:
                try:
                    self._commit_stage(stage, written)
                except STORAGE_ERRORS as error:
                    self._tables.pop(stage, None)  # the snapshot may be what is wrong
                    problems.append(f"{TABLE_OF[stage]} ({self._waiting[stage].rows} rows wait): {said(error)}")
        if problems:
            raise StoreError(f"Cannot write under {self._store.root}: {'; '.join(problems)}")
        return written

    def compact(self) -> list[str]:
        """Merge small files where there are many; returns the tables it was done for.

        Old files stay, since a reader or a late writer may still need them. A conflict with another process means that
        it is done another time.
        """
        done = []
        for name in TABLES:
            table = self._store.open(self._config.tenant, name)
            if table is None:
                continue
            merges = plan(files_of(table), most_rows(pa.schema(table.schema().to_arrow())))
            if spared(merges) <= COMPACT_FILES:
                continue
            try:
                for files in merges:
                    merge(self._store, self._config.tenant, name, table, files)
                    table.update_incremental()
            except CommitFailedError as error:
                log.info("The files of %s are merged another time: %s", name, error)
            else:
                done.append(name)
        return done

    def sweep(self) -> int:
        """Remove files that no table needs any more; returns how many that were. What is committing goes before."""
        removed = 0
        for name in TABLES:
            try:
                removed += sweep(self._store, self._config.tenant, name, _writers(name))
            except CommitFailedError as error:
                log.info("The files of %s are swept another time: %s", name, error)
        return removed

    def clean(self, now_ns: int) -> list[Part]:
        """Remove what is past its age, by the config's retention; returns it.

        Raises
        ------
        StoreError
            If the tables or a hold cannot be read, or the tables not be written.
        """
        retention = self._config.retention
        if retention is None:
            return []
        try:
            return clean(self._store, self._config.tenant, retention, now_ns)
        except (QueryError, *STORAGE_ERRORS) as error:
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

    def _put(self, stage: Stage, added: Pending) -> None:
        self._waiting[stage].extend(added)
        self._rows += added.rows
        self._bytes += added.size

    def _commit_stage(self, stage: Stage, written: dict[str, int]) -> None:
        """Write what waits for one table, so much at a time that its rows fit in the memory as a table has them."""
        taken = self._take(stage)
        while taken.rows:  # ticks that change no config are worth no commit: read again, they change nothing
            portion, taken = taken.split(PORTION_BYTES)
            stored = False
            try:
                if portion.ticks:
                    self._announcements.keep_ticks(stage, portion.ticks, portion.last)
                if portion.entries or portion.bad:
                    written[stage.stream] = self._write(stage, portion)
                stored = True
            finally:
                self._settle(stage, portion, taken, stored=stored)

    def _take(self, stage: Stage) -> Pending:
        with self._guard:
            taken = self._waiting[stage]
            self._waiting[stage] = Pending(last=taken.last, last_ns=taken.last_ns)
            return taken

    def _settle(self, stage: Stage, portion: Pending, rest: Pending, *, stored: bool) -> None:
        """Let go of what is stored; put back what is not."""
        with self._guard:
            if stored:
                self._rows -= portion.rows
                self._bytes -= portion.size
                self._waiting_since_ns = None
            else:
                for later in (rest, self._waiting[stage]):
                    portion.extend(later)
                self._waiting[stage] = portion

    def _write(self, stage: Stage, portion: Pending) -> int:
        """Write one table, once; returns the position it has then."""
        keep_bad(self._store, self._config.tenant, portion.bad, QUARANTINE_FILES)
        for _ in range(_ATTEMPTS):
            table = self._snapshot(stage)
            covered = _covered(table, stage)
            if covered >= portion.last:
                return covered  # a commit whose answer was lost, or another instance, has stored all of it
            rows = rows_of(stage, [entry for entry in portion.entries if entry.sequence > covered])
            try:
                self._append(table, stage, rows, portion)
            except CommitFailedError as error:
                # Another process wrote since the snapshot. What it covered is seen on the next one.
                log.info("Wrote %s at the same time as another: %s", TABLE_OF[stage], error)
                continue
            return portion.last
        raise CommitFailedError(f"others wrote {_ATTEMPTS} times in between; only one historian may serve a tenant")

    def _append(self, table: DeltaTable, stage: Stage, rows: pa.Table, portion: Pending) -> None:
        """Commit rows and position together, on the very snapshot that told what is covered."""
        versions = {"": portion.last, _PUBLISHED: portion.last_ns // 1000}
        if stage in self._made_us:
            versions[_MADE] = self._made_us[stage]
        told = [Transaction(_app_id(stage, what), version) for what, version in versions.items()]
        write_deltalake(
            table,
            rows,
            mode="append",
            schema_mode="merge",
            writer_properties=_WRITER,
            commit_properties=CommitProperties(app_transactions=told),
        )

    def _snapshot(self, stage: Stage) -> DeltaTable:
        table = self._tables.get(stage)
        if table is None:
            table = self._tables[stage] = self._store.create(self._config.tenant, TABLE_OF[stage])
        table.update_incremental()
        return table

    def _keep_gaps(self) -> None:
        with self._guard:
            waiting = list(self._gaps)
        keep_gaps(self._store, self._config.tenant, waiting)
        with self._guard:
            del self._gaps[: len(waiting)]


def _writers(name: str) -> list[str]:
    """Names under which files are committed to a table."""
    stages = [stage for stage in Stage if TABLE_OF[stage] == name]
    own = [_app_id(stages[0])] if stages else writers(name)
    return [merge_id(name), correction_id(name), *own]


def _app_id(stage: Stage, what: str = "") -> str:
    return f"wheeltapper-historian/{stage.stream}{what}"


def _covered(table: DeltaTable, stage: Stage) -> int:
    return table.transaction_version(_app_id(stage)) or 0


def _read_up_to(table: DeltaTable, stage: Stage) -> ReadUpTo:
    published, made = (table.transaction_version(_app_id(stage, what)) for what in (_PUBLISHED, _MADE))
    return ReadUpTo(_covered(table, stage), published, made)
