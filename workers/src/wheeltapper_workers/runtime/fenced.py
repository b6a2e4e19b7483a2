"""A writer that cannot be overtaken and waits where a stream is full.

It tells the server the last sequence of its subject with every message: a paused or second instance is refused, not
merged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from wheeltapper_api.wire import HEADER_INPUT
from wheeltapper_workers.runtime.jetstream import Missing, insist
from wheeltapper_workers.runtime.lost_end import WRONG_LAST_SEQUENCE, count_on

_EXPECTED_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
_FULL: Final = "maximum bytes exceeded"


def is_full(why: str) -> bool:
    """Whether the server's words say that a stream has reached its limit."""
    return _FULL in why


class Fenced(Exception):  # noqa: N818 - the field's word for it, and it is a state more than an error
    """Another instance writes to this subject; this one has to stop and start again from the checkpoint."""


class FencedWriter:
    """Writes to a subject of its own, each message after the last one it knows of.

    Parameters
    ----------
    on_missing
        Called with what the server had acknowledged and has lost.
    """

    def __init__(
        self, client: Client, stream: str, subject: str, on_missing: Callable[[Missing], None] | None = None
    ) -> None:
        self._client, self._on_missing = client, on_missing
        self._jetstream: JetStreamContext = client.jetstream()
        self.stream, self.subject = stream, subject
        self.last_sequence = 0
        self.last_input = ""
        """``Wheeltapper-Input`` of the last message of the subject."""
        self.refusal = ""
        """Why the message at hand is not stored yet, in the server's words; empty while nothing waits."""
        self.messages = self.bytes = 0
        """Written since the start."""

    @property
    def held(self) -> str:
        """Why nothing is written just now and what to do, for people; empty while nothing waits."""
        if self.full:
            return (
                f"The stream {self.stream} is full and takes nothing more until its readers have caught up; what comes "
                "waits in front of it. Look for the reader that stands still, or raise the stream's share or "
                "limits.storage of the TenantPolicy"
            )
        return f"The backbone does not store what is written to {self.stream}: {self.refusal}" if self.refusal else ""

    @property
    def full(self) -> bool:
        """Whether the stream has reached its limit."""
        return is_full(self.refusal)

    async def open(self, known: int = 0) -> None:
        """Learn where the subject stands.

        Parameters
        ----------
        known
            Last message that a run before has written, as far as it is remembered.
        """
        self.last_sequence, self.last_input = await self._last()
        if known > self.last_sequence:
            await self._mind_a_lost_end(known)

    async def write(self, data: bytes, headers: dict[str, str]) -> int:
        """Publish and wait until it is stored; returns the stream sequence.

        Raises
        ------
        Fenced
            If another instance has written to the subject.
        """
        while True:
            try:
                self.last_sequence = await self._publish(data, headers)
            except APIError as error:
                if error.err_code != WRONG_LAST_SEQUENCE:
                    raise
                if not await self._recognise(headers[HEADER_INPUT]):
                    continue
            self.last_input = headers[HEADER_INPUT]
            self.messages += 1
            self.bytes += len(data)
            return self.last_sequence

    async def _publish(self, data: bytes, headers: dict[str, str]) -> int:
        headers = headers | {_EXPECTED_LAST: str(self.last_sequence)}
        stored = await insist(
            lambda: self._jetstream.publish(self.subject, data, stream=self.stream, headers=headers, timeout=5),
            what=f"Publishing on {self.subject}",
            held=self._hold,
        )
        return int(stored.seq)

    def _hold(self, why: str) -> None:
        self.refusal = why

    async def _recognise(self, own: str) -> bool:
        """Whether a refused message is stored: its answer was lost. Not if the last one has only left the stream.

        Raises
        ------
        Fenced
            If another instance has written.
        """
        self.refusal = ""
        before = self.last_sequence
        sequence, found = await self._last()
        if sequence < before:  # it has left the stream; a later message of anybody would still be there
            await self._mind_a_lost_end(before)
            self.last_sequence = sequence
            return False
        if found != own or sequence == before:
            raise Fenced(f"Another instance writes to {self.subject}; this one stops")
        self.last_sequence = sequence
        return True

    async def _mind_a_lost_end(self, known: int) -> None:
        """Tell if the server has lost the last message; it may as well have given way to the stream's limits."""
        look = f"Looking at {self.stream}"
        end = (await insist(lambda: self._jetstream.stream_info(self.stream), what=look)).state.last_seq
        if end < known:
            await insist(lambda: count_on(self._client, self.stream, known), what=f"Counting on in {self.stream}")
            if self._on_missing is not None:
                self._on_missing(Missing(self.stream, end + 1, known, known=True))

    async def _last(self) -> tuple[int, str]:
        try:
            last = await insist(
                lambda: self._jetstream.get_last_msg(self.stream, self.subject), what=f"Reading {self.subject}"
            )
        except NotFoundError:
            return 0, ""
        return last.seq or 0, (last.headers or {}).get(HEADER_INPUT, "")
