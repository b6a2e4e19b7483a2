"""Status documents are written all the time; a look at them must never miss a worker."""

from __future__ import annotations

import asyncio

from wheeltapper_api.wire import STATUS_BUCKET
from wheeltapper_cli.live import documents


async def test_every_worker_is_there_in_every_look(server):
    writer, reader = await server.connect(), await server.connect()
    names = [f"worker-{number}" for number in range(5)]
    done = asyncio.Event()

    async def report():
        while not done.is_set():
            for name in names:
                await writer.jetstream().publish(f"$KV.{STATUS_BUCKET}.{name}", b"{}")

    for name in names:
        await writer.jetstream().publish(f"$KV.{STATUS_BUCKET}.{name}", b"{}")
    task = asyncio.create_task(report())
    for _ in range(150):
        assert sorted(await documents(reader, STATUS_BUCKET)) == names
    done.set()
    await task
    await writer.close()
    await reader.close()


async def test_an_empty_bucket_has_nothing(server):
    client = await server.connect()
    assert await documents(client, STATUS_BUCKET) == {}
    await client.close()
