"""What a running installation says of itself: status documents of the workers, and the alerts of the event stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.js.errors import NoKeysError

from wheeltapper_api.config import WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET, STATUS_BUCKET, Alert, AlertEvent, Stage
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.jetstream import StreamReader


@dataclass(slots=True)
class Picture:
    """Newest status document of every worker, and newest state of every alert."""

    workers: dict[str, dict[str, Any]] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    caught_up: bool = False
    """The alerts of the past have all been read."""

    @property
    def open_alerts(self) -> list[Alert]:
        """Open alerts, the oldest first."""
        return sorted((a for a in self.alerts.values() if a.state == "open"), key=lambda alert: alert.opened)


async def documents(client: Client, bucket: str) -> dict[str, bytes]:
    """Newest document of every key of a bucket."""
    store = await client.jetstream().key_value(bucket)
    try:
        keys = await store.keys()
    except NoKeysError:
        return {}
    return {key: (await store.get(key)).value or b"" for key in keys}


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


class Watch:
    """Follows one tenant of a running installation."""

    def __init__(
        self, url: str, credentials: Path, on_alert: Callable[[AlertEvent], None] = lambda _event: None
    ) -> None:
        self.picture = Picture()
        self._url, self._credentials = url, credentials
        self._on_alert = on_alert
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
        finally:
            await self._client.close()

    async def _statuses(self, client: Client) -> None:
        reader = StreamReader(client, f"KV_{STATUS_BUCKET}", [f"$KV.{STATUS_BUCKET}.>"], position=0)
        while not _cancelled():
            for message in await reader.read(64):
                if message.data:
                    self.picture.workers[message.subject.rsplit(".", 1)[-1]] = json.loads(message.data)

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


def _cancelled() -> bool:
    """Whether this task has been cancelled; nats-py swallows a cancellation that comes while it flushes."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
