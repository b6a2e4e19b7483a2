"""The audit log of a tenant: who asked what through the gateway, and how it ended, as a chain of records.

Each record carries the digest of the one before it, so that none can be changed, left out or put in without all that
follow being other ones. The stream that holds them refuses the removal of messages (its oldest go at its bound), and
only one writer can add the next: each says which message it goes on from.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final, Literal

import nats.errors
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError
from pydantic import ValidationError

from wheeltapper_api.backbone import AUDIT
from wheeltapper_api.fields import Model
from wheeltapper_workers.runtime.jetstream import StreamReader

_SUBJECT: Final = "audit.gateway"
_EXPECTED: Final = "Nats-Expected-Last-Sequence"
_WRONG_LAST_SEQUENCE: Final = 10071
_PATIENCE_S: Final = 5.0
_TRIES: Final = 3
_LONGEST: Final = 4096
"""Characters of a value that are written down; what is longer is bound by its digest."""


class Asked(Model):
    """What was asked, as it is written down: of files that came with it the digests."""

    command: list[str]
    options: dict[str, Any] = {}
    files: dict[str, str] = {}


class Record(Model):
    """One link of the chain."""

    previous: str
    """Digest of the record before it; empty for the very first."""
    time: str
    """UTC."""
    request: str
    """The same for what was asked and how that ended."""
    event: Literal["asked", "ended", "refused"]
    user: str = ""
    """As the API server knows them; empty if it does not."""
    uid: str = ""
    groups: list[str] = []
    asked: Asked | None = None
    outcome: str = ""
    """Why it was refused, or what ended it."""
    exit_code: int | None = None
    sent_bytes: int | None = None
    seconds: float | None = None
    unrecorded: int = 0
    """Refusals of nobody known before this one, for which there was no room: whoever knocks cannot fill the log."""


class Checked(Model):
    """What a check of the chain has found."""

    sound: bool
    records: int
    first: int
    """Number of the oldest record that there is; those before it gave way at the stream's bound."""
    last: int
    head: str
    """Digest of the newest record: noted elsewhere, it binds all before it."""
    broken: list[str]


class AuditError(Exception):
    """The log cannot be written."""


def digest(data: bytes) -> str:
    """Name of a record by its content."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def shortened(text: str) -> str:
    """A value as it is written down."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters, {digest(text.encode())})"


class Check:
    """Follows the chain, record by record.

    Parameters
    ----------
    contains
        Digest that was once noted; the record has to be there still.
    """

    def __init__(self, contains: str | None = None) -> None:
        self._contains, self._noted = contains, contains is None
        self._first = self._last = self._records = 0
        self._head = ""
        self._broken: list[str] = []

    def add(self, number: int, data: bytes) -> None:
        """Look at the next record."""
        self._broken += _linked(number, data, self._last, self._head)
        self._first, self._last, self._head = self._first or number, number, digest(data)
        self._records += 1
        self._noted = self._noted or self._head == self._contains

    def result(self) -> Checked:
        """What was found in all of them."""
        broken = self._broken if self._noted else [*self._broken, f"There is no record {self._contains}"]
        return Checked(
            sound=not broken,
            records=self._records,
            first=self._first,
            last=self._last,
            head=self._head,
            broken=broken,
        )


def _linked(number: int, data: bytes, before: int, head: str) -> list[str]:
    if before and number != before + 1:
        return [f"Between the records {before} and {number} some are missing"]
    try:
        record = Record.model_validate_json(data)
    except ValidationError:
        return [f"What stands at {number} is no record"]
    if before and record.previous != head:
        return [f"Record {number} does not follow from the one before it: one of the two was changed"]
    if number == 1 and record.previous:
        return ["Record 1 follows another one: the log was made anew"]
    return []


class AuditLog:
    """Writer of a tenant's log. A record is stored before :meth:`write` returns."""

    def __init__(self, client: Client) -> None:
        self._client, self._jetstream = client, client.jetstream(timeout=_PATIENCE_S)
        self._lock = asyncio.Lock()
        self._head: tuple[int, str] | None = None
        """Number and digest of the newest record; None where it has to be looked up."""

    async def open(self) -> None:
        """Make the stream if there is none.

        Raises
        ------
        AuditError
            If the backbone refuses it, or does not answer.
        """
        try:
            await self._jetstream.stream_info(AUDIT.name)
        except NotFoundError:
            await self._make()
        except (APIError, nats.errors.Error, TimeoutError) as error:
            raise AuditError(_said(error)) from error

    async def write(self, **fields: Any) -> None:
        """Add a record; its time and its link to the one before are put in here.

        Raises
        ------
        AuditError
            If it is not known to be stored.
        """
        async with self._lock:
            for _ in range(_TRIES):
                try:
                    await self._add(fields)
                except APIError as error:
                    self._head = None
                    if error.err_code != _WRONG_LAST_SEQUENCE:
                        raise AuditError(_said(error)) from error
                except (nats.errors.Error, TimeoutError, OSError) as error:
                    self._head = None
                    raise AuditError(_said(error)) from error
                else:
                    return
            raise AuditError("another writer is always first")

    async def _add(self, fields: dict[str, Any]) -> None:
        number, head = self._head or await self._newest()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = Record(previous=head, time=now, **fields).model_dump_json(exclude_defaults=True).encode()
        stored = await self._jetstream.publish(_SUBJECT, data, headers={_EXPECTED: str(number)})
        self._head = (stored.seq, digest(data))

    async def _newest(self) -> tuple[int, str]:
        last = int((await self._jetstream.stream_info(AUDIT.name)).state.last_seq)
        if not last:
            return 0, ""
        message = await self._jetstream.get_msg(AUDIT.name, last)
        return last, digest(message.data or b"")

    async def _make(self) -> None:
        config = StreamConfig(
            name=AUDIT.name,
            subjects=list(AUDIT.subjects),
            storage=StorageType.FILE,
            max_bytes=AUDIT.max_bytes,
            max_msg_size=AUDIT.max_message_bytes,
            discard=DiscardPolicy.OLD,
            deny_delete=True,
            deny_purge=True,
        )
        try:
            await self._jetstream.add_stream(config)
        except (APIError, nats.errors.Error, TimeoutError) as error:
            raise AuditError(_said(error)) from error


async def read(client: Client) -> AsyncIterator[tuple[int, bytes]]:
    """Records of the log with their numbers, the oldest first; none where there is no log."""
    try:
        last = int((await client.jetstream().stream_info(AUDIT.name)).state.last_seq)
    except NotFoundError:
        return
    reader = StreamReader(client, AUDIT.name, [_SUBJECT], position=0)
    try:
        while reader.position < last:
            messages = await reader.read(256)
            for message in messages:
                if message.sequence <= last:
                    yield message.sequence, message.data
            if not messages:
                return
    finally:
        await reader.close()


def _said(error: Exception) -> str:
    return getattr(error, "description", "") or str(error) or type(error).__name__
