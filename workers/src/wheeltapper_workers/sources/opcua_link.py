"""A subscription, what is open on it, and its flow control."""

from __future__ import annotations

import asyncio
import time

from wheeltapper_workers.sources.opcua_decode import Publication
from wheeltapper_workers.sources.opcua_session import Session


class SubscriptionLostError(ConnectionError):
    """The server is there, its subscription is not."""


class Link:
    """A subscription and what is open on it; it outlives the connection if the server keeps the session."""

    def __init__(self, session: Session, window: int) -> None:
        self.session = session
        self.credits = asyncio.Semaphore(window)
        self.order = asyncio.Lock()
        self.pending: list[int] = []
        """Publications that are done and not yet acknowledged."""
        self.waiting = 0
        self.pumps = 0
        self.heard = time.monotonic()
        self.barren = 0
        """Connections made one after the other that brought no publication."""

    def done(self, sequence: int, credit: bool) -> None:
        """A publication is safe."""
        self.pending.append(sequence)
        if credit:
            self.credits.release()

    async def publish(self) -> Publication:
        """Acknowledge what is done and ask for more."""
        acknowledged, self.pending = self.pending, []
        if not self.waiting:
            self.heard = time.monotonic()
        self.waiting += 1
        try:
            got = await self.session.publish(acknowledged)
        except BaseException:
            self.pending = acknowledged + self.pending
            raise
        finally:
            self.waiting -= 1
        self.heard, self.barren = time.monotonic(), 0
        return got
