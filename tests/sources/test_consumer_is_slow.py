"""A consumer that stands still holds back the acknowledgement, loses nothing, and holds nothing in memory."""

from __future__ import annotations

import asyncio

import pytest

from wheeltapper_workers.sources.base import batches
from wheeltapper_workers.sources.opcua import OpcUaSource

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_acknowledged_only_when_done_and_nothing_is_lost(plant, read, collector, series):
    server = await plant(Flow=0.0)
    reader = read(collector(series(), endpoint=server.url), window=2)
    reader.hold = True
    await reader.until(lambda: reader.values() == [0.0])
    for value in range(1, 20):
        await server.write("Flow", float(value))
    await reader.until(lambda: len(reader.open) == 2)
    for value in range(20, 40):
        await server.write("Flow", float(value))
    await reader.until(lambda: server.waiting)
    # The server was asked for no more than the window, and told of nothing that it may forget.
    assert server.unacknowledged == 2
    assert len(reader.rows) < 40
    reader.hold = False
    for delivery in reader.open:
        delivery.done()
        delivery.done()
    await reader.until(lambda: reader.values() == [float(value) for value in range(40)])
    await reader.until(lambda: server.unacknowledged == 0)


async def test_deliveries_may_be_done_out_of_order(plant, read, collector, series):
    server = await plant(Flow=0.0)
    reader = read(collector(series(), endpoint=server.url), window=3)
    reader.hold = True
    for value in range(1, 4):
        await reader.until(lambda value=value: len(reader.open) == value)
        await server.write("Flow", float(value))
    reader.open[2].done()
    await reader.until(lambda: server.unacknowledged == 3 and len(reader.open) == 4)
    reader.hold = False
    for delivery in reader.open:
        delivery.done()
    await reader.until(lambda: server.unacknowledged == 0)
    assert reader.values() == [0.0, 1.0, 2.0, 3.0]


async def test_body_of_the_loop_acknowledges_when_it_is_through(plant, collector, series, read):
    server = await plant(Flow=0.0)
    seen = []
    async with OpcUaSource(collector(series(), endpoint=server.url), window=1) as source, asyncio.timeout(10):
        async for batch in batches(source):
            seen.append(batch.value.tolist())
            assert server.unacknowledged == 1
            await server.write("Flow", float(len(seen)))
            if len(seen) == 5:
                break
    assert seen == [[0.0], [1.0], [2.0], [3.0], [4.0]]


async def test_error_in_the_source_reaches_its_consumer(collector, series, monkeypatch):
    source = OpcUaSource(collector(series()))

    async def broken(_):
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(source, "_connect", broken)
    with pytest.raises(KeyError, match="a mistake of ours"):
        async for _ in source.deliveries():
            pass
