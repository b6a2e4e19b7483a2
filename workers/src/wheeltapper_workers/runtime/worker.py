"""A worker process: reads its config document, runs the parts it names, and tells how it is.

All parts of a process share one connection and one event loop; every arrow between them is still a stream, so the same
roles in one process or in four give the same results.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from nats.aio.client import Client
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from wheeltapper_api.config import LineConfig, Role, WorkerConfig
from wheeltapper_api.kinds.meta import Condition
from wheeltapper_api.wire import CONFIG_BUCKET, STATUS_BUCKET
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.clock import ClockWatch
from wheeltapper_workers.runtime.conditions import TRANSITIONS, Machine, conditions, sentence, transitions
from wheeltapper_workers.runtime.configs import REMEMBERED, keep_newest, line_generation
from wheeltapper_workers.runtime.jetstream import Message, StreamReader, insist, obey_cancellation
from wheeltapper_workers.runtime.line import FLOW, LineRole, part_key
from wheeltapper_workers.runtime.step import Step

log = logging.getLogger(__name__)

STATUS_SECONDS: Final = 1.0
_TAKE_OVER_SECONDS: Final = 0.02
"""Between looks whether the roles have taken a new document over, which their streams bring to them one by one."""
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
        """Work, and copy the state. What decides about silence also has the time recorded in its input."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._role.run())
            group.create_task(self._role.copy())
            if self._role.role is Role.ALERT:
                group.create_task(self._tick())

    async def stop(self) -> None:
        """Save the state."""
        await self._role.stop()

    def summary(self) -> dict[str, Any]:
        """For the status document."""
        return self._role.summary()

    @property
    def current(self) -> bool:
        """Whether it runs the config that is wanted."""
        return self._role.current

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
        self._applied = asyncio.Event()
        self._generation = ""
        """Of the newest document that every part runs."""
        self._parts: dict[str, Part] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started_ns = time.time_ns()
        self._problem = ""
        self._clock = ClockWatch()
        self._conditions: list[Condition] = []
        self._transitions: deque[dict[str, Any]] = deque(maxlen=TRANSITIONS)
        self.newest: dict[str, Any] = {}
        """Status document of the last look."""

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
        lines = [*config.lines, *(config.store.lines if config.store else [])]  # one that is only stored may move here
        for line in lines:
            keep_newest(self._earlier, line_generation(line), line, REMEMBERED * len(lines))
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
        self._applied.set()
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
                key = part_key(role, line.line)
                step = self._make_step(role, line)
                line_role = LineRole(self._client, role, line, step, CheckpointStore(folder, key))
                parts[key] = LinePart(line_role, self._earlier)
        return parts

    async def _report(self) -> None:
        """Keep the status document of this worker fresh."""
        jetstream = self._client.jetstream()
        subject = f"$KV.{STATUS_BUCKET}.{self._environment.worker}"
        await self._take_up_conditions(subject)
        while True:
            obey_cancellation()
            self.newest = self._look()
            data = json.dumps(self.newest, allow_nan=False).encode()
            report = asyncio.create_task(
                insist(lambda data=data: jetstream.publish(subject, data), what="Reporting the status")
            )
            try:
                while not (await asyncio.wait([report], timeout=STATUS_SECONDS))[0]:
                    self.newest = self._look()  # log and metrics tell what the bucket cannot be told
            finally:
                report.cancel()
                await asyncio.wait([report])
            await report
            await self._pause()

    async def _pause(self) -> None:
        """Until the next report: a while, or until a new document is in force."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_SECONDS):
                await self._applied.wait()
                self._applied.clear()
                # A role knows its line, and nothing of the document that it is one part of.
                while self._config is None or self._running() != self._config.generation:  # noqa: ASYNC110
                    await asyncio.sleep(_TAKE_OVER_SECONDS)

    async def _take_up_conditions(self, subject: str) -> None:
        """Conditions go on where the last run left them: a restart is no transition."""
        jetstream = self._client.jetstream()
        try:
            last = await insist(lambda: jetstream.get_last_msg(f"KV_{STATUS_BUCKET}", subject), what="Reading status")
            document = json.loads(last.data or b"{}")
            self._conditions = [Condition.model_validate(one) for one in document.get("conditions", [])]
            self._transitions.extend(document.get("transitions", []))
        except (NotFoundError, ValueError):
            return

    def _look(self) -> dict[str, Any]:
        """The status document of now. A change of a condition is told once."""
        now_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        step_ns = self._clock.look(now_ns, monotonic_ns)
        if step_ns:
            log.warning("The machine's clock was set by %.1f s", step_ns / 1e9)
        parts = self._summaries()
        machine = Machine(self._client.is_connected, self._clock.recent(monotonic_ns))
        before, self._conditions = self._conditions, conditions(parts, machine, self._conditions, now_ns)
        for one in transitions(before, self._conditions):
            log.log(logging.INFO if one.status == "True" else logging.WARNING, "%s", sentence(one))
            self._transitions.append(_plain(one))
        return self._document(parts, now_ns)

    def status(self) -> dict[str, Any]:
        """The status document, with the conditions of the last look."""
        return self._document(self._summaries(), time.time_ns())

    def _running(self) -> str:
        """Generation of the document that runs; a line takes its own part over where its input tells it."""
        if self._config and all(part.current for part in self._parts.values() if isinstance(part, LinePart)):
            self._generation = self._config.generation
        return self._generation

    def _summaries(self) -> dict[str, dict[str, Any]]:
        return {key: part.summary() for key, part in self._parts.items()}

    def _document(self, parts: dict[str, dict[str, Any]], now_ns: int) -> dict[str, Any]:
        return {
            "worker": self._environment.worker,
            "tenant": self._config.tenant if self._config else "",
            "generation": self._running(),
            "pid": os.getpid(),
            "startedNs": self._started_ns,
            "timeNs": now_ns,
            "problem": self._problem,
            "conditions": [_plain(one) for one in self._conditions],
            "transitions": list(self._transitions),
            "parts": parts,
        }


def _plain(condition: Condition) -> dict[str, Any]:
    return condition.model_dump(mode="json", exclude={"observed_generation"})
