"""A full disk under the backbone, and the way back.

A NATS server that could not write a stream refuses it until it is started again, even when there is room by then. So
its own words are listened to, and once the disk has room it is started anew; clients come back by themselves, and what
was not acknowledged is still with those who sent it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

RESERVE_BYTES: Final = 64 * 2**20
"""Room that a disk must have before the server is started again; of a small one a tenth."""
_LOOK_SECONDS: Final = 1.0
_FULL: Final = ("no space left on device", "disk quota exceeded")


class DiskGuard:
    """Starts a server again that has met a full disk."""

    def __init__(self, folder: Path, restart: Callable[[], None]) -> None:
        self._folder, self._restart = folder, restart
        self._full = asyncio.Event()
        self._task = asyncio.create_task(self._watch())

    @property
    def problem(self) -> str:
        """What is wrong and what to do, or nothing."""
        if not self._full.is_set():
            return ""
        return (
            f"The disk of {self._folder} is full: nothing new can be stored, and the machines' values wait where they "
            f"come from. Free {_text(_wanted(self._folder))} or move the folder; the rest happens by itself"
        )

    def hear(self, line: str) -> None:
        """Take a line of the server in."""
        if not self._full.is_set() and any(words in line.lower() for words in _FULL):
            self._full.set()
            log.warning("%s", self.problem)

    async def stop(self) -> None:
        """Stop watching."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _watch(self) -> None:
        while True:
            await self._full.wait()
            while shutil.disk_usage(self._folder).free < _wanted(self._folder):  # noqa: ASYNC110 - a disk tells nobody
                await asyncio.sleep(_LOOK_SECONDS)
            log.warning("The disk of %s has room again; the backbone is started anew", self._folder)
            self._full.clear()
            self._restart()


def _wanted(folder: Path) -> int:
    return min(RESERVE_BYTES, shutil.disk_usage(folder).total // 10)


def _text(count: int) -> str:
    return f"{max(1, count // 2**20)} MiB"
