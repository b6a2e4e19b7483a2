"""What a running installation says of itself: status documents of the workers, and the alerts of the event stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client
from pydantic import ValidationError

from wheeltapper_api.config import WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET, STATUS_BUCKET, Alert, AlertEvent, Line, Stage
from wheeltapper_cli.screen.past import Past
from wheeltapper_workers.runtime import blocks, jetstream
from wheeltapper_workers.runtime.jetstream import Message, StreamReader
from wheeltapper_workers.runtime.lost_end import first_after

_SEED_BYTES: Final = 64 * 2**20
"""What is read of a stream's past at most."""


@dataclass(slots=True)
class Picture:
    """Newest status document of every worker, and newest state of every alert."""

    workers: dict[str, dict[str, Any]] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    configs: dict[str, WorkerConfig] = field(default_factory=dict)
    """Newest config document of every worker, where configs are followed."""
    caught_up: bool = False
    """The alerts of the past have all been read."""

    @property
    def open_alerts(self) -> list[Alert]:
        """Open alerts, the oldest first."""
        return sorted((a for a in self.alerts.values() if a.state == "open"), key=lambda alert: alert.opened)


async def documents(client: Client, bucket: str) -> dict[str, bytes]:
    """Newest document of every key of a bucket.

    The keys are asked of the stream: a list that the client watches together misses a key that is written meanwhile.
    """
    jetstream, prefix = client.jetstream(), f"$KV.{bucket}."
    info = await jetstream.stream_info(f"KV_{bucket}", subjects_filter=f"{prefix}>")
    found = {}
    for subject in sorted(info.state.subjects or {}):
        message = await jetstream.get_last_msg(f"KV_{bucket}", subject)
        found[subject.removeprefix(prefix)] = message.data or b""
    return found


async def configs(client: Client) -> list[WorkerConfig]:
    """Config documents of the tenant's workers."""
    found = await documents(client, CONFIG_BUCKET)
    return [WorkerConfig.model_validate_json(data) for data in found.values() if data]


async def alerts(client: Client) -> list[Alert]:
    """Every alert in its newest state, the newest first."""
    jetstream = client.jetstream()
    last = (await jetstream.stream_info(Stage.EVENTS.stream)).state.last_seq
    reader = StreamReader(client, Stage.EVENTS.stream, [f"{Stage.EVENTS.value}.>"], position=0)
    found: dict[str, Alert] = {}
    while reader.position < last:
        messages = await reader.read(256)
        for message in messages:
            if message.data:
                event = AlertEvent.model_validate_json(message.data)
                found[event.data.alert_id] = event.data
        if not messages:
            break
    await reader.close()
    return sorted(found.values(), key=lambda alert: alert.opened, reverse=True)


async def position_before(client: Client, stage: Stage, since_ns: int) -> int:
    """Sequence of the last message of a stream that was stored before a time; 0 if there is none.

    Found by halving, some twenty requests; and no further back than what can be read within seconds.
    """
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stage.stream)).state
    if not state.messages:
        return int(state.last_seq)
    readable = int(_SEED_BYTES / max(1.0, state.bytes / state.messages))
    begin, end = max(int(state.first_seq), int(state.last_seq) - readable), int(state.last_seq) + 1
    return await first_after(jetstream, stage.stream, begin, end, since_ns // 1000 - 1) - 1


class Watch:
    """Follows one tenant of a running installation.

    Parameters
    ----------
    on_alert
        Called with what happens to alerts; of the past only with what is still open.
    past
        Filled with the features and scores of the last minutes, then of the present.
    follow_configs
        Whether the picture has the config documents; with ``past`` it always has.
    """

    def __init__(
        self,
        url: str,
        credentials: Path,
        on_alert: Callable[[AlertEvent], None] = lambda _event: None,
        past: Past | None = None,
        *,
        follow_configs: bool = False,
    ) -> None:
        self.picture = Picture()
        self._url, self._credentials = url, credentials
        self._on_alert = on_alert
        self._past = past
        self._follow_configs = follow_configs or past is not None
        self._client: Client | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        self._client = await jetstream.connect(self._url, self._credentials, "wheeltapper-cli")
        try:
            if _cancelled():
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(self._statuses(self._client))
                group.create_task(self._events(self._client))
                if self._follow_configs:
                    group.create_task(self._configs(self._client, group))
        finally:
            await self._client.close()

    async def _statuses(self, client: Client) -> None:
        reader = StreamReader(client, f"KV_{STATUS_BUCKET}", [f"$KV.{STATUS_BUCKET}.>"], position=0)
        while not _cancelled():
            for message in await reader.read(64):
                if message.data:
                    self.picture.workers[message.subject.rsplit(".", 1)[-1]] = json.loads(message.data)

    async def _configs(self, client: Client, group: asyncio.TaskGroup) -> None:
        """Follow the config documents; the streams they explain are read once they are known."""
        stream = f"KV_{CONFIG_BUCKET}"
        position = int((await client.jetstream().stream_info(stream)).state.last_seq)
        for config in await configs(client):
            self._configure(config.worker, config)
        if self._past is not None:
            for stage in (Stage.FEATURES, Stage.SCORES):
                group.create_task(self._rows(client, stage, self._past))
        reader = StreamReader(client, stream, [f"$KV.{CONFIG_BUCKET}.>"], position=position)
        while not _cancelled():
            for message in await reader.read(16):
                data, worker = message.data, message.subject.rsplit(".", 1)[-1]
                with contextlib.suppress(ValidationError):  # the worker tells it as its problem
                    self._configure(worker, WorkerConfig.model_validate_json(data) if data else None)

    def _configure(self, worker: str, config: WorkerConfig | None) -> None:
        before = self.picture.configs.pop(worker, None)
        if config is not None:
            self.picture.configs[worker] = config
        known = config or before
        if self._past is not None and known is not None:
            lines = [line for one in self.picture.configs.values() for line in one.lines]
            self._past.configure(known.tenant, lines)

    async def _rows(self, client: Client, stage: Stage, past: Past) -> None:
        """Read features or scores from some minutes ago on."""
        position = await position_before(client, stage, time.time_ns() - past.span_ns)
        reader = StreamReader(client, stage.stream, [f"{stage.value}.>"], position=position)
        while not _cancelled():
            for message in await reader.read(64):
                if message.data:
                    _take(past, stage, message)
                    await asyncio.sleep(0)  # keys are answered between two blocks

    async def _events(self, client: Client) -> None:
        reader = StreamReader(client, Stage.EVENTS.stream, [f"{Stage.EVENTS.value}.>"], position=0)
        past: dict[str, AlertEvent] = {}
        while not _cancelled():
            messages = await reader.read(64)
            for message in messages:
                if message.data:
                    event = AlertEvent.model_validate_json(message.data)
                    self.picture.alerts[event.data.alert_id] = event.data
                    self._tell(event, past)
            if not self.picture.caught_up and (not messages or messages[-1].pending == 0):
                self.picture.caught_up = True
                for event in past.values():
                    self._tell(event, past)

    def _tell(self, event: AlertEvent, past: dict[str, AlertEvent]) -> None:
        """Pass an event on; of the past only the newest of each alert that is still open."""
        if self.picture.caught_up:
            self._on_alert(event)
        elif event.data.state == "open":
            past[event.data.alert_id] = event
        else:
            past.pop(event.data.alert_id, None)


def _take(past: Past, stage: Stage, message: Message) -> None:
    """Take a block in; one that cannot be read, or is of a line that is gone, is passed over as the workers do."""
    try:
        line = past.lines.get(Line.of_subject(message.subject).key)
        if line is not None:
            batch = blocks.from_bytes(message.data, stage)
            line.take_features(batch) if stage is Stage.FEATURES else line.take_scores(batch)
    except ValueError:
        return


def failure(tasks: list[asyncio.Task[None]]) -> None:
    """Raise what ended one of these tasks."""
    for task in tasks:
        if task.done():
            task.result()


def _cancelled() -> bool:
    """Whether this task has been cancelled; nats-py swallows a cancellation that comes while it flushes."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
