"""What a role records in its own input besides data: the time, and which config holds from there on."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from nats.aio.client import Client
from nats.js.errors import NotFoundError, ServiceUnavailableError

from wheeltapper_api.wire import HEADER_GENERATION, HEADER_TICK, Line, Stage
from wheeltapper_workers.runtime.fenced import is_full
from wheeltapper_workers.runtime.jetstream import insist

_CONFIG: Final = "tick"
"""Writer's token of the ticks that tell a config."""
_TIME: Final = "clock"
"""Of those that only tell the time."""


class Ticks:
    """Ticks in the input of one line at a stage."""

    def __init__(self, client: Client, stage: Stage, line: Line) -> None:
        self._jetstream, self._stream = client.jetstream(), stage.stream
        self._config, self._time = line.subject(stage, _CONFIG), line.subject(stage, _TIME)
        self._all = line.filter(stage)

    async def tell_time(self) -> bool:
        """Record the time; says whether there was room for it."""
        return await self._publish(self._time, {}, b"")

    async def tell_config(self, generation: str, learned: bytes = b"") -> bool:
        """Record that a config holds from here on, and what was learned for it; says whether there was room for it."""
        return await self._publish(self._config, {HEADER_GENERATION: generation}, learned)

    async def first_config(self) -> str:
        """Generation of the first tick that tells one; empty where none is."""
        return await self._generation(partial(self._jetstream.get_msg, seq=1, next=True), self._config)

    async def first_message(self) -> str:
        """Generation of the first message of any writer; empty where none is, or it tells none."""
        return await self._generation(partial(self._jetstream.get_msg, seq=1, next=True), self._all)

    async def last_config(self) -> str:
        """Generation that was told last; empty where none was."""
        return await self._generation(self._jetstream.get_last_msg, self._config)

    async def _generation(self, ask: Callable[..., Any], subject: str) -> str:
        try:
            found = await insist(lambda: ask(self._stream, subject=subject), what=f"Reading {subject}")
        except NotFoundError:
            return ""
        return str((found.headers or {}).get(HEADER_GENERATION, ""))

    async def _publish(self, subject: str, told: dict[str, str], data: bytes) -> bool:
        headers = {HEADER_TICK: str(time.time_ns()), **told}

        async def publish() -> bool:
            try:
                await self._jetstream.publish(subject, data, stream=self._stream, headers=headers)
            except ServiceUnavailableError as error:
                if is_full(error.description or ""):
                    return False
                raise
            return True

        return bool(await insist(publish, what=f"Recording the time on {subject}"))
