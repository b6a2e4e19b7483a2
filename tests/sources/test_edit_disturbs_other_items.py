"""A new list of series adds and removes items on the server and leaves the others as they are."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_other_items_are_not_touched(plant, read, collector, series):
    server = await plant(Flow=1.0, Speed=2.0, Head=3.0)
    flow, speed = series(), series(signal="speed", address="ns=2;s=Speed")
    head = series(signal="head", address="ns=2;s=Head")
    reader = read(collector(flow, speed, endpoint=server.url))
    await reader.until(lambda: len(reader.rows) == 2)
    before = server.monitored
    await reader.source.reconfigure([head, flow])
    await reader.until(lambda: set(server.monitored) == {"Head", "Flow"} and len(reader.rows) == 3)
    assert server.monitored["Flow"] == before["Flow"]
    assert reader.rows[-1]["value"] == 3.0
    assert reader.rows[-1]["series"] == 0
    await server.write("Flow", 9.0)
    await reader.until(lambda: len(reader.rows) == 4)
    assert (reader.rows[-1]["series"], reader.rows[-1]["value"]) == (1, 9.0)
    assert reader.source.connection().connects == 1


async def test_wrong_node_is_corrected_by_an_edit(plant, read, collector, series):
    server = await plant(Flow=1.0)
    reader = read(collector(series(address="ns=2;s=Flaw"), endpoint=server.url))
    await reader.until(lambda: len(reader.source.problems()) == 1)
    await reader.source.reconfigure([series()])
    await reader.until(lambda: reader.values() == [1.0])
    assert reader.source.problems() == []


async def test_interval_that_changes_makes_a_new_item(plant, read, collector, series):
    server = await plant(Flow=1.0)
    reader = read(collector(series(), endpoint=server.url))
    await reader.until(lambda: len(reader.rows) == 1)
    before = server.monitored
    await reader.source.reconfigure([series(interval_ns=10**10)])
    await reader.until(lambda: len(server.monitored) == 1 and server.monitored != before)


async def test_batch_that_waits_is_in_positions_of_the_list_that_holds_when_it_is_looked_at(
    plant, read, collector, series
):
    server = await plant(Flow=1.0)
    config = collector(series(), endpoint=server.url)
    reader = read(config)
    reader.task.cancel()
    deliveries = reader.source.deliveries()
    delivery = await anext(deliveries)
    await reader.source.reconfigure([series(signal="new", address="ns=2;s=New"), series()])
    assert delivery.batch.series.tolist() == [1]
    delivery.done()
    await deliveries.aclose()
    reader.task = asyncio.create_task(reader._read())
