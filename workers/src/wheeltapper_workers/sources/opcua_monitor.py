"""Keeps a server's monitored items what is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from asyncua.ua.uaerrors import BadTooManyOperations

from wheeltapper_workers.sources import opcua_words as words
from wheeltapper_workers.sources.opcua_decode import Changes
from wheeltapper_workers.sources.opcua_items import Item, Items
from wheeltapper_workers.sources.opcua_session import Session

CHUNK: Final = 500
"""Monitored items created with one request."""
_NO_FILTER: Final = frozenset(
    {"BadMonitoredItemFilterUnsupported", "BadMonitoredItemFilterInvalid", "BadFilterNotAllowed"}
)


class Monitor:
    """The monitored items of one connection.

    Parameters
    ----------
    queue_size
        Samples the server is asked to keep for an item; None lets the item's interval decide.
    retry_s
        Between two attempts at a node the server refused.
    """

    def __init__(self, items: Items, queue_size: int | None, retry_s: float, now: Callable[[], int]) -> None:
        self._items, self._queue_size, self._retry_s, self._now = items, queue_size, retry_s, now
        self._changed = asyncio.Event()
        self._fresh = np.zeros(0, np.bool_)
        self._chunk = CHUNK

    def look(self) -> None:
        """Something else is wanted."""
        self._changed.set()

    def initial(self, changes: Changes) -> npt.NDArray[np.bool_]:
        """Rows that are the first of their item since it was created on the server."""
        handle = np.where(changes.handle < len(self._fresh), changes.handle, 0)
        initial = self._fresh[handle] if len(self._fresh) else np.zeros(len(handle), np.bool_)
        if initial.any():
            rows = np.flatnonzero(initial)
            _, at = np.unique(handle[rows], return_index=True)
            initial = np.zeros(len(handle), np.bool_)
            initial[rows[at]] = True
            self._fresh[handle[rows[at]]] = False
        return initial

    async def run(self, session: Session, created: Callable[[Session], None]) -> None:
        """Create what is wanted, delete what is not, and ask again for what was refused, until cancelled."""
        while True:
            self._changed.clear()
            gone, self._items.gone = self._items.gone, []
            ids = [item.server_id for item in gone if item.server_id is not None]
            for start in range(0, len(ids), self._chunk):
                await session.unmonitor(ids[start : start + self._chunk])
            while due := [item for item in self._items if _due(item)]:
                await self._create(session, due[: self._chunk])
                created(session)
            refused = [item.retry_at for item in self._items if item.node is not None and item.server_id is None]
            left = max(min(refused) - time.monotonic(), 0.01) if refused else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()

    async def _create(self, session: Session, items: Sequence[Item]) -> None:
        self._fresh = np.pad(self._fresh, (0, max(0, max(item.handle for item in items) + 1 - len(self._fresh))))
        self._fresh[[item.handle for item in items]] = True
        try:
            results = await session.monitor(items, [self._items.queue(item, self._queue_size) for item in items])
        except BadTooManyOperations:
            if len(items) == 1:
                raise
            self._chunk = max(1, len(items) // 2)
            return
        for item, (code, server_id) in zip(items, results, strict=True):
            self._note(item, code, server_id)

    def _note(self, item: Item, code: int, server_id: int) -> None:
        if code >> 30 < 2:
            item.server_id, item.refused = server_id, 0
        elif item.filtered and words.status_name(code) in _NO_FILTER:
            item.filtered = False
        else:
            item.since_ns = item.since_ns if item.refused else self._now()
            item.refused, item.retry_at = code, time.monotonic() + self._retry_s


def _due(item: Item) -> bool:
    return item.node is not None and item.server_id is None and item.retry_at <= time.monotonic()
