"""A hall that speaks MQTT is heard in full: through a broker that is late, asks for a password, or goes away."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess

import numpy as np
import pytest

from tests.simulator.conftest import Listener
from tests.support.nats import free_port
from wheeltapper_cli import broker as broker_of_demo
from wheeltapper_workers.simulator.disturb import BAD, GOOD, TEXT, Sample
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.mqtt import Publisher, payload, topic
from wheeltapper_workers.simulator.plant import simulate
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.server import Endpoints, run
from wheeltapper_workers.simulator.signals import SIGNAL_NAMES
from wheeltapper_workers.simulator.station import PumpStation
from wheeltapper_workers.sources.mqtt_decode import Reading, decode, parse_path

NS = 10**9
AT = 1_795_000_000 * NS
FLOW = ("p-1", "flow")
READING = Reading(parse_path("$.value"), parse_path("$.time"))


def scenario(**more):
    areas = [{"name": "hall-2", "serve": "mqtt"}]
    return Scenario.model_validate({"seed": 7, "areas": areas, "pumps": [{"name": "p-1"}]} | more)


def plant(broker, folder, what, speed=50.0):
    async def work(stop, ready):
        await run(PumpStation(what), Endpoints(mqtt=f"mqtt://127.0.0.1:{broker.port}"), folder, stop, ready, speed)

    return work


async def test_every_second_is_published_as_simulated(broker, listener, tmp_path, running, wait):
    what = scenario()
    async with running(plant(broker, tmp_path, what)):
        await wait(lambda: len(listener.heard.get("hall-2/P1/speed", [])) >= 60)
    epoch = json.loads((tmp_path / "plant.json").read_text())["epoch_ns"] // NS
    assert set(listener.heard) == {
        *(topic("hall-2", "p-1", signal) for signal in SIGNAL_NAMES),
        "hall-2/Station/ambient-temperature",
    }
    for index, signal in enumerate(SIGNAL_NAMES):
        heard = listener.heard[topic("hall-2", "p-1", signal)][:60]
        found = decode([json.dumps(one).encode() for one in heard], READING)
        start = int(found.time_ns[0]) // NS
        assert (np.diff(found.time_ns) == NS).all()
        expected = simulate(what, epoch, start, start + 60).values[0, index]
        np.testing.assert_allclose(found.value, expected, rtol=0, atol=0.011)


async def test_broker_that_comes_back_gets_what_it_missed(broker, listener, tmp_path, running, wait):
    listener.close()
    async with running(plant(broker, tmp_path, scenario(), speed=20.0)):
        broker.kill()
        await asyncio.to_thread(broker.start)
        again = Listener(broker)
        await wait(lambda: len(again.heard.get("hall-2/P1/flow", [])) >= 20)
        again.close()
    times = [one["time"] for one in again.heard["hall-2/P1/flow"]]
    seconds = np.unique(np.array([time.removesuffix("Z") for time in times], "datetime64[s]"))
    assert (np.diff(seconds) == np.timedelta64(1, "s")).all()


@pytest.fixture
def demo_broker(tmp_path):
    """The demo's own broker, its address, and the Secret for it."""
    url = f"mqtt://127.0.0.1:{free_port()}"
    command = broker_of_demo.command(tmp_path / "state", url, "hall")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield url, tmp_path / "state" / "secrets" / "hall"
    process.terminate()
    process.wait(10)


async def test_right_password_is_enough_and_a_wrong_one_is_told_with_the_remedy(demo_broker, wait, caplog):
    caplog.set_level("INFO")
    url, secret = demo_broker
    with Publisher(url, secret, "simulated", {FLOW: ["flow"]}):
        await wait(lambda: f"publishes to {url}" in caplog.text)
    (secret / "password").write_text("wrong")
    with Publisher(url, secret, "simulated", {FLOW: ["flow"]}):
        await wait(lambda: "refuses the simulated plant: Not authorized. Check the credentials" in caplog.text)


def test_password_stays_when_the_broker_is_started_again(tmp_path):
    kept = tmp_path / "secrets" / "hall" / "password"
    broker_of_demo.command(tmp_path, "mqtt://127.0.0.1:1", "hall")
    before = kept.read_text()
    broker_of_demo.command(tmp_path, "mqtt://127.0.0.1:1", "hall")
    assert kept.read_text() == before
    assert before in (tmp_path / "broker" / "nats.conf").read_text()


async def test_broker_that_does_not_answer_is_told_and_holds_nothing_up(tmp_path, wait, caplog, url):
    caplog.set_level("INFO")
    nowhere = url.replace("opc.tcp", "mqtt")
    with Publisher(nowhere, None, "simulated", {FLOW: ["flow"]}) as publisher:
        await publisher.serve([(FLOW, Sample(1.0, GOOD, AT))])
        await wait(lambda: f"The broker {nowhere} does not answer" in caplog.text)


async def test_what_waits_for_the_broker_is_bounded(monkeypatch, caplog, url):
    monkeypatch.setattr("wheeltapper_workers.simulator.mqtt.KEPT", 10)
    with Publisher(url.replace("opc.tcp", "mqtt"), None, "simulated", {FLOW: ["flow"]}) as publisher:
        await publisher.serve([(FLOW, Sample(1.0, GOOD, AT))] * 20)
    assert "takes no more: 10 messages wait" in caplog.text


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (Sample(1.25, GOOD, AT), 1.25),
        (Sample(TEXT, GOOD, AT), TEXT),
        (Sample(math.nan, GOOD, AT), None),
        (Sample(1.25, BAD, AT), None),
    ],
)
def test_payload_says_value_and_time(sample, value):
    assert json.loads(payload(sample)) == {"time": "2026-11-18T11:06:40.000Z", "value": value}


@pytest.mark.parametrize("address", ["http://127.0.0.1:1883", "127.0.0.1", "mqtt://127.0.0.1:port", "mqtt://"])
def test_address_that_is_none_is_refused(address):
    with pytest.raises(SimulatorError, match="mqtt://host:port"):
        Publisher(address, None, "simulated", {})


@pytest.mark.parametrize("serve", ["mqtt", "opcua"])
async def test_hall_without_an_endpoint_is_refused(tmp_path, serve):
    what = scenario(areas=[{"name": "hall-2", "serve": serve}])
    with pytest.raises(SimulatorError, match=f"served by {serve}: say where, with --{serve}"):
        await run(PumpStation(what), Endpoints(), tmp_path, asyncio.Event())


def test_hall_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="area 'hall-3' of p-1 is not among the areas: hall-2"):
        scenario(pumps=[{"name": "p-1", "area": "hall-3"}])
