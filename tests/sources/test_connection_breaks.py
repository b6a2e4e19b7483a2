"""After a break nothing is missing that the server kept, and what comes twice is one sample."""

from __future__ import annotations

import pytest

from wheeltapper_workers.contracts.check import check
from wheeltapper_workers.contracts.raw import raw_batch
from wheeltapper_workers.contracts.state import initial
from wheeltapper_workers.contracts.table import series_table

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_server_restart_brings_everything_back(own_plant, read, collector, series):
    server = own_plant
    server.values = {"Flow": 1.0, "Speed": 2.0}
    await server.start()
    reader = read(collector(series(), series(signal="speed", address="ns=2;s=Speed"), endpoint=server.url))
    await reader.until(lambda: len(reader.rows) == 2)
    await server.stop()
    await reader.until(lambda: not reader.source.connection().connected)
    server.values["Flow"] = 5.0
    await server.start()
    await reader.until(lambda: len(reader.rows) == 4)
    assert reader.values(0) == [1.0, 5.0]
    assert all(row["resent"] for row in reader.rows)
    await server.write("Flow", 6.0)
    await reader.until(lambda: reader.values(0) == [1.0, 5.0, 6.0])
    assert not reader.rows[-1]["resent"]
    assert reader.source.connection().connects == 2


async def test_broken_connection_takes_the_session_up_again_and_misses_nothing(plant, read, collector, series):
    server = await plant(Flow=0.0)
    reader = read(collector(series(), endpoint=server.url))
    await reader.until(lambda: reader.values() == [0.0])
    before = set(server.subscriptions)
    for cut in range(3):
        server.cut()
        for value in range(10):
            await server.write("Flow", float(cut * 10 + value + 1))
        await reader.until(lambda cut=cut: reader.source.connection().connects == cut + 2)
        await reader.until(lambda cut=cut: len(reader.rows) == cut * 10 + 11)
    assert reader.values() == [float(value) for value in range(31)]
    assert sum(row["resent"] for row in reader.rows) == 1
    assert set(server.subscriptions) == before
    assert reader.source.missed == 0


async def test_open_deliveries_survive_the_break_and_are_acknowledged_after_it(plant, read, collector, series):
    server = await plant(Flow=0.0)
    reader = read(collector(series(), endpoint=server.url), window=2)
    reader.hold = True
    await reader.until(lambda: len(reader.open) == 1)
    server.cut()
    await reader.until(lambda: reader.source.connection().connects == 2)
    await server.write("Flow", 1.0)
    await reader.until(lambda: len(reader.open) == 2)
    reader.hold = False
    for delivery in reader.open:
        delivery.done()
    await server.write("Flow", 2.0)
    await reader.until(lambda: reader.values() == [0.0, 1.0, 2.0] and server.unacknowledged == 0)


async def test_subscription_the_server_dropped_is_made_anew(plant, read, collector, series):
    server = await plant(Flow=1.0)
    reader = read(collector(series(), endpoint=server.url))
    await reader.until(lambda: reader.values() == [1.0])
    await server.server.iserver.subscription_service.delete_subscriptions(list(server.subscriptions))
    await reader.until(lambda: reader.source.connection().connects == 2 and len(reader.rows) == 2)
    await server.write("Flow", 2.0)
    await reader.until(lambda: reader.values() == [1.0, 1.0, 2.0])


async def test_sample_that_comes_again_after_a_subscription_is_one_sample(plant, read, collector, series):
    server = await plant(Flow=1.0)
    config = collector(series(), endpoint=server.url)
    reader = read(config)
    await reader.until(lambda: len(reader.rows) == 1)
    await server.server.iserver.subscription_service.delete_subscriptions(list(server.subscriptions))
    await reader.until(lambda: len(reader.rows) == 2)
    await server.write("Flow", 2.0)
    await reader.until(lambda: len(reader.rows) == 3)
    table = series_table(config)
    columns = {name: [row[name] for row in reader.rows] for name in ("series", "time", "value", "resent", "status")}
    raw = raw_batch(
        columns["series"],
        columns["time"],
        columns["value"],
        max(columns["time"]),
        resent=columns["resent"],
        status=columns["status"],
    )
    state, checked = check(initial(table, 0), raw, table)
    assert checked.value.tolist() == [1.0, 2.0]
    assert checked.ordinal.tolist() == [0, 0]
    assert state.duplicates.tolist() == [1]
