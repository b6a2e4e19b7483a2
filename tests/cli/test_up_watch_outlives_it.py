"""A cancellation that the NATS client swallows does not keep the command from ending."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from wheeltapper_cli import live


class Client:
    closed = False

    async def close(self) -> None:
        self.closed = True


class Reader:
    """Swallows the first cancellation, as nats-py does while it flushes."""

    def __init__(self, *_args: object, **_options: object) -> None:
        self.position = 0

    async def read(self, _limit: int) -> list[object]:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return []


@pytest.mark.parametrize("where", ["connecting", "reading"])
async def test_swallowed_cancellation_ends_the_watch_all_the_same(monkeypatch, tmp_path, where):
    client, begun = Client(), asyncio.Event()

    async def connect(*_args: object) -> Client:
        begun.set()
        if where == "connecting":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        return client

    monkeypatch.setattr(live.jetstream, "connect", connect)
    monkeypatch.setattr(live, "StreamReader", Reader)
    task = asyncio.create_task(live.Watch("nats://127.0.0.1:1", tmp_path).run())
    await begun.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=2)
    assert done == {task}
    assert client.closed
