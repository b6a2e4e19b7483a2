"""The learner as a part of the store worker: looks for configs that wait for what has to be learned for them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from nats.aio.client import Client

from wheeltapper_api.backbone import CHECKPOINTS, learned_subject
from wheeltapper_api.config import LineConfig
from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.history.learner import learn
from wheeltapper_workers.history.place import PlaceError
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.store_words import STORAGE_ERRORS, said
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.history.told import told
from wheeltapper_workers.runtime.configs import line_generation
from wheeltapper_workers.runtime.jetstream import insist
from wheeltapper_workers.runtime.ticks import Ticks
from wheeltapper_workers.scoring.comparable import learned_anew

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """The work was ended from outside."""


class LearningJob:
    """Learns for the lines of one tenant.

    Parameters
    ----------
    open_store
        Opens the place of the tables.
    """

    def __init__(self, client: Client, open_store: Callable[[], Store]) -> None:
        self._client, self._open_store = client, open_store
        self._looked: dict[Line, LineConfig] = {}
        self._stop = threading.Event()

    async def run(self, lines: Callable[[], list[LineConfig]]) -> None:
        """Learn until cancelled; ``lines`` is asked for the configs of now."""
        self._stop.clear()
        try:
            while True:
                for config in lines():
                    if self._looked.get(config.line) is not config:
                        await self._look(config)
                        self._looked[config.line] = config
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._stop.set()  # its thread would go on

    async def _look(self, config: LineConfig) -> None:
        """Learn for a config, if it waits for it, and lay the result where the line finds it."""
        running = await Ticks(self._client, Stage.TELEMETRY, config.line).last_config()
        wanted = line_generation(config)
        if running in ("", wanted):
            return
        place = f"{config.line.plant}/{config.line.asset_class}"
        try:
            learned = await asyncio.to_thread(self._learn, config, running)
        except (QueryError, PlaceError, *STORAGE_ERRORS) as error:
            why = said(error) if isinstance(error, STORAGE_ERRORS) else str(error)
            log.warning("%s learns config %s while it runs: %s", place, wanted, why)
            learned = b""
        if learned is not None:
            subject, publish = learned_subject(config.line.key, wanted), self._client.jetstream().publish
            await insist(lambda: publish(subject, learned, stream=CHECKPOINTS), what=f"Publishing on {subject}")

    def _learn(self, config: LineConfig, running: str) -> bytes | None:
        """What was learned; None if nothing has to be."""
        store, began = self._open_store(), time.monotonic()
        models = learned_anew(told(store, config.line).config(running), config)
        if not models:
            return None
        learned, took_s = learn(store, config, models, self._go_on), time.monotonic() - began
        log.info("%s: learned %s from what is stored in %.1f s", config.line.key, ", ".join(models), took_s)
        return learned

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped
