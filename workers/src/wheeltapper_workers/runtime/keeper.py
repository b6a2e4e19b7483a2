"""The keeper: looks how full a tenant's streams are, and makes room in those that hold their writers.

A reader's position is in its checkpoint and not in the server, so the server cannot know what has been read. The status
documents tell it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.js.api import DiscardPolicy
from nats.js.errors import NotFoundError

from wheeltapper_api.config import StoreConfig, WorkerConfig
from wheeltapper_api.wire import STATUS_BUCKET, Stage
from wheeltapper_workers.runtime.jetstream import StreamReader, obey_cancellation
from wheeltapper_workers.runtime.room import Needed, Room, keep_from, needed, problem

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 2.0


class Keeper:
    """Part of the worker that stores; a tenant has one."""

    def __init__(self, client: Client, config: StoreConfig) -> None:
        self._client, self._config = client, config
        self._documents: dict[str, dict[str, Any]] = {}
        self._streams: dict[str, dict[str, Any]] = {}

    async def start(self) -> None:
        """Nothing to take up."""

    async def configure(self, config: WorkerConfig) -> None:
        """Follow new lines."""
        if config.store is not None:
            self._config = config.store

    async def run(self) -> None:
        """Look and make room until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._keep())

    async def stop(self) -> None:
        """Nothing to save."""

    def summary(self) -> dict[str, Any]:
        """For the status document: size, limit and slowest reader of every stream."""
        return {"streams": self._streams}

    async def _listen(self) -> None:
        reader = StreamReader(self._client, f"KV_{STATUS_BUCKET}", [f"$KV.{STATUS_BUCKET}.>"], position=0)
        while True:
            for message in await reader.read(64):
                if message.data:
                    self._documents[message.subject.rsplit(".", 1)[-1]] = json.loads(message.data)

    async def _keep(self) -> None:
        while True:
            for stage in Stage:
                obey_cancellation()
                try:
                    await self._look(stage)
                except NotFoundError:
                    self._streams.pop(stage.stream, None)
                except (nats.errors.Error, TimeoutError, OSError) as error:
                    log.debug("Looking at %s: %s", stage.stream, error)  # the next look is near
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, stage: Stage) -> None:
        room = await self._room(stage)
        lines = [line.line for line in self._config.lines]
        need = needed(stage, lines, self._documents)
        begin = keep_from(room, need)
        if begin is not None:
            await self._client.jetstream().purge_stream(stage.stream, seq=begin)
            log.debug("%s: made room up to message %d, which every reader has passed", stage.stream, begin - 1)
            room = await self._room(stage)
        self._streams[stage.stream] = _document(room, need)

    async def _room(self, stage: Stage) -> Room:
        info = await self._client.jetstream().stream_info(stage.stream)
        state, config = info.state, info.config
        return Room(
            stage.stream,
            state.first_seq,
            state.last_seq,
            state.messages,
            state.bytes,
            max(config.max_bytes or 0, 0) or 2**63,
            config.discard == DiscardPolicy.NEW,
        )


def _document(room: Room, need: Needed | None) -> dict[str, Any]:
    return {
        "first": room.first,
        "last": room.last,
        "messages": room.messages,
        "bytes": room.bytes,
        "maxBytes": room.max_bytes,
        "whenFull": "holdSources" if room.holds else "dropOldest",
        "unread": None if need is None else max(0, room.last - need.sequence),
        "slowest": None if need is None else need.by,
        "problem": problem(room, need),
    }
