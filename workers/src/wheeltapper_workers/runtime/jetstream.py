"""JetStream as the runtime needs it: a connection that comes back, calls that insist, a reader with its own position.

The reader's consumer acknowledges nothing, since the position lives in the worker's checkpoint.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError, ServerError, ServiceUnavailableError

from wheeltapper_backbone.credentials import connect_options
from wheeltapper_workers.runtime.lost_end import count_on, first_after, microseconds

log = logging.getLogger(__name__)

_PULL_SECONDS: Final = 5.0
_PULL_BYTES: Final = 16 * 2**20
"""Asked for at once. The server closes a connection on which 64 MiB wait, and a worker's memory is bounded by this."""
_REQUEST_ENDED: Final = ("404", "408")
"""Nothing there, time is up."""
_RETRY_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 5.0
"""A reader that keeps up looks so often whether the stream was trimmed in front of it, one that lags every time."""
_IDLE_SECONDS: Final = 60.0
"""A reader for which nothing comes lets its position follow the stream so often."""


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message."""

    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    published_ns: int
    pending: int = 0
    """Messages of the filter that were behind it when it was sent."""


async def connect(url: str, credentials: Path, name: str) -> Client:
    """Connect to the tenant's account, waiting for the server as long as it takes.

    ``credentials`` is a folder with the file ``user.creds``, or with ``username`` and ``password``.
    """

    async def on_error(error: Exception) -> None:
        log.warning("The backbone reports: %s", error or type(error).__name__)

    async def on_lost() -> None:
        if not client.is_closed:
            log.warning("Lost the backbone at %s; trying again", url)

    async def on_back() -> None:
        log.info("Reached the backbone at %s again", url)

    client = Client()
    await client.connect(
        url,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=_RETRY_SECONDS,  # type: ignore[arg-type]  # annotated int, slept as it is
        ping_interval=5,
        max_outstanding_pings=2,
        error_cb=on_error,
        disconnected_cb=on_lost,
        reconnected_cb=on_back,
        **connect_options(credentials),
    )
    return client


def obey_cancellation() -> None:
    """Raise the cancellation that the client library may have swallowed while it waited for the server.

    Raises
    ------
    asyncio.CancelledError
        If the current task was asked to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def insist(call: Any, *, what: str, held: Callable[[str], None] | None = None) -> Any:
    """Repeat an asynchronous call until the server has done it; errors that time does not heal are raised.

    A server that answers that it cannot now, because a stream or its disk is full, is asked again like one that does
    not answer.

    Parameters
    ----------
    held
        Called with why it has not gone through yet, in the server's words, and with an empty text once it has.
    """
    before = ""
    while True:
        obey_cancellation()
        try:
            result = await call()
        except (ServiceUnavailableError, ServerError) as error:
            why = error.description or str(error)
        except APIError:
            raise
        except (nats.errors.Error, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
        else:
            if before and held is not None:
                held("")
            return result
        if why != before:  # said once, not twice a second for a night
            log.warning("%s did not go through (%s); trying again", what, why)
            before = why
        if held is not None:
            held(why)
        await asyncio.sleep(_RETRY_SECONDS)


@dataclass(frozen=True, slots=True)
class Missing:
    """A stretch of a stream that was gone before its reader came to it, or that the server has lost after that."""

    stream: str
    first: int
    last: int
    known: bool = False
    """They had been read, or written and acknowledged: the server has lost the end of the stream."""

    def __str__(self) -> str:
        """Say what is gone; of a stream that several share some of it may have been of no concern."""
        if self.known:
            return (
                f"The server has lost the end of {self.stream}, messages {self.first} to {self.last}, which it had "
                "acknowledged, as after a power failure; it goes on behind them. Check that its disk keeps what is "
                "written"
            )
        return f"{self.stream} no longer has messages {self.first} to {self.last}, {self.count} that were not read yet"

    @property
    def count(self) -> int:
        """Messages of all writers of the stream."""
        return self.last - self.first + 1


class StreamReader:
    """Reads the messages of a stream that match a filter, in order, from a position on.

    Lost connections, a restarted server and a forgotten consumer are noticed by the consumer's own count of messages;
    the reader then goes on after the last message it has handed out.

    Parameters
    ----------
    on_missing
        Called with what the stream no longer had when the reader came to it, before anything behind it is handed
        out, and with what the server has lost of its end. A position of 0 asks for what there is, and misses nothing.
        With it a stream that is not there is waited for.
    read_ns
        When the message at the position was stored, nanoseconds since 1970; 0 if that is not known. By it what came
        after a lost end is told from what was lost.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        subjects: list[str],
        position: int,
        *,
        on_missing: Callable[[Missing], None] | None = None,
        read_ns: int = 0,
    ) -> None:
        self._client = client
        self._jetstream = client.jetstream()
        self._stream, self._subjects = stream, subjects
        self.position = position
        """Stream sequence of the last message handed out."""
        self.read_ns = read_ns
        """When it was stored; 0 if that is not known."""
        self._subscription: Any = None
        self._on_missing = on_missing
        self._consumer = ""
        self._delivered = 0
        self._requested = 0
        self._pending = 0
        self._looked_s = self._idle_s = time.monotonic()

    async def read(self, limit: int) -> list[Message]:
        """Up to ``limit`` messages; none if none came within a few seconds."""
        obey_cancellation()
        if self._subscription is None:
            await insist(self._open, what=f"Opening {self._stream}")
        elif self._on_missing is not None and self._requested == 0 and self._may_be_overtaken():
            self._mind_the_beginning((await insist(self._info, what=f"Looking at {self._stream}")).state)
        try:
            if self._requested == 0:
                await self._request(limit)
            first = await self._first()
        except (nats.errors.Error, TimeoutError):
            await self.close()  # not even the end of the request came: start over behind the last message
            return []
        messages: list[Message] = []
        self._take(first, messages)
        while self._subscription is not None and self._subscription.pending_msgs and len(messages) < limit:
            self._take(await self._subscription.next_msg(timeout=1), messages)
        if not messages and time.monotonic() - self._idle_s > _IDLE_SECONDS:
            await self._follow()
        return messages

    async def close(self) -> None:
        """Forget the consumer; the next read makes another."""
        subscription, self._subscription, self._requested = self._subscription, None, 0
        if subscription is not None and not self._client.is_closed:
            await subscription.unsubscribe()

    async def _first(self) -> Msg:
        """Next message of the request; a connection made anew knows nothing of the request, so waiting ends there."""
        connections = self._client.stats["reconnects"]
        deadline = time.monotonic() + _PULL_SECONDS + 2
        while True:
            try:
                message: Msg = await self._subscription.next_msg(timeout=_RETRY_SECONDS)
            except TimeoutError:
                if time.monotonic() > deadline or self._client.stats["reconnects"] != connections:
                    raise
            else:
                return message

    def _may_be_overtaken(self) -> bool:
        return self._pending > 0 or time.monotonic() - self._looked_s > _LOOK_SECONDS

    async def look(self) -> None:
        """Tell what the stream no longer has in front of the position, and whether its end is lost."""
        state = (await insist(self._info, what=f"Looking at {self._stream}")).state
        if self._on_missing is None:
            self.position = min(self.position, int(state.last_seq))
        elif self.position:
            self._mind_the_beginning(state)
            if state.last_seq < self.position or await insist(self._is_another, what=f"Reading {self._stream}"):
                await self._mind_the_end(state, self._on_missing)

    def _mind_the_beginning(self, state: Any) -> None:
        """Tell what the stream no longer has between the position and its own beginning."""
        self._looked_s = time.monotonic()
        if self._on_missing is not None and self.position and state.first_seq > self.position + 1:
            self._on_missing(Missing(self._stream, self.position + 1, state.first_seq - 1))
            self.position, self.read_ns = state.first_seq - 1, 0

    async def _is_another(self) -> bool:
        """Whether the message at the position is not the one that was handed out, as far as that can be told."""
        if not self.read_ns:
            return False
        try:
            found = await self._jetstream.get_msg(self._stream, self.position)
        except NotFoundError:
            return True
        return microseconds(found.time) != self.read_ns // 1000

    async def _mind_the_end(self, state: Any, on_missing: Callable[[Missing], None]) -> None:
        """Go on behind a lost end, with what was stored since the message that was handed out last."""
        known, end = self.position, state.last_seq + 1
        begin = end
        if self.read_ns:
            search = (self._jetstream, self._stream, state.first_seq, end, self.read_ns // 1000)
            begin = await insist(lambda: first_after(*search), what=f"Reading {self._stream}")
        await insist(lambda: count_on(self._client, self._stream, known), what=f"Counting on in {self._stream}")
        if begin < end:
            self.position, self.read_ns = begin - 1, 0
        if begin <= known:
            on_missing(Missing(self._stream, begin, known, known=True))

    async def _follow(self) -> None:
        """Let the position follow a stream in which nothing is for this reader, so that nobody keeps it for its sake.

        The end of the stream is asked for first: what the consumer has not passed on by then would be pending.
        """
        self._idle_s = time.monotonic()
        try:
            end = (await self._info()).state.last_seq
            consumer = await self._jetstream.consumer_info(self._stream, self._consumer)
        except (nats.errors.Error, TimeoutError):
            return
        delivered = consumer.delivered.consumer_seq if consumer.delivered else None
        if consumer.num_pending == 0 and delivered == self._delivered and end > self.position:
            self.position, self.read_ns = end, 0

    async def _info(self) -> Any:
        try:
            return await self._jetstream.stream_info(self._stream)
        except NotFoundError as error:
            if self._on_missing is None:
                raise
            raise nats.errors.Error(f"There is no stream {self._stream}") from error  # who made it makes it again

    async def _open(self) -> None:
        await self.look()
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self.position + 1,
            filter_subjects=self._subjects,
            inactive_threshold=60.0,
            mem_storage=True,
        )
        info = await self._jetstream.add_consumer(self._stream, config)
        self._consumer, self._delivered, self._requested = info.name, 0, 0
        self._subscription = await self._client.subscribe(self._client.new_inbox())

    async def _request(self, limit: int) -> None:
        body = {"batch": limit, "max_bytes": _PULL_BYTES, "expires": int(_PULL_SECONDS * 1e9)}
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}",
            json.dumps(body).encode(),
            self._subscription.subject,
        )
        self._requested = limit

    def _take(self, message: Msg, messages: list[Message]) -> None:
        status = (message.headers or {}).get("Status")
        if status is not None and not message.reply.startswith("$JS.ACK"):
            self._requested = 0
            full = "MaxBytes" in (message.headers or {}).get("Description", "")
            if status not in _REQUEST_ENDED and not full:  # the consumer is gone
                self._subscription = None
            return
        metadata = message.metadata
        if metadata.sequence.consumer != self._delivered + 1:
            self._subscription = None  # messages were lost on the way to us
            return
        sequence = metadata.sequence.stream
        self._delivered += 1
        self._requested -= 1
        self.position, self._pending, self._idle_s = sequence, metadata.num_pending, time.monotonic()
        self.read_ns = int(message.reply.split(".")[-2 if message.reply.count(".") == 8 else -4])
        messages.append(
            Message(
                sequence,
                message.subject,
                message.data,
                message.headers or {},
                self.read_ns,
                metadata.num_pending,
            )
        )
