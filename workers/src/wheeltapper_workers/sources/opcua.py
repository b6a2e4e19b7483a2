"""OPC UA source: subscriptions that are acknowledged when the data is safe, and connections that come back.

Publish requests are the flow control. So many deliveries may be open; only when one is done is the server asked for the
next, and told in the same request that it may forget the one that is done. A consumer that stands still leaves the
samples in the server's queues. A connection that breaks is made again with the same session where the server still has
it: what was published meanwhile is asked for again, by its number. A collector that was restarted takes over the
subscription of the one before, with all that nobody has acknowledged. Where the server kept neither, its history is
asked.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from asyncua.ua.uaerrors import (
    BadNoSubscription,
    BadSessionClosed,
    BadSessionIdInvalid,
    BadSubscriptionIdInvalid,
    BadTimeout,
    BadTooManyPublishRequests,
    UaError,
)

from wheeltapper_api.config import CollectorConfig, SeriesConfig
from wheeltapper_workers.contracts.problems import SeriesProblem
from wheeltapper_workers.sources import opcua_words as words
from wheeltapper_workers.sources.base import NOTHING_KEPT, ConnectionState, Delivery, History, Kept, without_secret
from wheeltapper_workers.sources.jobs import ended, until_one_fails
from wheeltapper_workers.sources.opcua_decode import MalformedError, Publication
from wheeltapper_workers.sources.opcua_history import read_history
from wheeltapper_workers.sources.opcua_items import Items
from wheeltapper_workers.sources.opcua_link import Link, SubscriptionLostError
from wheeltapper_workers.sources.opcua_monitor import Monitor
from wheeltapper_workers.sources.opcua_session import Security, Session, Timing

log = logging.getLogger(__name__)

WINDOW: Final = 4
"""Open deliveries and waiting publish requests together."""
_MOST_MISSING: Final = 1000
_MOST_BARREN: Final = 3
_FAILURES: Final[tuple[type[Exception], ...]] = (OSError, TimeoutError, UaError, MalformedError, words.SetupError)

_SESSION_GONE: Final = (
    SubscriptionLostError,
    BadNoSubscription,
    BadSessionClosed,
    BadSessionIdInvalid,
    BadSubscriptionIdInvalid,
)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A publication that waits to be handed on."""

    link: Link
    got: Publication
    received_ns: int
    resent: npt.NDArray[np.bool_]
    credit: bool
    """Whether the server is to be asked for another one when this one is done."""
    broken: str


class OpcUaSource:
    """A connection to an OPC UA server.

    Parameters
    ----------
    config
        The connection and its series. Options: ``publishing_interval_ns``, ``queue_size``, ``sampling_interval_ns``
        (0 is as fast as the server likes; half a series' interval if left out), ``security_policy``, ``security_mode``.
    secret
        Folder with the files ``username`` and ``password``, or ``certificate`` and ``privateKey``.
    window
        Deliveries that may be open at a time.
    now
        Clock for the time of receipt, in nanoseconds since 1970 (UTC).
    kept
        What an earlier run left: the subscription and its items.
    """

    def __init__(
        self,
        config: CollectorConfig,
        *,
        secret: Path | None = None,
        timing: Timing | None = None,
        window: int = WINDOW,
        now: Callable[[], int] = time.time_ns,
        kept: Kept = NOTHING_KEPT,
    ) -> None:
        options = config.options
        self._config, self._timing, self._window, self._now = config, timing or Timing(), window, now
        self._security = Security(options.get("security_policy", "None"), options.get("security_mode", "None"), secret)
        self._publishing_ns = int(options.get("publishing_interval_ns", 500_000_000))
        self._items = Items(options.get("sampling_interval_ns"))
        self._items.want(config.series, now())
        self._monitor = Monitor(self._items, options.get("queue_size"), self._timing.retry_s, now)
        self._queue: asyncio.Queue[_Arrival | None] = asyncio.Queue()
        self._kept = kept
        self._memory = dict(kept.memory)
        self._broken = ""
        self._link: Link | None = None
        self._state = ConnectionState(False, now(), f"Connecting to {config.endpoint}.")
        self._task: asyncio.Task[None] | None = None
        self._closing = self._leaving = False
        self.missed = 0
        """Publications the server could not repeat after a connection broke: each is a gap."""

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def start(self) -> None:
        """Begin to connect; never fails, and goes on until it works."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"opcua {self._config.name}")
            self._task.add_done_callback(lambda _: self._queue.put_nowait(None))

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Deliveries in the order of their receipt; ends when the source is closed."""
        self.start()
        while (one := await self._queue.get()) is not None:
            yield Delivery(
                functools.partial(self._items.batch, one.got.changes, one.received_ns, one.resent),
                functools.partial(one.link.done, one.got.sequence, one.credit),
                one.broken,
                f"{one.got.subscription}:{one.got.sequence}",
            )
        if self._task is not None and not self._task.cancelled():
            self._task.result()

    def connection(self) -> ConnectionState:
        """State of the connection."""
        return self._state

    def problems(self) -> list[SeriesProblem]:
        """Nodes that cannot be read."""
        return self._items.problems(self._config.endpoint)

    def status_name(self, code: int) -> str:
        """Symbolic name of a status code."""
        return words.status_name(code)

    async def reconfigure(self, series: Sequence[SeriesConfig]) -> None:
        """Read these series from now on; items whose node and sampling stay are not touched."""
        self._items.want(series, self._now())
        self._monitor.look()

    async def history(self, series: npt.NDArray[np.int32], since_ns: npt.NDArray[np.int64], until_ns: int) -> History:
        """What the server's history says of some series."""
        if self._link is None or not self._state.connected:
            raise ConnectionError(self._state.message or "not connected")
        items = [self._items.of(at) for at in series.tolist()]
        nodes = [item.node if item is not None else None for item in items]
        try:
            return await read_history(self._link.session, nodes, series, since_ns, until_ns, self._now)
        except (OSError, TimeoutError, MalformedError, BadSessionClosed, BadSessionIdInvalid) as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    async def close(self, *, keep: bool = False) -> None:
        """End the session, or leave it for the next run. What is not done by now is not acknowledged."""
        self._closing, self._leaving = True, keep
        if self._task is None:
            self._queue.put_nowait(None)
            return
        await ended(self._task)

    async def _run(self) -> None:
        link: Link | None = None
        attempt = 0
        while not self._closing:
            try:
                link = self._link = await self._connect(link)
                self._state = ConnectionState(True, self._now(), "", self._state.connects + 1)
                attempt = 0
                await self._work(link)
            except _FAILURES as error:
                link = await self._lost(link, error)
            except asyncio.CancelledError:
                if link is not None and self._leaving:
                    link.session.drop()
                elif link is not None:
                    await link.session.close()
                raise
            timing = self._timing
            delay = min(timing.first_delay_s * 2 ** min(attempt, 16), timing.last_delay_s)
            attempt += 1
            # Not all collectors of a plant at the same moment after its server was restarted.
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, hides nothing

    async def _connect(self, link: Link | None) -> Link:
        """Session and subscription: those of before if the server still has them, else new ones.

        A new session is made first, to see that it is still the same run of the server. A server that was restarted may
        have given the old session's token to somebody else.
        """
        session = Session(self._config.endpoint, self._security, self._timing)
        try:
            await session.connect()
            if link is not None and session.start_time is not None and session.start_time == link.session.start_time:
                try:
                    await link.session.resume()
                    await self._fill(link, None)
                except _FAILURES as error:
                    log.info("%s did not keep the session: %s", self._config.endpoint, type(error).__name__)
                    link.session.drop()
                else:
                    await session.close()
                    return link
            taken = Link(session, self._window)
            if link is None and self._same_run(session) and await self._take_over(session, taken):
                return taken
            await session.subscribe(self._publishing_ns)
        except BaseException:
            session.drop()
            raise
        self._items.forget_server()
        self._broken = self._state.message if self._state.connects else "The collector was not running"
        self._remember(session)
        return Link(session, self._window)

    def _same_run(self, session: Session) -> bool:
        """Whether the server still runs that an earlier run of the collector had a subscription with."""
        return bool(self._memory) and self._memory.get("started") == str(session.start_time)

    async def _take_over(self, session: Session, link: Link) -> bool:
        """Go on with the subscription of an earlier run; whether the server gave it."""
        memory, self._memory = self._memory, {}
        try:
            available = await session.take_over(memory["subscription"])
            session.keep_alive_s = memory["keep_alive_s"]
            self._items.recall(memory["items"])
            session.last_sequence = self._last_stored(session.subscription)
            for sequence in available:
                await self._fill(link, sequence)
                again = await session.republish(sequence)
                if again is not None:
                    self._deliver(link, again, credit=False, resent=True)
        except UaError as error:
            log.info("%s did not give the subscription: %s", self._config.endpoint, type(error).__name__)
            return False
        self._remember(session)
        return True

    def _last_stored(self, subscription: int | None) -> int | None:
        """Number of the last publication of a subscription that is in the stream; None if nobody knows."""
        of, _, sequence = self._kept.place.partition(":")
        return int(sequence) if of == str(subscription) else None

    def _remember(self, session: Session) -> None:
        """Have kept what the next run needs to take the subscription over."""
        self._kept.keep(
            {
                "started": str(session.start_time),
                "subscription": session.subscription,
                "keep_alive_s": session.keep_alive_s,
                "items": self._items.remembered(),
            }
        )

    async def _lost(self, link: Link | None, error: Exception) -> Link | None:
        """Say what happened; the link if it is worth resuming."""
        config = self._config
        if self._state.connected:
            message = words.lost_connection(error, config.endpoint)
            self._state = ConnectionState(False, self._now(), message, self._state.connects)
            log.warning(message)
        else:
            message = words.cannot_connect(error, config.endpoint, config.name, config.plant)
            message += without_secret(self._security.secret)
            if message != self._state.message:
                log.warning(message)
            self._state = ConnectionState(False, self._state.since_ns, message, self._state.connects)
        if link is None:
            return None
        if isinstance(error, _SESSION_GONE):
            await link.session.close()
            return None
        link.session.drop()
        link.barren += 1
        return link if link.barren <= _MOST_BARREN else None

    async def _work(self, link: Link) -> None:
        link.pumps, link.heard = self._window, time.monotonic()
        await until_one_fails(
            *(self._pump(link) for _ in range(self._window)),
            self._monitor.run(link.session, self._remember),
            self._watch(link),
            self._renew(link.session),
        )

    async def _pump(self, link: Link) -> None:
        while True:
            await link.credits.acquire()
            handed_on = False
            try:
                got = await link.publish()
                handed_on = await self._receive(link, got)
            except BadTimeout:
                continue
            except BadTooManyPublishRequests:
                if link.pumps == 1:
                    raise
                link.pumps -= 1
                return
            finally:
                if not handed_on:
                    link.credits.release()

    async def _receive(self, link: Link, got: Publication) -> bool:
        """Take a publication; whether its credit went on with a delivery."""
        async with link.order:
            if got.subscription != link.session.subscription:
                return False
            if got.status is not None:
                raise SubscriptionLostError(f"its subscription ended ({words.status_name(got.status)})")
            await self._fill(link, got.sequence)
            return False if got.empty else self._deliver(link, got, credit=True)

    async def _fill(self, link: Link, before: int | None) -> None:
        """Ask again for publications that did not arrive: those before a number, or all the server has."""
        if link.session.last_sequence is None:
            return
        wanted = link.session.last_sequence % (2**32 - 1) + 1
        for _ in range(_MOST_MISSING):
            if wanted == before or (before is not None and (before - wanted) % 2**32 > 2**31):
                return
            again = await link.session.republish(wanted)
            if again is not None:
                self._deliver(link, again, credit=False)
            elif before is None:
                return
            else:
                self.missed += 1
                self._broken = "The server did not keep what it had sent"
            wanted = wanted % (2**32 - 1) + 1

    def _deliver(self, link: Link, got: Publication, *, credit: bool, resent: bool = False) -> bool:
        link.session.last_sequence = got.sequence
        if not len(got.changes):
            link.pending.append(got.sequence)
            return False
        maybe = np.ones(len(got.changes), np.bool_) if resent else self._monitor.initial(got.changes)
        self._queue.put_nowait(_Arrival(link, got, self._now(), maybe, credit, self._broken))
        self._broken = ""
        return True

    async def _watch(self, link: Link) -> None:
        """Notice a server that is gone without a word, and a subscription that is."""
        while True:
            await asyncio.sleep(self._timing.watch_s)
            await link.session.probe()
            patience = 2 * link.session.keep_alive_s + self._timing.answer_s
            if link.waiting and time.monotonic() - link.heard > patience:
                raise SubscriptionLostError("its subscription is silent")

    async def _renew(self, session: Session) -> None:
        while True:
            await asyncio.sleep(session.renew_after_s)
            await session.renew()
