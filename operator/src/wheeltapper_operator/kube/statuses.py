"""Statuses on their way to the API server: each once for every change, and no more often than it has to be."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from wheeltapper_operator.inventory import Inventory, Seen
from wheeltapper_operator.kube.api import Api, RefusedError
from wheeltapper_operator.kube.events import Events
from wheeltapper_operator.objects import Key
from wheeltapper_operator.reconcile.statuses import Said, status
from wheeltapper_operator.status.news import news
from wheeltapper_operator.status.writes import due

log = logging.getLogger(__name__)

_AT_ONCE: Final = 8
_FEW: Final = 1000
"""So many objects are remembered at any rate, whether they are still there or not."""


class _Written(NamedTuple):
    uid: str
    status: Mapping[str, Any]
    at: float


class StatusWriter:
    """Writes what is said of objects where it differs from what they say.

    Parameters
    ----------
    inventory
        What is remembered of an object goes with it.
    may_act
        Asked before each write.
    """

    def __init__(self, api: Api, events: Events, inventory: Inventory, may_act: Callable[[], bool]) -> None:
        self._api, self._events, self._inventory, self._may_act = api, events, inventory, may_act
        self._written: dict[Key, _Written] = {}
        self._tidy_at = _FEW

    async def write(self, said: Iterable[tuple[Seen, Said]], now: str) -> None:
        """Write the statuses that are due.

        Raises
        ------
        RefusedError, UnreachableError
            If one cannot be written; the others are tried.
        """
        waiting = [(seen, *found) for seen, one in said if (found := self._due(seen, one, now)) is not None]
        room = asyncio.Semaphore(_AT_ONCE)

        async def send(seen: Seen, before: Mapping[str, Any], new: Mapping[str, Any]) -> None:
            async with room:
                await self._send(seen, before, new)

        results = await asyncio.gather(*(send(*one) for one in waiting), return_exceptions=True)
        self._tidy()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _tidy(self) -> None:
        """Forget objects that are gone, each time as many again have been written."""
        if len(self._written) < self._tidy_at:
            return
        self._written = {key: one for key, one in self._written.items() if self._inventory.get(key) is not None}
        self._tidy_at = max(_FEW, 2 * len(self._written))

    def _due(self, seen: Seen, said: Said, now: str) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
        """The status before and after, if it has to be written."""
        last = self._written.get(seen.key)
        if last is None or last.uid != seen.uid:
            last = _Written(seen.uid, seen.status, float("-inf"))
        new = status(seen, last.status, said, now)
        return (last.status, new) if due(last.status, new, time.monotonic() - last.at) else None

    async def _send(self, seen: Seen, before: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        if not self._may_act():
            return
        metadata = {"name": seen.key.name, "uid": seen.uid}
        if seen.key.namespace:
            metadata["namespace"] = seen.key.namespace
        body = {"apiVersion": seen.raw["apiVersion"], "kind": seen.key.kind, "metadata": metadata, "status": new}
        try:
            await self._api.apply_status(body)
        except RefusedError as error:
            if error.status not in {404, 409}:  # gone, or another one of its name: the next round knows
                raise
        self._written[seen.key] = _Written(seen.uid, new, time.monotonic())
        for one in news(before, new):
            await self._events.tell(seen, one)
