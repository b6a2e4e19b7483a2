"""A collector that is killed and started again: what the server kept for it, or has in its history, is not lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from asyncua.server.history import HistoryDict

from tests.support.waiting import until
from wheeltapper_workers.sources.base import Kept
from wheeltapper_workers.sources.opcua_history import _NODES

pytestmark = pytest.mark.asyncio(loop_scope="session")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 10**9


class Memory:
    """What the collector's checkpoint would keep."""

    def __init__(self):
        self.document, self.place = {}, ""

    @property
    def kept(self):
        return Kept(self.document, lambda document: setattr(self, "document", document), self.place)


@pytest.fixture
def memory():
    return Memory()


async def test_subscription_is_taken_over_with_what_nobody_acknowledged(plant, read, collector, series, memory):
    server = await plant(Flow=0.0, Speed=0.0)
    config = collector(series(), series(signal="speed", address="ns=2;s=Speed"), endpoint=server.url)
    first = read(config, kept=memory.kept)
    await first.until(lambda: len(first.rows) == 2)
    first.hold = True
    await server.write("Flow", 1.0)
    await first.until(lambda: first.values() == [0.0, 1.0])
    before = set(server.subscriptions)
    await first.kill()
    for value in (2.0, 3.0):
        await server.write("Flow", value)
    second = read(config, kept=memory.kept)
    await second.until(lambda: second.values()[-3:] == [1.0, 2.0, 3.0])
    await server.write("Speed", 9.0)
    await second.until(lambda: second.values(1)[-1:] == [9.0])
    assert set(server.subscriptions) == before
    assert second.rows[0]["resent"]
    await second.until(lambda: server.unacknowledged == 0)


async def test_orderly_restart_leaves_the_subscription_for_the_next_run(plant, read, collector, series, memory):
    server = await plant(Flow=0.0)
    config = collector(series(), endpoint=server.url)
    first = read(config, kept=memory.kept)
    await first.until(lambda: first.values() == [0.0])
    before = set(server.subscriptions)
    await first.source.close(keep=True)
    await server.write("Flow", 1.0)
    await server.write("Flow", 2.0)
    second = read(config, kept=memory.kept)
    await second.until(lambda: second.values()[-2:] == [1.0, 2.0])
    assert set(server.subscriptions) == before


async def test_what_a_dead_connection_swallowed_is_asked_for_again(plant, read, collector, series, memory):
    server = await plant(Flow=0.0)
    config = collector(series(), endpoint=server.url)
    first = read(config, kept=memory.kept)
    await first.until(lambda: len(first.rows) == 1)
    await first.kill()
    (subscription,) = server.subscriptions.values()
    for value in range(1, 30):
        await server.write("Flow", float(value))
        if value < 4:  # publish requests of the dead connection are still there to be answered
            await until(lambda: not subscription._triggered_datachanges)
    second = read(config, kept=memory.kept)
    await second.until(lambda: second.values()[-29:] == [float(value) for value in range(1, 30)])


async def swallowed(server, reader):
    """Publications with 1, 2 and 3, each of its own, which a connection took that was dead by then; their numbers."""
    await reader.until(lambda: server.unacknowledged == 0)
    await reader.kill()
    (subscription,) = server.subscriptions.values()
    first = subscription._notification_seq
    for value in (1.0, 2.0, 3.0):
        await server.write("Flow", value)
        await until(lambda: not subscription._triggered_datachanges)
    return subscription, first


async def test_what_was_repeated_to_a_run_that_was_killed_too_is_repeated_again(plant, read, collector, series, memory):
    """A server keeps what it has sent until that is acknowledged (part 4, 5.13.6), however often it was sent."""
    server = await plant(Flow=0.0)
    config = collector(series(), endpoint=server.url)
    first = read(config, kept=memory.kept)
    await first.until(lambda: len(first.rows) == 1)
    await swallowed(server, first)
    second = read(config, kept=memory.kept)
    second.hold = True
    await second.until(lambda: second.values() == [1.0, 2.0, 3.0])
    await second.kill()
    third = read(config, kept=memory.kept)
    await third.until(lambda: third.values() == [1.0, 2.0, 3.0])


@pytest.mark.parametrize("gone", [(0,), (1,), (0, 1, 2)], ids=["the first", "one between", "all"])
async def test_what_the_server_kept_no_longer_is_said_to_be_missing(plant, read, collector, series, memory, gone):
    """Servers keep so many; and some let go of what they have repeated."""
    server = await plant(Flow=0.0)
    config = collector(series(), endpoint=server.url)
    first = read(config, kept=memory.kept)
    first.hold = True
    await first.until(lambda: len(first.open) == 1)
    memory.place = first.open[0].place
    first.open[0].done()
    subscription, number = await swallowed(server, first)
    for one in gone:
        del subscription._not_acknowledged_results[number + one]
    second = read(config, kept=memory.kept)
    second.hold = True
    await second.until(lambda: len(second.open) == 3 - len(gone))
    await server.write("Flow", 4.0)
    await second.until(lambda: second.values()[-1:] == [4.0])
    assert second.values() == [value for at, value in enumerate((1.0, 2.0, 3.0)) if at not in gone] + [4.0]
    broken = [delivery.broken for delivery in second.open]
    assert broken.count("The server did not keep what it had sent") == 1
    assert broken.index("The server did not keep what it had sent") == (1 if gone == (1,) else 0)
    assert second.source.missed == len(gone)


async def test_nothing_is_said_to_be_missing_where_nothing_is(plant, read, collector, series, memory):
    """Though the place is older than what was acknowledged last, or of another subscription."""
    server = await plant(Flow=0.0)
    config = collector(series(), endpoint=server.url)
    first = read(config, kept=memory.kept)
    await first.until(lambda: len(first.rows) == 1)
    subscription, number = await swallowed(server, first)
    for place in ("", f"{subscription.data.SubscriptionId + 1}:1", f"{subscription.data.SubscriptionId}:{number - 1}"):
        memory.place = place
        reader = read(config, kept=memory.kept)
        reader.hold = True
        await reader.until(lambda reader=reader: reader.values() == [1.0, 2.0, 3.0])
        assert [delivery.broken for delivery in reader.open] == ["", "", ""]
        await reader.kill()
    last = read(config, kept=memory.kept)
    await last.until(lambda: server.unacknowledged == 0)


async def test_edited_meanwhile_it_reads_what_is_wanted_now(plant, read, collector, series, memory):
    server = await plant(Flow=0.0, Speed=0.0, Power=0.0)
    flow, speed, power = (series(signal=name.lower(), address=f"ns=2;s={name}") for name in ("Flow", "Speed", "Power"))
    first = read(collector(flow, speed, endpoint=server.url), kept=memory.kept)
    await first.until(lambda: len(first.rows) == 2)
    await first.kill()
    second = read(collector(power, speed, endpoint=server.url), kept=memory.kept)
    await second.until(lambda: second.values(0) == [0.0])
    await server.write("Speed", 5.0)
    await server.write("Power", 7.0)
    await server.write("Flow", 6.0)
    await second.until(lambda: second.values(0) == [0.0, 7.0] and 5.0 in second.values(1))
    assert set(server.monitored) == {"Power", "Speed"}
    assert 6.0 not in second.values(0) + second.values(1)


@pytest.mark.parametrize("gone", ["deleted", "another run"])
async def test_subscription_that_is_gone_is_made_anew_and_said_to_be_broken(
    plant, read, collector, series, memory, gone
):
    server = await plant(Flow=0.0)
    config = collector(series(), endpoint=server.url)
    first = read(config, kept=memory.kept)
    await first.until(lambda: len(first.rows) == 1)
    await first.kill()
    if gone == "deleted":
        await server.server.iserver.subscription_service.delete_subscriptions(list(server.subscriptions))
    else:
        memory.document = memory.document | {"started": "yesterday"}
    second = read(config, kept=memory.kept)
    second.hold = True
    await second.until(lambda: len(second.open) == 1)
    assert second.open[0].broken == "The collector was not running"
    if gone == "another run":
        await server.server.iserver.subscription_service.delete_subscriptions(list(server.subscriptions)[:1])


async def historized(plant, count):
    names = {f"H{number}": 0.0 for number in range(count)}
    server = await plant(**names)
    storage = server.server.iserver.history_manager.storage = HistoryDict()
    start = datetime.now(UTC) - timedelta(seconds=100)
    for name in names:
        node = server.nodes[name].nodeid
        await storage.new_historized_node(node, None, 0)
    return server, storage, start


@pytest.mark.parametrize(("nodes", "page"), [(1, 10_000), (2, 7), (_NODES + 5, 10_000)])
async def test_history_gives_what_was_missed_in_the_order_of_time(plant, read, collector, series, nodes, page):
    server, storage, start = await historized(plant, nodes)
    storage.max_history_data_response_size = page
    times = [start + timedelta(seconds=second) for second in range(60)]
    for second, time in enumerate(times):
        for number in range(nodes):
            name = f"H{number}"
            await server.write(name, float(second + 1000 * number), time=time)
            await storage.save_node_value(
                server.nodes[name].nodeid, await server.nodes[name].read_data_value(raise_on_bad_status=False)
            )
    config = collector(
        *(series(signal=f"s{number}", address=f"ns=2;s=H{number}") for number in range(nodes)), endpoint=server.url
    )
    reader = read(config)
    await reader.until(lambda: len(reader.rows) == nodes)
    since = np.full(nodes, round((times[20] - EPOCH) / timedelta(microseconds=1)) * 1000)
    found = await reader.source.history(np.arange(nodes, dtype=np.int32), since, int(since[0]) + 30 * SECOND)
    assert found.complete.all()
    assert len(found.batch) == 31 * nodes
    assert (np.diff(found.batch.source_time_ns) >= 0).all()
    assert found.batch.resent.all()
    for number in range(nodes):
        own = found.batch.series == number
        assert found.batch.value[own].tolist() == [second + 1000.0 * number for second in range(20, 51)]


async def test_history_that_begins_later_is_not_complete(plant, read, collector, series):
    server, storage, start = await historized(plant, 1)
    time = start + timedelta(seconds=50)
    await server.write("H0", 5.0, time=time)
    await storage.save_node_value(server.nodes["H0"].nodeid, await server.nodes["H0"].read_data_value())
    reader = read(collector(series(address="ns=2;s=H0"), endpoint=server.url))
    await reader.until(lambda: len(reader.rows) == 1)
    since = np.array([round((start - EPOCH) / timedelta(microseconds=1)) * 1000])
    found = await reader.source.history(np.array([0], np.int32), since, int(since[0]) + 60 * SECOND)
    assert found.batch.value.tolist() == [5.0]
    assert found.complete.tolist() == [False]


async def test_server_without_history_is_no_error(plant, read, collector, series):
    server = await plant(Flow=1.0)
    reader = read(collector(series(), series(signal="ghost", address="ns=9;s=No"), endpoint=server.url))
    await reader.until(lambda: len(reader.rows) == 1)
    found = await reader.source.history(np.array([0, 1], np.int32), np.array([0, 0]), 10 * SECOND)
    assert len(found.batch) == 0
    assert not found.complete.any()


async def test_history_is_not_asked_while_the_server_is_away(own_plant, read, collector, series):
    own_plant.values = {"Flow": 1.0}
    await own_plant.start()
    reader = read(collector(series(), endpoint=own_plant.url))
    await reader.until(lambda: len(reader.rows) == 1)
    await own_plant.stop()
    await reader.until(lambda: not reader.source.connection().connected)
    with pytest.raises(ConnectionError):
        await reader.source.history(np.array([0], np.int32), np.array([0]), 10 * SECOND)
