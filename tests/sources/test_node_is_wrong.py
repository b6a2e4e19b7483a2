"""One wrong node is one bad signal, told with its twin; what a node delivers wrongly is flagged; neighbours go on."""

from __future__ import annotations

import numpy as np
import pytest

from wheeltapper_api.wire import Quality

pytestmark = pytest.mark.asyncio(loop_scope="session")


def messages(reader):
    return {one.signal: one.message for one in reader.source.problems()}


async def test_wrong_node_among_good_ones_is_told_and_taken_up_when_it_appears(plant, read, collector, series):
    server = await plant(Flow=1.0, Speed=2.0)
    config = collector(
        series(),
        series(signal="head", address="ns=2;s=Nope"),
        series(signal="speed", address="ns=2;s=Speed"),
        endpoint=server.url,
    )
    reader = read(config)
    await reader.until(lambda: reader.values(0) == [1.0] and reader.values(2) == [2.0] and messages(reader))
    assert messages(reader) == {
        "head": f"p-101/head: node ns=2;s=Nope does not exist on {server.url} (BadNodeIdUnknown); "
        "correct spec.signals[].node of twin p-101."
    }
    await server.add("Nope", 3.0)
    await reader.until(lambda: reader.values(1) == [3.0])
    assert messages(reader) == {}


async def test_malformed_node_ids_are_told_and_never_asked_for(plant, read, collector, series):
    server = await plant(Flow=1.0)
    wrong = ["Flow", "ns=2", "ns=x;s=a", "ns=99999;i=1", "ns=2;i=99999999999", "ns=2;g=zz"]
    config = collector(
        series(), *(series(signal=f"s-{at}", address=one) for at, one in enumerate(wrong)), endpoint=server.url
    )
    reader = read(config)
    await reader.until(lambda: reader.values(0) == [1.0])
    assert len(messages(reader)) == len(wrong)
    assert "p-101/s-0: 'Flow' is no node id" in messages(reader)["s-0"]


async def test_node_by_namespace_name_is_found_and_an_unknown_name_told(plant, read, collector, series):
    server = await plant(Flow=1.0)
    config = collector(
        series(address="nsu=urn:plant;s=Flow"),
        series(signal="head", address="nsu=urn:other;s=Flow"),
        endpoint=server.url,
    )
    reader = read(config)
    await reader.until(lambda: reader.values(0) == [1.0] and messages(reader))
    assert "BadNodeIdUnknown" in messages(reader)["head"]


async def test_node_of_two_assets_is_monitored_once_and_gives_both(plant, read, collector, series):
    server = await plant(Flow=1.0)
    reader = read(collector(series(), series("p-102"), endpoint=server.url))
    await reader.until(lambda: reader.values(0) == [1.0] and reader.values(1) == [1.0])
    assert set(server.monitored) == {"Flow"}
    await server.write("Flow", 2.0)
    await reader.until(lambda: reader.values(0) == [1.0, 2.0] and reader.values(1) == [1.0, 2.0])


async def test_what_a_node_says_arrives_as_it_said_it(plant, read, collector, series, clock_at):
    server = await plant(Flow=1.0)
    reader = read(collector(series(), endpoint=server.url))
    await reader.until(lambda: len(reader.rows) == 1)
    await server.write("Flow", float("nan"))
    await server.write("Flow", 2.0, status=0x808C0000)
    await server.write("Flow", 3.0, status=0x40000000)
    await server.write("Flow", 4.0, time=clock_at(2000))
    await server.write("Flow", 5.0, time=False, server_time=False)
    await server.write_text("Flow", "offline")
    await server.write_text("Flow", [1.0, 2.0])
    await server.write_text("Flow", True)
    await reader.until(lambda: len(reader.rows) == 9)
    rows = reader.rows[1:]
    # This server serves no value with a bad status.
    np.testing.assert_array_equal([row["value"] for row in rows], [np.nan, np.nan, 3, 4, 5, np.nan, np.nan, 1])
    assert [row["quality"] for row in rows[:4]] == [0, Quality.BAD, Quality.UNCERTAIN, 0]
    assert rows[1]["status"] == 0x808C0000
    assert rows[3]["time"] == 946_684_800 * 10**9
    assert rows[4]["time"] == np.iinfo(np.int64).min
    assert [row["text"] for row in rows[5:]] == ["offline", None, None]
    assert rows[6]["burst"] == [1.0, 2.0]


async def test_value_that_stays_the_same_goes_on_arriving(plant, read, collector, series):
    server = await plant(Flow=1.0)
    reader = read(collector(series(), endpoint=server.url))
    await reader.until(lambda: len(reader.rows) == 1)
    for count in range(2, 5):
        await server.write("Flow", 1.0)
        await reader.until(lambda count=count: len(reader.rows) == count)


async def test_more_nodes_than_fit_into_one_request(plant, read, collector, series, monkeypatch):
    monkeypatch.setattr("wheeltapper_workers.sources.opcua_monitor.CHUNK", 25)
    server = await plant(**{f"V{number}": float(number) for number in range(60)})
    chosen = [series(signal=f"s-{number}", address=f"ns=2;s=V{number}") for number in range(60)]
    reader = read(collector(*chosen, endpoint=server.url))
    await reader.until(lambda: len(reader.rows) == 60)
    assert all(reader.values(number) == [float(number)] for number in range(60))
    assert all(row["resent"] for row in reader.rows)
