"""Streams as files, and files as streams: JetStream's own snapshots, with every sequence, time and gap as it was.

The server sends a stream as it is at one moment in chunks of a compressed archive, each of which has to be
acknowledged; it takes the chunks back in the same way. Buckets are streams, too.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import nats.errors
from nats.aio.client import Client

from wheeltapper_edge.command import SubstrateError

_CHUNK: Final = 512 * 1024
_ANSWER_S: Final = 30.0
_END_S: Final = 600.0
"""The server unpacks all of it before it answers the last chunk."""


async def save_stream(client: Client, stream: str, path: Path) -> dict[str, Any]:
    """Write a stream as it is now to a file; returns what the server has to be told to take it back.

    Raises
    ------
    SubstrateError
        If there is no such stream, or the server ended before its end.
    OSError
        If the file cannot be written.
    """
    inbox = client.new_inbox()
    # Chunks come as fast as they are acknowledged: what waits is bounded by that, and by no count of its own.
    chunks = await client.subscribe(inbox, pending_msgs_limit=-1, pending_bytes_limit=-1)
    try:
        asked = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": _CHUNK}
        told = await _ask(client, f"$JS.API.STREAM.SNAPSHOT.{stream}", asked, f"save the stream {stream}")
        with path.open("wb") as file:
            while True:
                message = await chunks.next_msg(timeout=_ANSWER_S)
                if not message.data:
                    break
                await asyncio.to_thread(file.write, message.data)
                if message.reply:  # a small stream comes in one piece that waits for no acknowledgement
                    await client.publish(message.reply, b"")
        status = (message.headers or {}).get("Status", "204")
        if not status.startswith("2"):
            raise SubstrateError(f"The backbone ended the copy of {stream} early: {status}; try again")
    except (nats.errors.Error, TimeoutError) as error:
        raise SubstrateError(f"The backbone ended the copy of {stream}: {error or type(error).__name__}") from error
    finally:
        await chunks.unsubscribe()
    return {"config": told["config"], "state": told["state"]}


async def restore_stream(client: Client, told: dict[str, Any], path: Path) -> dict[str, Any]:
    """Make a stream of a file; returns its state.

    Raises
    ------
    SubstrateError
        If there is such a stream already, or the file is not what was saved.
    """
    name = told["config"]["name"]
    what = f"take the stream {name} back"
    try:
        answer = await _ask(client, f"$JS.API.STREAM.RESTORE.{name}", told, what)
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await client.request(answer["deliver_subject"], chunk, timeout=_ANSWER_S)
        ended = await client.request(answer["deliver_subject"], b"", timeout=_END_S)
    except (nats.errors.Error, TimeoutError) as error:
        raise SubstrateError(f"The backbone ended while it should {what}: {error or type(error).__name__}") from error
    state: dict[str, Any] = _checked(json.loads(ended.data), what)["state"]
    return state


async def _ask(client: Client, subject: str, body: dict[str, Any], what: str) -> dict[str, Any]:
    answer = await client.request(subject, json.dumps(body).encode(), timeout=_ANSWER_S)
    return _checked(json.loads(answer.data), what)


def _checked(answer: dict[str, Any], what: str) -> dict[str, Any]:
    if "error" in answer:
        raise SubstrateError(f"The backbone refuses to {what}: {answer['error'].get('description', 'no reason given')}")
    return answer
