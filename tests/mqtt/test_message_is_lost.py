"""A message is acknowledged when it is safe and not before; the broker keeps the others, through every failure."""

from __future__ import annotations

import asyncio

import pytest

from tests.mqtt.conftest import config, series
from wheeltapper_workers.sources.base import Kept


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_was_not_acknowledged_comes_again(broker, read, publisher, version):
    real = broker()
    chosen = config(real, series("flow"), version=version)
    first = read(chosen)
    first.hold = True
    await first.connected()
    publisher(real).send("flow", *(str(n) for n in range(50)))
    await first.until(lambda: len(first.rows) == 50)
    await first.close()  # killed after it was handed over and before it was safe
    second = read(chosen)
    await second.until(lambda: len(second.rows) == 50)
    assert second.values() == list(range(50))
    assert all(row["again"] for row in second.rows)


async def test_what_was_acknowledged_does_not_come_again(broker, read, publisher):
    real = broker()
    chosen, sender = config(real, series("flow")), publisher(real)
    first = read(chosen)
    await first.connected()
    sender.send("flow", "1", "2")
    await first.until(lambda: len(first.rows) == 2)
    sender.send("flow", "3")
    await first.until(lambda: len(first.rows) == 3)
    await first.close()
    second = read(chosen)
    await second.connected()
    sender.send("flow", "4")
    await second.until(lambda: 4 in second.values())
    assert second.values() == [4]


async def test_what_comes_while_the_collector_is_away_waits_at_the_broker(broker, read, publisher):
    real = broker()
    chosen = config(real, series("flow"))
    first = read(chosen)
    await first.connected()
    await first.close()
    publisher(real).send("flow", *(str(n) for n in range(300)))
    second = read(chosen)
    await second.until(lambda: len(second.rows) == 300)
    assert second.values() == list(range(300))


async def test_broker_stopped_and_back(broker, read, publisher):
    real = broker()
    reader = read(config(real, series("flow")))
    await reader.connected()
    publisher(real).send("flow", "1")
    await reader.until(lambda: reader.values() == [1])
    real.stop()
    await reader.until(lambda: not reader.source.connection().connected)
    await reader.until(lambda: "Nothing answers" in reader.source.connection().message)
    real.start()
    await reader.connected()
    publisher(real).send("flow", "2")
    # The broker may send again what it had no time to hear the acknowledgement of.
    await reader.until(lambda: [row["value"] for row in reader.rows if not row["again"]] == [1, 2])
    assert reader.source.connection().connects >= 2


@pytest.mark.parametrize("restarted", [False, True], ids=["same run", "collector restarted"])
async def test_a_broker_that_forgot_the_session_is_told(broker, read, publisher, restarted):
    real = broker()
    chosen, memory = config(real, series("flow")), {}
    reader = read(chosen, kept=Kept({}, memory.update))
    await reader.connected()
    publisher(real).send("flow", "1")
    await reader.until(lambda: reader.values() == [1])
    if restarted:
        await reader.close()
    real.kill()
    for file in real.folder.glob("*.db*"):
        file.unlink()
    real.start()
    if restarted:
        reader = read(chosen, kept=Kept(memory, memory.update))
    publisher(real).send("flow", "9", retain=True)  # nobody may have subscribed yet
    await reader.until(lambda: 9 in reader.values())
    assert reader.broken[-1] == "The broker had forgotten the session"
    publisher(real).send("flow", "10")
    await reader.until(lambda: 10 in reader.values())
    assert reader.broken[-1] == ""


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_consumer_that_stands_still_stops_the_flow(broker, read, publisher, monkeypatch, version):
    monkeypatch.setattr("wheeltapper_workers.sources.mqtt.RECEIVE_MAXIMUM", 100)
    real = broker()
    reader = read(config(real, series("flow"), version=version))
    reader.hold = True
    await reader.connected()
    await asyncio.to_thread(publisher(real).send, "flow", *(str(n) for n in range(1000)))
    await reader.until(lambda: len(reader.rows) == 100)
    with pytest.raises(AssertionError, match="more"):
        await reader.until(lambda: len(reader.rows) > 100, seconds=0.5, what="more")
    reader.hold = False
    for delivery in reader.held:
        delivery.done()
    await reader.until(lambda: len(reader.rows) == 1000)
    assert reader.values() == list(range(1000))


async def test_new_topics_are_read_and_old_ones_go_on(broker, read, publisher):
    real = broker()
    reader, sender = read(config(real, series("flow"))), publisher(real)
    await reader.connected()
    sender.send("flow", "1")
    await reader.until(lambda: reader.values() == [1])
    await reader.source.reconfigure([series("level", signal="level"), series("flow")])
    await reader.until(lambda: len(reader.source._asked) == 0)
    sender.send("flow", "2")
    sender.send("level", "5")
    await reader.until(lambda: reader.values(0) == [1, 5])
    assert reader.values(1) == [2]


async def test_a_flood_of_topics_fills_no_memory_and_hides_nothing(broker, read, publisher, monkeypatch):
    monkeypatch.setattr("wheeltapper_workers.sources.mqtt_items._MOST_TOPICS", 100)
    real = broker()
    reader = read(config(real, series("hall/+/flow"), series("hall/p101/level", signal="level")))
    await reader.connected()
    sender = publisher(real)
    for number in range(2000):
        sender.client.publish(f"hall/{number}/flow", str(number), qos=0)
        sender.client.publish(f"other/{number}", "x", qos=0)
    await asyncio.to_thread(sender.send, "hall/p101/level", "9")
    await reader.until(lambda: reader.values(1) == [9])
    await reader.until(lambda: len(reader.values(0)) == 2000)
    assert len(reader.source._items._known) <= 100
