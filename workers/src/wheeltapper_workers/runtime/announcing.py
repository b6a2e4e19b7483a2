"""A new config is recorded in the input of a line's first role, once what it makes necessary to learn is learned.

Until then the line goes on under the config of before, which knows its machines.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from wheeltapper_api.backbone import CHECKPOINTS, learned_subject
from wheeltapper_api.wire import Line
from wheeltapper_workers.runtime.configs import Configs
from wheeltapper_workers.runtime.jetstream import insist
from wheeltapper_workers.runtime.ticks import Ticks
from wheeltapper_workers.scoring.comparable import learned_anew

log = logging.getLogger(__name__)

_ASK_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 900.0
"""After which a config is told without what should have been learned: then it is learned while it runs."""


class Announcer:
    """Announces the wanted config of a line.

    Parameters
    ----------
    name
        Of the role, for the log.
    """

    def __init__(self, client: Client, line: Line, ticks: Ticks, configs: Configs, name: str) -> None:
        self._jetstream, self._line, self._ticks = client.jetstream(), line, ticks
        self._configs, self._name = configs, name
        self._waits = False
        self._models: list[str] = []
        self._wanted_s = self._asked_s = 0.0

    @property
    def waiting_for(self) -> list[str]:
        """Models whose baselines are being learned before the wanted config takes over."""
        return self._models if self._waits else []

    async def want(self) -> None:
        """Announce the wanted config, unless it was told last: now, or when its models have learned."""
        last = await self._ticks.last_config()
        before = self._configs.get(last)
        self._waits = last != self._configs.generation
        self._models = learned_anew(before, self._configs.wanted) if before else []
        self._wanted_s = time.monotonic()
        if self._waits and self._models:
            models = ", ".join(self._models)
            log.info("%s: config %s waits until %s has learned", self._name, self._configs.generation, models)
        await self.look()

    async def look(self) -> None:
        """Announce what waits, if it can be; where the stream is full, the next look may find room."""
        learned = await self._learned() if self._waits else None
        if learned is not None and await self._ticks.tell_config(self._configs.generation, learned):
            self._waits = False
            log.info("%s: config %s from the next block on", self._name, self._configs.generation)

    async def _learned(self) -> bytes | None:
        """What was learned for the wanted config; empty if nothing has to be, None if it is not there yet."""
        now = time.monotonic()
        if not self._models:
            return b""
        if now - self._asked_s < _ASK_SECONDS:
            return None
        self._asked_s = now
        subject = learned_subject(self._line.key, self._configs.generation)
        try:
            found = await insist(lambda: self._jetstream.get_last_msg(CHECKPOINTS, subject), what=f"Reading {subject}")
        except NotFoundError:
            if now - self._wanted_s < PATIENCE_SECONDS:
                return None
            log.warning("%s: nobody has learned for config %s in time", self._name, self._configs.generation)
            return b""
        return found.data or b""
