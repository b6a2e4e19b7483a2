"""A worker process: reads its config document, runs the parts it names, and tells how it is.

All parts of a process share one connection and one event loop; every arrow between them is still a stream, so the same
roles in one process or in four give the same results.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from nats.aio.client import Client
from pydantic import ValidationError

from wheeltapper_api.config import LineConfig, Role, WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET, STATUS_BUCKET
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.jetstream import Message, StreamReader, insist
from wheeltapper_workers.runtime.line import FLOW, LineRole, line_generation
from wheeltapper_workers.runtime.step import Step

log = logging.getLogger(__name__)

STATUS_SECONDS: Final = 1.0
TICK_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Environment:
    """What a worker is told by its environment; everything else is in its config document."""

    worker: str
    backbone: str
    credentials: Path
    state: Path
    tables: str
    secrets: Path

    @classmethod
    def read(cls) -> Environment:
        """Read the process's environment.

        Raises
        ------
        KeyError
            If a variable is missing; it is named.
        """
        return cls(
            worker=os.environ["WHEELTAPPER_WORKER"],
            backbone=os.environ["WHEELTAPPER_BACKBONE_URL"],
            credentials=Path(os.environ["WHEELTAPPER_BACKBONE_CREDENTIALS"]),
            state=Path(os.environ["WHEELTAPPER_STATE"]),
            tables=os.environ["WHEELTAPPER_TABLES"],
            secrets=Path(os.environ["WHEELTAPPER_SECRETS"]),
        )


class Part(Protocol):
    """A running part of a worker: a role of a line, a collector, the historian."""

    async def start(self) -> None:
        """Take up the state."""

    async def configure(self, config: WorkerConfig) -> None:
        """Follow a new config document that still has this part."""

    async def run(self) -> None:
        """Work until cancelled."""

    async def stop(self) -> None:
        """Save what has to be saved."""

    def summary(self) -> dict[str, Any]:
        """For the status document."""


class LinePart:
    """A role of a line as a part."""

    def __init__(self, role: LineRole, earlier: dict[str, LineConfig]) -> None:
        self._role, self._earlier = role, earlier

    async def start(self) -> None:
        """Take up the state."""
        await self._role.start(self._earlier)

    async def configure(self, config: WorkerConfig) -> None:
        """Follow the line's config."""
        for line in config.lines:
            if line.line == self._role.line:
                await self._role.configure(line)

    async def run(self) -> None:
        """Work. What decides about silence also has the time recorded in its input."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._role.run())
            if self._role.role is Role.ALERT:
                group.create_task(self._tick())

    async def stop(self) -> None:
        """Save the state."""
        await self._role.stop()

    def summary(self) -> dict[str, Any]:
        """For the status document."""
        return self._role.summary()

    async def _tick(self) -> None:
        while True:
            await self._role.tick()
            await asyncio.sleep(TICK_SECONDS)


MakeStep = Callable[[Role, LineConfig], Step[Any]]
MakeParts = Callable[[Environment, Client, WorkerConfig], dict[str, Part]]


class Worker:
    """One worker process.

    Parameters
    ----------
    make_step
        Step of a role for a line.
    make_parts
        Parts that are no line roles, by key: collectors and the historian.
    """

    def __init__(self, environment: Environment, client: Client, make_step: MakeStep, make_parts: MakeParts) -> None:
        self._environment, self._client = environment, client
        self._make_step, self._make_parts = make_step, make_parts
        subject = f"$KV.{CONFIG_BUCKET}.{environment.worker}"
        self._documents = StreamReader(client, f"KV_{CONFIG_BUCKET}", [subject], position=0)
        self._earlier: dict[str, LineConfig] = {}
        self._config: WorkerConfig | None = None
        self._parts: dict[str, Part] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started_ns = time.time_ns()
        self._problem = ""

    async def run(self) -> None:
        """Work until cancelled; a part that fails ends the process, and its supervisor starts it again.

        Raises
        ------
        ExceptionGroup
            With what ended it.
        """
        newest = await self._first_document()
        async with asyncio.TaskGroup() as group:
            await self._apply(newest, group)
            group.create_task(self._watch(group))
            group.create_task(self._report())

    async def stop(self) -> None:
        """Save the state of every part."""
        for part in self._parts.values():
            await part.stop()

    async def _first_document(self) -> WorkerConfig:
        """Newest config; the earlier ones are remembered, since checkpoints may have been made under them."""
        newest: WorkerConfig | None = None
        while True:
            messages = await self._documents.read(64)
            for message in messages:
                newest = self._parse(message) or newest
            if newest is not None and (not messages or messages[-1].pending == 0):
                return newest
            if newest is None and not messages:
                log.info("Waiting for a config document in the bucket %s", CONFIG_BUCKET)

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        while True:
            for message in await self._documents.read(16):
                config = self._parse(message)
                if config is not None and config != self._config:
                    await self._apply(config, group)

    def _parse(self, message: Message) -> WorkerConfig | None:
        """Config of a message; one that cannot be read is told, and the one before it stays."""
        if not message.data:
            return None
        try:
            config = WorkerConfig.model_validate_json(message.data)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part}." for part in first["loc"])[:-1]
            said = f"{where}: {first['msg']}" if where else first["msg"]
            self._problem = f"The config document (revision {message.sequence}) cannot be read: {said}"
            log.warning("%s; the one before it stays in force", self._problem)
            return None
        self._problem = ""
        self._earlier |= {line_generation(line): line for line in config.lines}
        return config

    async def _apply(self, config: WorkerConfig, group: asyncio.TaskGroup) -> None:
        """Start what is new, stop what is gone, configure what stays."""
        wanted = self._line_parts(config) | self._make_parts(self._environment, self._client, config)
        for key in [key for key in self._parts if key not in wanted]:
            await self._end(key)
        for part in self._parts.values():
            await part.configure(config)
        for key, part in wanted.items():
            if key not in self._parts:
                await part.start()
                self._parts[key] = part
                self._tasks[key] = group.create_task(part.run(), name=key)
        self._config = config
        log.info("Runs config %s: %s", config.generation, ", ".join(sorted(self._parts)))

    async def _end(self, key: str) -> None:
        task, part = self._tasks.pop(key), self._parts.pop(key)
        task.cancel()
        await asyncio.wait([task])
        await part.stop()

    def _line_parts(self, config: WorkerConfig) -> dict[str, Part]:
        folder = self._environment.state / "checkpoints"
        parts: dict[str, Part] = {}
        for line in config.lines:
            for role in (role for role in config.roles if role in FLOW):
                key = f"{role.value}-{line.line.plant}-{line.line.asset_class}-{line.line.shard}"
                step = self._make_step(role, line)
                line_role = LineRole(self._client, role, line, step, CheckpointStore(folder, key))
                parts[key] = LinePart(line_role, self._earlier)
        return parts

    async def _report(self) -> None:
        """Keep the status document of this worker fresh."""
        jetstream = self._client.jetstream()
        subject = f"$KV.{STATUS_BUCKET}.{self._environment.worker}"
        while True:
            data = json.dumps(self.status(), allow_nan=False).encode()
            await insist(lambda data=data: jetstream.publish(subject, data), what="Reporting the status")
            await asyncio.sleep(STATUS_SECONDS)

    def status(self) -> dict[str, Any]:
        """The status document."""
        return {
            "worker": self._environment.worker,
            "tenant": self._config.tenant if self._config else "",
            "generation": self._config.generation if self._config else "",
            "pid": os.getpid(),
            "startedNs": self._started_ns,
            "timeNs": time.time_ns(),
            "problem": self._problem,
            "parts": {key: part.summary() for key, part in self._parts.items()},
        }
