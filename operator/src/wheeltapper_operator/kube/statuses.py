"""Statuses on their way to the API server: each once for every change, and no more often than it has to be."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from wheeltapper_operator.inventory import Seen
from wheeltapper_operator.kube.api import Api, RefusedError
from wheeltapper_operator.objects import Key
from wheeltapper_operator.reconcile.statuses import Said, status
from wheeltapper_operator.status.writes import due

log = logging.getLogger(__name__)

_AT_ONCE: Final = 8


class _Written(NamedTuple):
    uid: str
    status: Mapping[str, Any]
    at: float


class StatusWriter:
    """Writes what is said of objects where it differs from what they say.

    Parameters
    ----------
    may_act
        Asked before each write.
    """

    def __init__(self, api: Api, may_act: Callable[[], bool]) -> None:
        self._api, self._may_act = api, may_act
        self._written: dict[Key, _Written] = {}

    async def write(self, said: Iterable[tuple[Seen, Said]], now: str) -> None:
        """Write the statuses that are due.

        Raises
        ------
        RefusedError, UnreachableError
            If one cannot be written; the others are tried.
        """
        waiting = [(seen, new) for seen, one in said if (new := self._due(seen, one, now)) is not None]
        room = asyncio.Semaphore(_AT_ONCE)

        async def send(seen: Seen, new: Mapping[str, Any]) -> None:
            async with room:
                await self._send(seen, new)

        results = await asyncio.gather(*(send(seen, new) for seen, new in waiting), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _due(self, seen: Seen, said: Said, now: str) -> Mapping[str, Any] | None:
        last = self._written.get(seen.key)
        if last is None or last.uid != seen.uid:
            last = _Written(seen.uid, seen.status, float("-inf"))
        new = status(seen, last.status, said, now)
        return new if due(last.status, new, time.monotonic() - last.at) else None

    async def _send(self, seen: Seen, new: Mapping[str, Any]) -> None:
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

    def forget(self, key: Key) -> None:
        """An object is gone."""
        self._written.pop(key, None)
