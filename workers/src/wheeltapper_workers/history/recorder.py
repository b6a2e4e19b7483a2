"""The historian as a part of a worker: reads all streams of a tenant and commits by time and by size.

Storage that is away, full or closed to us holds nobody up: the streams on disk keep what comes, the status says what is
wrong and what to do, and everything goes on by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from wheeltapper_api.config import StoreConfig, WorkerConfig
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import unstored
from wheeltapper_workers.history.historian import Historian, StoreError
from wheeltapper_workers.history.late.job import CorrectionJob
from wheeltapper_workers.history.learning_job import LearningJob
from wheeltapper_workers.history.place import PlaceError, open_place
from wheeltapper_workers.history.store_words import STORAGE_ERRORS, said
from wheeltapper_workers.history.streams import Gap, ReadUpTo, StreamState, lost_end, made_anew
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime.jetstream import Message, Missing, StreamReader, insist
from wheeltapper_workers.runtime.lost_end import count_on, first_after, microseconds
from wheeltapper_workers.runtime.missed import Missed

log = logging.getLogger(__name__)

_READ_LIMIT: Final = 64
_LOOK_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 2.0
_COMMITS_BETWEEN_COMPACTIONS: Final = 25
_FIRST_SWEEP_SECONDS: Final = 600.0
_SWEEP_SECONDS: Final = 6 * 3600.0
_CLEAN_SECONDS: Final = 3600.0
"""Days go as a whole, so that nobody waits for an hour."""


class Recorder:
    """Keeps what flows through the streams. Its position is in the tables themselves; there is no other checkpoint.

    Parameters
    ----------
    root
        Folder of the installation's tables, which counts where the tenant has no place of its own.
    secrets
        Folder with a folder for each Secret.
    """

    def __init__(self, client: Client, root: str, config: StoreConfig, secrets: Path) -> None:
        self._client, self._tenant, self._config = client, config.tenant, config
        self._root, self._secrets = root, secrets
        self._place = config.place
        """Where the tables are that are open; the config may be ahead of it."""
        self._historian = Historian(root, config)
        self._corrections = CorrectionJob(config.tenant, self._store)
        self._learning = LearningJob(client, self._store)
        self._moved = asyncio.Event()
        self._read: dict[str, ReadUpTo] = {}
        """Last message read of each stream, whether or not it is stored yet."""
        self._stored: dict[str, int] = {}
        """Last message of each stream that the tables have."""
        self._missed = Missed()
        self._commits = self._bad_blocks = self._lost = 0
        self._sweep_at = time.monotonic() + _FIRST_SWEEP_SECONDS
        self._problem = ""
        self._stream_problems: dict[Stage, str] = {}
        self._cannot_clean = ""
        self._clean_at = 0.0

    async def start(self) -> None:
        """Nothing to take up: the tables may be away, and nobody should have to wait for them."""

    async def configure(self, config: WorkerConfig) -> None:
        """Follow new lines and limits, and another place of the tables."""
        if config.store is None:
            return
        if config.store.place != self._place:
            self._moved.set()
        self._config = config.store
        self._historian.configure(config.store)

    async def run(self) -> None:
        """Read and commit until cancelled; where the tables move, begin again with the new ones."""
        while True:
            await self._open()
            work, moved = asyncio.create_task(self._work()), asyncio.create_task(self._moved.wait())
            try:
                await asyncio.wait([work, moved], return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
            finally:
                work.cancel()
                moved.cancel()
                await asyncio.gather(work, moved, return_exceptions=True)
            await self._commit()  # what is not stored there is read again, since the new tables have nothing yet
            self._moved.clear()
            self._place = self._config.place
            self._historian = Historian(self._root, self._config)

    async def stop(self) -> None:
        """Commit what waits, what is small and matters most first: there may be no time for all of it."""
        await self._commit((Stage.EVENTS, Stage.GAPS, Stage.SCORES, Stage.FEATURES, Stage.TELEMETRY))

    def summary(self) -> dict[str, Any]:
        """For the status document."""
        return {
            "positions": dict(self._stored),
            "needs": dict(self._stored),
            "missed": self._missed.document(),
            "waitingRows": self._historian.buffered_rows,
            "waitingBytes": self._historian.buffered_bytes,
            "commits": self._commits,
            "badBlocks": self._bad_blocks,
            "lostMessages": self._lost,
            "corrections": self._corrections.summary(),
            "problem": "; ".join(filter(None, self._problems())),
        }

    def _problems(self) -> list[str]:
        return [self._problem, *self._stream_problems.values(), self._cannot_clean, self._corrections.problem]

    async def _open(self) -> None:
        """Learn from the tables where to read on, as soon as they can be reached."""
        while True:
            try:
                await asyncio.to_thread(self._take_up)
            except (PlaceError, *STORAGE_ERRORS) as error:
                self._tell(f"Cannot open the tables under {self._url}: {said(error)}; the streams keep what comes")
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._problem = ""
                return

    def _take_up(self) -> None:
        self._historian.use(self._store())
        self._read = self._historian.read_up_to()
        self._stored = {stream: read.sequence for stream, read in self._read.items()}
        self._lost = sum(gap.count for gap in self._historian.gaps())

    def _store(self) -> Store:
        return open_place(self._root, self._place, self._secrets)

    @property
    def _url(self) -> str:
        return self._place.url if self._place else self._root

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for stage in Stage:
                group.create_task(self._follow(stage))
            group.create_task(self._commit_when_due())
            group.create_task(self._corrections.run(lambda: [config.line for config in self._config.lines]))
            group.create_task(self._learning.run(lambda: self._config.lines))

    async def _follow(self, stage: Stage) -> None:
        """Read a stream for as long as it is the one that the tables have."""
        subjects = [f"{stage.value}.{self._tenant}.>"]
        while True:
            if not await self._same(stage):
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            with contextlib.suppress(NotFoundError):  # deleted just now; the next look tells it
                await self._mind_a_lost_end(stage)
            connections = self._client.stats["reconnects"]
            reader = StreamReader(self._client, stage.stream, subjects, self._read[stage.stream].sequence)
            try:
                while True:
                    messages = await reader.read(_READ_LIMIT)
                    # Behind a new connection there may be a server that has lost what was written last.
                    fresh = self._client.stats["reconnects"] != connections
                    if fresh or (not messages and not await self._same(stage)):
                        break
                    await self._add(stage, messages)
                    while self._historian.full:  # noqa: ASYNC110 - a commit in a thread ends it; the stream waits
                        await asyncio.sleep(_LOOK_SECONDS)
            finally:
                await reader.close()

    async def _add(self, stage: Stage, messages: list[Message]) -> None:
        for message in messages:
            before = self._read[stage.stream]
            if message.sequence > before.sequence + 1:
                gap = Gap(
                    stage, before.sequence + 1, message.sequence - 1, await self._has_lost(stage, before.sequence)
                )
                self._lost += gap.count
                self._historian.missed(gap)
                log.warning("%s", gap)
                await self._miss(Missing(stage.stream, gap.first, gap.last, gap.by_server), message.published_ns)
            bad = self._historian.add(
                stage, message.sequence, message.published_ns, message.subject, message.data, message.headers
            )
            self._read[stage.stream] = replace(
                before, sequence=message.sequence, published_us=message.published_ns // 1000
            )
            if bad is not None:
                self._bad_blocks += 1
                log.warning("%s", bad)

    async def _miss(self, missing: Missing, behind_ns: int) -> None:
        """Enter into the ledger which samples left the stream before they were stored."""
        self._missed.add(missing)
        if missing.stream != Stage.TELEMETRY.stream:
            return
        while not await self._commit():  # noqa: ASYNC110 - the tables tell how far each series is once they can
            await asyncio.sleep(_RETRY_SECONDS)
        await unstored.enter(self._client, self._store(), self._config.lines, missing, behind_ns)

    async def _has_lost(self, stage: Stage, sequence: int) -> bool:
        """Whether the server lost what is missing behind a message, rather than let go of its oldest."""
        look = f"Looking at {stage.stream}"
        info = await insist(lambda: self._client.jetstream().stream_info(stage.stream), what=look)
        return bool(info.state.first_seq <= sequence + 1)

    async def _mind_a_lost_end(self, stage: Stage) -> None:
        """Go on behind what the server has lost of the end of a stream, and tell it.

        What others have written under the numbers of lost messages is not stored, since the tables have those.
        """
        read, jetstream = self._read[stage.stream], self._client.jetstream()
        state = await insist(lambda: self._state(stage, read.sequence), what=f"Looking at {stage.stream}")
        if not lost_end(state, read):
            return
        search = (jetstream, stage.stream, 1, state.last + 1, read.published_us or 0)
        first = await insist(lambda: first_after(*search), what=f"Reading {stage.stream}")
        await insist(lambda: count_on(self._client, stage.stream, read.sequence), what=f"Counting on in {stage.stream}")
        missing = Missing(stage.stream, min(first, read.sequence), read.sequence, known=True)
        log.error("%s", missing)
        self._read[stage.stream] = replace(read, published_us=state.published_us)
        await self._miss(missing, time.time_ns())

    async def _same(self, stage: Stage) -> bool | None:
        """Whether the stream continues what was read; if not, that is told. None where nobody answers."""
        read = self._read[stage.stream]
        try:
            state = await self._state(stage, read.sequence)
        except NotFoundError:
            self._stream_problems[stage] = f"There is no stream {stage.stream}; the backbone has to make it"
            return False
        except (nats.errors.Error, TimeoutError, OSError):
            return None
        problem = made_anew(stage, state, read)
        if problem:
            if problem != self._stream_problems.get(stage):
                log.warning("%s", problem)
            self._stream_problems[stage] = problem
            if state.made_us is not None and state.made_us != read.made_us:
                self._historian.forget(stage, state.made_us)
            return False
        self._stream_problems.pop(stage, None)
        if state.made_us is not None:
            self._read[stage.stream] = replace(self._read[stage.stream], made_us=state.made_us)
            self._historian.follow(stage, state.made_us)
        return True

    async def _state(self, stage: Stage, sequence: int) -> StreamState:
        jetstream = self._client.jetstream(timeout=_ANSWER_SECONDS)
        info = await jetstream.stream_info(stage.stream)
        published = None
        if sequence:
            with contextlib.suppress(NotFoundError):  # too old by now
                published = microseconds((await jetstream.get_msg(stage.stream, sequence)).time)
        made = None if info.created is None else microseconds(info.created)
        return StreamState(made, info.state.last_seq, published)

    async def _commit_when_due(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._historian.due(time.monotonic_ns()) and not await self._commit():
                await asyncio.sleep(_RETRY_SECONDS)
            if time.monotonic() >= self._clean_at:
                await self._clean()

    async def _commit(self, stages: Iterable[Stage] = Stage) -> bool:
        """Commit what waits, if it surely is of the streams that the tables have."""
        if not self._read or None in await asyncio.gather(*map(self._same, Stage)):
            return False
        try:
            self._stored |= await asyncio.to_thread(self._historian.commit, stages)
        except StoreError as error:
            self._tell(f"{error}; trying again, and the streams keep what comes")
            await self._renew()
            return False
        self._problem = ""
        self._commits += 1
        await self._tidy()
        return True

    async def _tidy(self) -> None:
        """Keep files few. What fails here is done another time; the rows are safe."""
        try:
            if self._commits % _COMMITS_BETWEEN_COMPACTIONS == 0:
                for table in await asyncio.to_thread(self._historian.compact):
                    log.info("Merged the small files of %s", table)
            if time.monotonic() >= self._sweep_at:
                self._sweep_at = time.monotonic() + _SWEEP_SECONDS
                log.info("Removed %d files that no table needs", await asyncio.to_thread(self._historian.sweep))
        except STORAGE_ERRORS as error:
            self._tell(f"Cannot merge or remove files under {self._url}: {said(error)}")

    async def _renew(self) -> None:
        """Open the tables with the keys of now: those that were refused may have been replaced meanwhile."""
        try:
            self._historian.use(await asyncio.to_thread(self._store))
        except PlaceError as error:
            self._tell(str(error))

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem

    async def _clean(self) -> None:
        """Remove what is past its age; between two commits, so that they need not try again because of each other."""
        self._clean_at = time.monotonic() + _CLEAN_SECONDS
        try:
            removed = await asyncio.to_thread(self._historian.clean, time.time_ns())
        except StoreError as error:
            self._cannot_clean = str(error)
            log.warning("%s; trying again in an hour", error)
            return
        self._cannot_clean = ""
        for part in removed:
            log.info("Removed %s of %s/%s from %s", part.date, part.plant, part.asset_class, part.table)
