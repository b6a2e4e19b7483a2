"""Copies of a role's checkpoint in the backbone, from which another worker goes on where this one cannot.

The stream keeps what came since a copy, and what was made of it is recognised; so a copy may be minutes old and the
result is still that of one worker that never stopped. A copy is of many messages. It is written in the place of the one
before the last, so that a whole one is there at any moment, and says its digest, so that a torn one is seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from wheeltapper_api.backbone import CHECKPOINTS, checkpoint_subject
from wheeltapper_api.config import LineConfig, Role
from wheeltapper_api.wire import Line
from wheeltapper_workers.runtime.checkpoint import Checkpoint, CheckpointStore, decode
from wheeltapper_workers.runtime.configs import Configs
from wheeltapper_workers.runtime.jetstream import insist, obey_cancellation
from wheeltapper_workers.runtime.packed import pack, unpack

log = logging.getLogger(__name__)

COPY_SECONDS: Final = 60.0
"""Time between copies: how much of the stream another worker does again."""
_STOP_SECONDS: Final = 10.0
_PART_BYTES: Final = 2**20
_MOST_BYTES: Final = 4 * 2**30
_PLACES: Final = ("a", "b")
_COPY: Final = "Wheeltapper-Copy"
"""``<position>:<parts>:<bytes>:<digest>``, on every part."""


@dataclass(frozen=True, slots=True)
class _Label:
    """What every part of a copy says of the whole."""

    position: int
    parts: int
    size: int
    digest: str

    @classmethod
    def of(cls, message: RawStreamMsg) -> _Label | None:
        """Label of a message; None if it has none that can be true."""
        words = (message.headers or {}).get(_COPY, "").split(":")
        if len(words) != 4 or not all(word.isdecimal() and len(word) < 20 for word in words[:3]):
            return None
        position, parts, size = map(int, words[:3])
        return cls(position, parts, size, words[3]) if size <= _MOST_BYTES else None

    def __str__(self) -> str:
        return f"{self.position}:{self.parts}:{self.size}:{self.digest}"


class Copies:
    """Copies of the checkpoint of one role of one line.

    Parameters
    ----------
    store
        Where the checkpoint itself is.
    configs
        Of the line; a copy carries the config it was made under.
    """

    def __init__(self, client: Client, role: Role, line: Line, store: CheckpointStore, configs: Configs) -> None:
        self._client, self._store, self._configs = client, store, configs
        self._name, self._key = f"{role.value} of {line.key}", f"{line.key}.{role.value}"
        self._place = ""
        """Of the newest whole copy."""
        self.position = -1
        """Position of the newest copy; -1 before there is one."""

    async def run(self) -> None:
        """Copy what is saved, minute by minute, until cancelled."""
        while True:
            await asyncio.sleep(COPY_SECONDS)
            obey_cancellation()
            await self._try()

    async def finish(self) -> None:
        """Copy what was saved last, if the backbone answers: another worker may go on from here."""
        if not self._client.is_connected:
            return
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._try()
        except TimeoutError:
            log.warning("There was no time to copy the state of %s; the copy of before serves, too", self._name)

    async def newest(self, version: int) -> tuple[Checkpoint, LineConfig] | None:
        """Newest whole copy of the step's version and the config it was made under; None if there is none."""
        labels = {place: await self._label(place) for place in _PLACES}
        known = sorted((label.position, place) for place, label in labels.items() if label)
        for position, place in reversed(known):
            label = labels[place]
            data = await self._read(place, label) if label else None
            if data is None:
                continue
            try:
                checkpoint, config = await asyncio.to_thread(_unpack, data)
            except ValueError as error:
                log.warning("The copied state of %s cannot be used: %s", self._name, error)
                continue
            if checkpoint.version == version:
                self._place, self.position = place, position
                return checkpoint, config
        return None

    async def _try(self) -> None:
        try:
            await self._copy()
        except (nats.errors.Error, OSError, ValueError) as error:
            log.warning("The state of %s was not copied: %s", self._name, error or type(error).__name__)

    async def _copy(self) -> None:
        data = await asyncio.to_thread(self._store.newest)
        if data is None:
            return
        checkpoint = await asyncio.to_thread(decode, data)
        config = self._configs.get(checkpoint.generation)
        if checkpoint.position <= self.position or config is None:
            return
        packed = await asyncio.to_thread(_pack, data, config)
        parts = range(0, len(packed), _PART_BYTES)
        digest = hashlib.sha256(packed).hexdigest()
        label = _Label(checkpoint.position, len(parts), len(packed), digest)
        place = _PLACES[self._place == _PLACES[0]]
        for part, begin in enumerate(parts):
            subject = checkpoint_subject(self._key, place, part)
            headers = {_COPY: str(label)}
            payload = packed[begin : begin + _PART_BYTES]
            await self._client.jetstream().publish(subject, payload, stream=CHECKPOINTS, headers=headers, timeout=5)
        self._place, self.position = place, label.position

    async def _label(self, place: str) -> _Label | None:
        message = await self._part(place, 0)
        return _Label.of(message) if message else None

    async def _read(self, place: str, label: _Label) -> bytes | None:
        """Content of a copy; None if it is not whole."""
        parts: list[bytes] = []
        for part in range(label.parts):
            message = await self._part(place, part)
            if message is None or _Label.of(message) != label:
                return None
            parts.append(message.data or b"")
        data = b"".join(parts)
        return data if len(data) == label.size and hashlib.sha256(data).hexdigest() == label.digest else None

    async def _part(self, place: str, part: int) -> RawStreamMsg | None:
        subject, jetstream = checkpoint_subject(self._key, place, part), self._client.jetstream()
        try:
            found: RawStreamMsg = await insist(
                lambda: jetstream.get_last_msg(CHECKPOINTS, subject), what=f"Reading {subject}"
            )
        except NotFoundError:
            return None
        return found


def _pack(data: bytes, config: LineConfig) -> bytes:
    """Config and checkpoint."""
    told = config.model_dump_json().encode()
    return pack(len(told).to_bytes(8, "big") + told + data)


def _unpack(packed: bytes) -> tuple[Checkpoint, LineConfig]:
    """Checkpoint and config.

    Raises
    ------
    ValueError
        If they are damaged, or too large to be true.
    """
    whole = unpack(packed, _MOST_BYTES)
    end = 8 + int.from_bytes(whole[:8], "big")
    return decode(whole[end:]), LineConfig.model_validate_json(whole[8:end])
