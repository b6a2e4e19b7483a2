"""The historian as a part of a worker: reads all streams of a tenant and commits by time and by size."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

from nats.aio.client import Client

from wheeltapper_api.config import StoreConfig, WorkerConfig
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history.historian import Historian, StoreError
from wheeltapper_workers.runtime.jetstream import StreamReader

log = logging.getLogger(__name__)

_READ_LIMIT: Final = 64
_LOOK_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 5.0
_COMMITS_BETWEEN_COMPACTIONS: Final = 50
_CLEAN_SECONDS: Final = 3600.0
"""Days go as a whole, so that nobody waits for an hour."""


class Recorder:
    """Keeps what flows through the streams. Its position is in the tables themselves; there is no other checkpoint."""

    def __init__(self, client: Client, root: str, config: StoreConfig) -> None:
        self._client, self._tenant = client, config.tenant
        self._historian = Historian(root, config)
        self._positions: dict[str, int] = {}
        self._commits = self._bad_blocks = 0
        self._problem = self._cannot_clean = ""
        self._clean_at = 0.0

    async def start(self) -> None:
        """Learn from the tables where to read on."""
        self._positions = await asyncio.to_thread(self._historian.positions)

    async def configure(self, config: WorkerConfig) -> None:
        """Follow new lines and limits."""
        if config.store is not None:
            self._historian.configure(config.store)

    async def run(self) -> None:
        """Read and commit until cancelled."""
        async with asyncio.TaskGroup() as group:
            for stage in Stage:
                group.create_task(self._read(stage))
            group.create_task(self._commit_when_due())

    async def stop(self) -> None:
        """Commit what waits."""
        await self._commit()

    def summary(self) -> dict[str, Any]:
        """For the status document."""
        return {
            "positions": dict(self._positions),
            "waitingRows": self._historian.buffered_rows,
            "commits": self._commits,
            "badBlocks": self._bad_blocks,
            "problem": self._problem or self._cannot_clean,
        }

    async def _read(self, stage: Stage) -> None:
        subjects = [f"{stage.value}.{self._tenant}.>"]
        reader = StreamReader(self._client, stage.stream, subjects, self._positions.get(stage.stream, 0))
        while True:
            for message in await reader.read(_READ_LIMIT):
                bad = self._historian.add(
                    stage, message.sequence, message.published_ns, message.subject, message.data, message.headers
                )
                if bad is not None:
                    self._bad_blocks += 1
                    log.warning("%s", bad)
            while self._historian.full:  # noqa: ASYNC110 - a commit in a thread ends it; the stream on disk waits
                await asyncio.sleep(_LOOK_SECONDS)

    async def _commit_when_due(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._historian.due(time.time_ns()) and not await self._commit():
                await asyncio.sleep(_RETRY_SECONDS)
            if time.monotonic() >= self._clean_at:
                await self._clean()

    async def _commit(self) -> bool:
        try:
            self._positions |= await asyncio.to_thread(self._historian.commit)
        except StoreError as error:
            self._problem = str(error)
            log.warning("%s; trying again", error)
            return False
        self._problem = ""
        self._commits += 1
        if self._commits % _COMMITS_BETWEEN_COMPACTIONS == 0:
            for table in await asyncio.to_thread(self._historian.compact):
                log.info("Merged the small files of %s", table)
        return True

    async def _clean(self) -> None:
        """Remove what is past its age; between two commits, so that they need not try again because of each other."""
        self._clean_at = time.monotonic() + _CLEAN_SECONDS
        try:
            cleaned = await asyncio.to_thread(self._historian.clean, time.time_ns())
        except StoreError as error:
            self._cannot_clean = str(error)
            log.warning("%s; trying again in an hour", error)
            return
        self._cannot_clean = ""
        for part in cleaned.expired if cleaned else []:
            log.info("Removed %s of %s/%s from %s", part.date, part.plant, part.asset_class, part.table)
