"""The collector: a source, the contracts of its series, and the blocks it writes.

The source is acknowledged after the stream's own acknowledgement, so what a crash leaves unacknowledged is delivered
again if the source can. It is recognised because the collector reads back what it has written since its checkpoint:
its state is always that of the stream, however it ended.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from nats.aio.client import Client
from opentelemetry import trace

from wheeltapper_api.config import CollectorConfig, WorkerConfig
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_INPUT, HEADER_PLACE, Line, Stage
from wheeltapper_workers.contracts.check import absorb, check, remember
from wheeltapper_workers.contracts.checked import Checked
from wheeltapper_workers.contracts.gaps import Gaps, gaps_before, open_since
from wheeltapper_workers.contracts.problems import SeriesProblem, problems
from wheeltapper_workers.contracts.raw import NO_TIME, RawBatch, raw_batch
from wheeltapper_workers.contracts.state import ContractState, follow, initial
from wheeltapper_workers.contracts.table import SeriesTable, series_table
from wheeltapper_workers.runtime import metrics, tracing
from wheeltapper_workers.runtime.blocks import from_bytes, to_bytes
from wheeltapper_workers.runtime.checkpoint import Checkpoint, CheckpointStore
from wheeltapper_workers.runtime.fenced import FencedWriter
from wheeltapper_workers.runtime.jetstream import Missing, StreamReader
from wheeltapper_workers.runtime.missed import Missed
from wheeltapper_workers.runtime.step import Snapshot
from wheeltapper_workers.sources.base import Delivery, History, Kept, Source
from wheeltapper_workers.sources.ledger import Ledger
from wheeltapper_workers.sources.written import Written

log = logging.getLogger(__name__)

_VERSION: Final = 2
_CHECKPOINT_NS: Final = 5 * 10**9
_SHOWN_PROBLEMS: Final = 100
_NO_ARRAYS: Final = frozenset({"last_text", "memory"})
_READ_LIMIT: Final = 256
_RECOVERED_NS: Final = 86_400 * 10**9
"""How far back the history of a source is asked."""
_SLICE_NS: Final = 600 * 10**9
"""Of history at once: what is held in memory."""
_REPEATS_NS: Final = 60 * 10**9
_ATTEMPTS: Final = 5
_RETRY_S: Final = 1.0
_DROPPED: Final = "The source says that it dropped samples"
_LOOK_BACK: Final = 2_000
"""Messages of the stream that are read back where no checkpoint tells how far to go."""


class Collector:
    """Part of a worker that reads one connection."""

    def __init__(
        self,
        client: Client,
        config: CollectorConfig,
        make_source: Callable[[CollectorConfig, Kept], Source],
        store: CheckpointStore,
    ) -> None:
        self._client, self._config, self._make_source, self._store = client, config, make_source, store
        self._table = series_table(config)
        self._state = initial(self._table, time.time_ns())
        self._writers: dict[Line, FencedWriter] = {}
        self._written = Written()
        self._ahead = False
        self._memory: dict[str, Any] = {}
        self._cause = ""
        self._ledger = Ledger(client, config.name)
        self._horizon_ns, self._horizon_ends = self._state.newest_ns.copy(), 0
        self._turn = asyncio.Lock()
        self._tracer = trace.get_tracer("wheeltapper")
        self._source: Source | None = None
        self._blocks = 0
        self._unsaved = 0
        self._missed = Missed()
        self._saved_ns = 0
        self._problem = ""
        self._told: set[tuple[str, str, str]] = set()
        self._stale_after = _stale_after(config)

    async def start(self) -> None:
        """Take up the contract state and open the connection, which may come about later."""
        checkpoint = self._store.load(_VERSION)
        if checkpoint is not None:
            self._state = _restored(checkpoint, self._config, self._table)
            document = checkpoint.snapshot.document
            self._written = Written.restored(document["written"], document.get("place", ""))
            self._memory, self._cause = document["source"], document["cause"]
        await self._open_writers()
        self._expect_repeats()
        self._source = self._make_source(self._config, Kept(self._memory, self._keep, self._written.place))

    async def configure(self, config: WorkerConfig) -> None:
        """Follow a new list of series; what stays is not touched."""
        wanted = next((c for c in config.collectors if c.name == self._config.name), None)
        if wanted is None or wanted == self._config or self._source is None:
            return
        async with self._turn:
            table = series_table(wanted)
            if _connection(wanted) == _connection(self._config):
                await self._source.reconfigure(wanted.series)
            else:
                await self._source.close()  # the run goes on with the source that is made anew
                self._memory = {}
                self._source = self._make_source(wanted, Kept({}, self._keep))
            self._state = follow(self._state, self._table, table, time.time_ns())
            self._expect_repeats()
            self._table, self._config, self._stale_after = table, wanted, _stale_after(wanted)
            await self._open_writers()

    async def run(self) -> None:
        """Collect until cancelled."""
        while self._source is not None:
            source = self._source
            async for delivery in source.deliveries():
                async with self._turn:
                    await self._take(delivery)
            if source is self._source:
                return

    async def stop(self) -> None:
        """Let go of the connection and save the contract state."""
        if self._source is not None:
            await self._source.close(keep=True)
        self._save()

    def summary(self) -> dict[str, Any]:
        """For the status document: the connection, what was read, and what is wrong, by twin and signal."""
        found = self._problems()
        return {
            "connection": self._config.name,
            "plant": self._config.plant,
            "endpoint": self._config.endpoint,
            **(asdict(self._source.connection()) if self._source else {}),
            "series": len(self._table),
            "samples": int(self._state.samples.sum()),
            "duplicates": int(self._state.duplicates.sum()),
            "gaps": self._ledger.gaps,
            "lost": self._ledger.lost,
            "lastLossSeconds": self._ledger.seconds_since_loss,
            "missed": self._missed.document(),
            "blocks": self._blocks,
            "bytesWritten": sum(writer.bytes for writer in self._writers.values()),
            "held": next((writer.held for writer in self._writers.values() if writer.held), ""),
            "full": any(writer.full for writer in self._writers.values()),
            "wants": {Stage.TELEMETRY.stream: self._unsaved - 1} if self._unsaved else {},
            "problem": self._problem,
            "problemCount": len(found),
            "problems": [asdict(problem) for problem in found[:_SHOWN_PROBLEMS]],
        }

    def _problems(self) -> list[SeriesProblem]:
        """What is wrong now; each is logged when it begins and when it ends."""
        if self._source is None:
            return []
        own = self._source.problems()
        known = {(problem.asset, problem.signal) for problem in own}
        now_ns = time.time_ns()
        self._not_in_the_future(now_ns)
        seen = problems(self._state, now_ns, self._table, known=known, status_name=self._source.status_name)
        found = own + [problem for problem in seen if problem.kind != "stale" or self._could_come(problem, now_ns)]
        now = {(problem.asset, problem.signal, problem.kind): problem for problem in found}
        for key in now.keys() - self._told:
            log.warning("%s", now[key].message)
        for asset, signal, kind in self._told - now.keys():
            log.info("%s/%s: no longer %s", asset, signal, kind)
        self._told = set(now)
        return found

    def _not_in_the_future(self, now_ns: int) -> None:
        """What was heard later than now was heard before the machine's clock was set back: count it as heard just now.

        Else a signal that falls silent would count as fresh until the clock is where it was.
        """
        for times in (self._state.last_received_ns, self._state.started_ns):
            np.minimum(times, now_ns, out=times)

    def _could_come(self, problem: SeriesProblem, now_ns: int) -> bool:
        """Whether samples could have come: the connection has been up for longer than the signal may be silent.

        While it is not, the connection's own message says all there is to say.
        """
        state = self._source.connection() if self._source else None
        patience = self._stale_after.get((problem.asset, problem.signal), 0)
        # Since a time in the future, after the clock was set back, is as good as since long ago.
        return state is not None and state.connected and not 0 <= now_ns - state.since_ns <= patience

    async def _take(self, delivery: Delivery) -> None:
        if delivery.broken:
            self._cause = delivery.broken
            self._state.unsure |= self._state.samples > 0
            await self._recover(open_since(self._state), time.time_ns())
        raw = self._maybe_resent(delivery.batch)
        gaps = gaps_before(self._state, raw, self._table)
        if len(gaps):
            await self._recover(gaps, int(gaps.until_ns.max()))
        await self._write(raw, delivery.place)
        self._written.complete(delivery.place)
        self._state.unsure[raw.series] = False
        delivery.done()
        if time.monotonic_ns() - self._saved_ns > _CHECKPOINT_NS:
            self._save()

    async def _write(self, raw: RawBatch, place: str = "") -> Checked:
        """Bring samples into the stream; returns them without those that are there already."""
        self._ahead = True
        with tracing.span(self._tracer, "collect", "", {"connection": self._config.name, "rows": len(raw)}):
            self._state, checked = check(self._state, raw, self._table)
            blocks = checked.blocks(self._table)
            for at, (line, batch) in enumerate(blocks, 1):
                writer = self._writers[line]
                number = int(writer.last_input.partition(":")[0] or 0) + 1
                headers = {HEADER_INPUT: f"{number}:0", HEADER_GENERATION: "", **tracing.headers()}
                if place and at == len(blocks):
                    headers[HEADER_PLACE] = place
                sequence = await writer.write(to_bytes(batch), headers)
                self._written.add(line.key, sequence, len(batch))
                metrics.record_delay("collect", line, Stage.TELEMETRY, batch)
                self._blocks += 1
                self._unsaved = self._unsaved or sequence
        self._ahead = False
        return checked

    async def _recover(self, gaps: Gaps, until_ns: int) -> None:
        """Ask the source for what is missing, and enter what it gave and what it could not into the ledger."""
        since = np.maximum(gaps.since_ns, until_ns - _RECOVERED_NS)
        complete = since == gaps.since_ns
        samples = np.zeros(len(self._table), np.int64)
        for begin in range(int(since.min(initial=until_ns)), until_ns, _SLICE_NS):
            end = min(begin + _SLICE_NS, until_ns)
            chosen = np.flatnonzero(since < end)
            found = await self._ask(gaps.series[chosen], np.maximum(since[chosen], begin), end)
            fresh = since[chosen] >= begin
            complete[chosen[fresh]] &= found.complete[fresh]
            if not complete.any() and not len(found.batch):
                break
            checked = await self._write(found.batch)
            samples += np.bincount(checked.series, minlength=len(samples))
        self._expect_repeats()
        self._state.unsure[gaps.series[complete]] = False
        given = samples[gaps.series]
        ended = gaps.until_ns != NO_TIME
        told = np.where(ended, gaps.until_ns, self._state.newest_ns[gaps.series])
        # What has no end yet and is not complete is told when its end comes.
        entered = (complete & (given > 0)) | ended
        told_gaps = Gaps(gaps.series, gaps.since_ns, told).take(entered)
        await self._ledger.enter(told_gaps, self._table, self._cause or _DROPPED, complete[entered], given[entered])

    async def _ask(self, series: npt.NDArray[np.int32], since_ns: npt.NDArray[np.int64], until_ns: int) -> History:
        """History of a source that may be away for a moment."""
        for attempt in range(_ATTEMPTS):
            try:
                if self._source is not None:
                    return await self._source.history(series, since_ns, until_ns)
            except ConnectionError as error:
                log.warning("%s: its history cannot be read: %s", self._config.name, error)
                await asyncio.sleep(_RETRY_S * 2.0**attempt)
        return History(raw_batch([], [], [], []), np.zeros(len(series), np.bool_))

    def _expect_repeats(self) -> None:
        """For a while what is not newer than now may come again, though its source does not know."""
        self._horizon_ns, self._horizon_ends = self._state.newest_ns.copy(), time.monotonic_ns() + _REPEATS_NS

    def _maybe_resent(self, raw: RawBatch) -> RawBatch:
        if time.monotonic_ns() > self._horizon_ends:
            return raw
        return replace(raw, resent=raw.resent | (raw.source_time_ns <= self._horizon_ns[raw.series]))

    def _keep(self, memory: dict[str, Any]) -> None:
        """Save what the source wants the next run to know."""
        if memory != self._memory:
            self._memory = memory
            self._save()

    async def _open_writers(self) -> None:
        for line in self._table.lines:
            if line not in self._writers:
                subject = line.subject(Stage.TELEMETRY, self._config.name)
                writer = FencedWriter(self._client, Stage.TELEMETRY.stream, subject, self._miss)
                await writer.open(self._written.until(line.key))
                await self._read_back(line, writer)
                self._writers[line] = writer

    def _miss(self, missing: Missing) -> None:
        log.error("%s: %s", self._config.name, missing)
        self._missed.add(missing)

    async def _read_back(self, line: Line, writer: FencedWriter) -> None:
        """Bring the state to where the stream is, and remember what may be sent again."""
        known = self._written.until(line.key)
        begin = self._written.since(line.key) or max(writer.last_sequence - _LOOK_BACK, 1)
        reader = StreamReader(self._client, writer.stream, [writer.subject], begin - 1)
        while reader.position < writer.last_sequence:
            for message in await reader.read(_READ_LIMIT):
                block = from_bytes(message.data, Stage.TELEMETRY)
                if message.sequence > known:
                    self._state = absorb(self._state, block, line, self._table)
                else:
                    remember(self._state, block, line, self._table)
                self._written.add(line.key, message.sequence, len(block))
                self._written.complete(message.headers.get(HEADER_PLACE, ""), message.sequence)
        await reader.close()

    def _save(self) -> None:
        """Save the contract state, unless it is ahead of the stream: then the one before and the stream tell more."""
        if self._ahead:
            return
        arrays = {f.name: getattr(self._state, f.name) for f in fields(ContractState) if f.name not in _NO_ARRAYS}
        document = {
            "written": self._written.document(),
            "place": self._written.place,
            "source": self._memory,
            "cause": self._cause,
            "config": self._config.model_dump(mode="json"),
            "lastText": {str(position): text for position, text in self._state.last_text.items()},
        }
        problem = self._store.try_save(Checkpoint(0, "", _VERSION, Snapshot(arrays, document)))
        if problem and not self._problem:
            log.warning("%s: %s", self._config.name, problem)
        if not problem:
            self._unsaved = 0
        self._problem = problem
        self._saved_ns = time.monotonic_ns()


def _stale_after(config: CollectorConfig) -> dict[tuple[str, str], int]:
    return {(series.asset, series.signal): series.stale_after_ns for series in config.series}


def _connection(config: CollectorConfig) -> CollectorConfig:
    return config.model_copy(update={"series": []})


def _restored(checkpoint: Checkpoint, config: CollectorConfig, table: SeriesTable) -> ContractState:
    """Contract state from rest, carried over to the present list of series."""
    document = checkpoint.snapshot.document
    before = CollectorConfig.model_validate(document["config"])
    state = initial(table, 0)
    for name, values in checkpoint.snapshot.arrays.items():
        setattr(state, name, values)
    state.last_text = {int(position): text for position, text in document["lastText"].items()}
    return state if before == config else follow(state, series_table(before), table, time.time_ns())
