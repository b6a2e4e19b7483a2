"""JetStream as the runtime needs it: a reader that keeps its own position, and a writer that cannot be overtaken.

The reader's consumer acknowledges nothing, since the position lives in the worker's checkpoint. The writer tells the
server the last sequence of its subject with every message: a paused or second instance is refused, not merged.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from wheeltapper_api.wire import HEADER_INPUT

log = logging.getLogger(__name__)

_WRONG_LAST_SEQUENCE: Final = 10071
_EXPECTED_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
_PULL_SECONDS: Final = 5.0
_PULL_BYTES: Final = 16 * 2**20
"""Asked for at once. The server closes a connection on which 64 MiB wait, and a worker's memory is bounded by this."""
_REQUEST_ENDED: Final = ("404", "408")
"""Nothing there, time is up."""
_RETRY_SECONDS: Final = 0.5


class Fenced(Exception):  # noqa: N818 - the field's word for it, and it is a state more than an error
    """Another instance writes to this subject; this one has to stop and start again from the checkpoint."""


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

    ``credentials`` is a folder with the files ``username`` and ``password``.
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
        user=(credentials / "username").read_text().strip(),
        password=(credentials / "password").read_text().strip(),
        max_reconnect_attempts=-1,
        reconnect_time_wait=_RETRY_SECONDS,  # type: ignore[arg-type]  # annotated int, slept as it is
        ping_interval=5,
        max_outstanding_pings=2,
        error_cb=on_error,
        disconnected_cb=on_lost,
        reconnected_cb=on_back,
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


async def insist(call: Any, *, what: str) -> Any:
    """Repeat an asynchronous call until the server has answered; errors it answers with are raised."""
    while True:
        obey_cancellation()
        try:
            return await call()
        except APIError:
            raise
        except (nats.errors.Error, TimeoutError, OSError) as error:
            log.warning("%s did not go through (%s); trying again", what, error or type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)


class StreamReader:
    """Reads the messages of a stream that match a filter, in order, from a position on.

    Lost connections, a restarted server and a forgotten consumer are noticed by the consumer's own count of messages;
    the reader then goes on after the last message it has handed out.
    """

    def __init__(self, client: Client, stream: str, subjects: list[str], position: int) -> None:
        self._client = client
        self._jetstream = client.jetstream()
        self._stream, self._subjects = stream, subjects
        self.position = position
        """Stream sequence of the last message handed out."""
        self._subscription: Any = None
        self._consumer = ""
        self._delivered = 0
        self._requested = 0

    async def read(self, limit: int) -> list[Message]:
        """Up to ``limit`` messages; none if none came within a few seconds."""
        obey_cancellation()
        if self._subscription is None:
            await insist(self._open, what=f"Opening {self._stream}")
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

    async def _open(self) -> None:
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
        self._delivered += 1
        self._requested -= 1
        self.position = metadata.sequence.stream
        published_ns = int(message.reply.split(".")[-2 if message.reply.count(".") == 8 else -4])
        messages.append(
            Message(
                metadata.sequence.stream,
                message.subject,
                message.data,
                message.headers or {},
                published_ns,
                metadata.num_pending,
            )
        )


class FencedWriter:
    """Writes to a subject of its own, each message after the last one it knows of."""

    def __init__(self, client: Client, stream: str, subject: str) -> None:
        self._jetstream: JetStreamContext = client.jetstream()
        self.stream, self.subject = stream, subject
        self.last_sequence = 0
        self.last_input = ""
        """``Wheeltapper-Input`` of the last message of the subject."""

    async def open(self) -> None:
        """Learn where the subject stands."""
        last = await self._last()
        self.last_sequence, self.last_input = last

    async def write(self, data: bytes, headers: dict[str, str]) -> int:
        """Publish and wait until it is stored; returns the stream sequence.

        Raises
        ------
        Fenced
            If another instance has written to the subject.
        """
        headers = headers | {_EXPECTED_LAST: str(self.last_sequence)}
        try:
            acknowledgement = await insist(
                lambda: self._jetstream.publish(self.subject, data, stream=self.stream, headers=headers, timeout=5),
                what=f"Publishing on {self.subject}",
            )
            self.last_sequence = acknowledgement.seq
        except APIError as error:
            if error.err_code != _WRONG_LAST_SEQUENCE:
                raise
            await self._recognise(headers[HEADER_INPUT])
        self.last_input = headers[HEADER_INPUT]
        return self.last_sequence

    async def _recognise(self, own: str) -> None:
        """A publish whose answer was lost is found stored; anything else means another writer."""
        before = self.last_sequence
        sequence, found = await self._last()
        if found != own or sequence <= before:
            raise Fenced(f"Another instance writes to {self.subject}; this one stops")
        self.last_sequence = sequence

    async def _last(self) -> tuple[int, str]:
        try:
            last = await insist(
                lambda: self._jetstream.get_last_msg(self.stream, self.subject), what=f"Reading {self.subject}"
            )
        except NotFoundError:
            return 0, ""
        return last.seq or 0, (last.headers or {}).get(HEADER_INPUT, "")
