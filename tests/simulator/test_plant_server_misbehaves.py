"""The live plant serves every second with its source time, survives disturbances, and stops cleanly."""

import asyncio
import json
import math
import socket
import time

import pytest
from asyncua import ua

from wheeltapper_workers.simulator.clock import load_clock, started, store_clock
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.plant import simulate
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.server import Endpoints, run
from wheeltapper_workers.simulator.signals import SIGNAL_NAMES, node_name
from wheeltapper_workers.simulator.station import PumpStation
from wheeltapper_workers.simulator.truth import append_truth, truth

NODES = [node_name("p-1", signal) for signal in SIGNAL_NAMES]


def scenario(**more):
    return Scenario.model_validate({"seed": 7, "pumps": [{"name": "p-1"}]} | more)


def plant(url, folder, what, speed=50.0):
    async def work(stop, ready):
        await run(PumpStation(what), Endpoints(url), folder, stop, ready, speed)

    return work


async def test_every_second_is_served_as_simulated(url, tmp_path, running, subscribe, wait):
    what = scenario(faults=[{"asset": "p-1", "kind": "bearing-wear", "at": "2s", "growth": "20s"}])
    async with running(plant(url, tmp_path, what)), subscribe(url, [*NODES, "Station.AmbientTemperature"]) as seen:
        await wait(lambda: len(seen.of(NODES[-1])) >= 60)
    epoch = json.loads((tmp_path / "plant.json").read_text())["epoch_ns"] // 10**9
    for index, name in enumerate(NODES):
        values, statuses, times = zip(*seen.of(name)[:60], strict=True)
        assert set(statuses) == {0}
        start = round(times[0])
        assert times == tuple(float(start + k) for k in range(60))
        expected = simulate(what, epoch, start, start + 60).values[0, index]
        assert values == pytest.approx(expected.tolist(), abs=0.011)
    assert len(seen.of("Station.AmbientTemperature")) >= 60
    events = [json.loads(line)["event"] for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert events.count("fault-onset") == 1
    assert events.count("fault-severity") == 10


async def test_restart_continues_the_same_history(url, tmp_path, running, wait):
    what = scenario(faults=[{"asset": "p-1", "kind": "cavitation", "at": "1s", "growth": "10s"}])
    now_ns = time.time_ns()
    clock = started(now_ns - 4 * 10**9, 1.0)  # an earlier run began 4 s ago and stopped after 2 s
    store_clock(tmp_path / "plant.json", clock)
    path = tmp_path / "truth.jsonl"
    append_truth(path, truth(what, clock.epoch_ns, clock.epoch_ns + 2 * 10**9, epoch_ns=clock.epoch_ns))
    async with running(plant(url, tmp_path, what)):
        await wait(lambda: '"severity": 1.0' in path.read_text())
    resumed = load_clock(tmp_path / "plant.json")
    assert resumed is not None
    assert (resumed.epoch_ns, resumed.speed) == (clock.epoch_ns, 50.0)
    faults = [json.loads(line) for line in path.read_text().splitlines() if '"fault"' in line]
    assert [line["severity"] for line in faults] == [0.0, *(tenth / 10 for tenth in range(1, 11))]


async def test_disturbances_are_served_and_pass(url, tmp_path, running, subscribe, wait):
    signals = ["flow", "power", "current", "speed", "vibration-de", "vibration-nde"]
    kinds = ["nan", "text", "bad-status", "clock", "stuck", "freeze"]
    what = scenario(
        disturbances=[
            {"asset": "p-1", "signal": signal, "at": "30s", "for": "10s", "kind": kind}
            for signal, kind in zip(signals, kinds, strict=True)
        ]
    )
    nodes = {kind: node_name("p-1", signal) for kind, signal in zip(kinds, signals, strict=True)}
    async with running(plant(url, tmp_path, what)), subscribe(url, list(nodes.values())) as seen:
        await wait(lambda: bool(seen.changes) and seen.changes[-1][3] > seen.changes[0][3] + 55)
    epoch = json.loads((tmp_path / "plant.json").read_text())["epoch_ns"] // 10**9

    def during(kind):
        return [change for change in seen.of(nodes[kind]) if 30 <= change[2] - epoch < 40]

    assert [math.isnan(value) for value, _, _ in during("nan")] == [True] * 10
    assert [value for value, _, _ in during("text")] == ["### ERROR ###"] * 10
    assert [(value, status) for value, status, _ in during("bad-status")] == [
        (None, ua.StatusCodes.BadSensorFailure)
    ] * 10
    assert during("clock") == during("freeze") == []
    assert [at for _, _, at in seen.of(nodes["clock"]) if at < 1e9] == [946_684_800.0 + k for k in range(10)]
    before = [value for value, _, at in seen.of(nodes["stuck"]) if at - epoch == 29]
    assert [value for value, _, _ in during("stuck")] == before * 10
    for name in nodes.values():
        after = [change for change in seen.of(name) if 40 <= change[2] - epoch < 50]
        assert len(after) == 10
        assert all(isinstance(value, float) and status == 0 for value, status, _ in after)


async def test_port_in_use_is_a_clear_error(url, tmp_path):
    port = int(url.rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)), pytest.raises(SimulatorError) as error:
        await run(PumpStation(scenario()), Endpoints(url), tmp_path, asyncio.Event())
    assert str(error.value).startswith(f"Port {port} on 127.0.0.1 is in use: stop the program")


@pytest.mark.parametrize(
    ("address", "speed", "said"),
    [
        ("http://127.0.0.1:1", 1.0, "opc.tcp://host:port"),
        ("opc.tcp://127.0.0.1", 1.0, "host:port"),
        (None, 0.0, "Speed 0.0"),
    ],
)
async def test_impossible_wishes_are_refused(url, tmp_path, address, speed, said):
    with pytest.raises(SimulatorError, match=said):
        await run(PumpStation(scenario()), Endpoints(address or url), tmp_path, asyncio.Event(), None, speed)


async def test_falling_behind_is_said(url, tmp_path, running, wait, caplog, monkeypatch):
    real = time.time_ns
    ahead = [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() + ahead[0])
    async with running(plant(url, tmp_path, scenario(), 10.0)):
        ahead[0] = 10 * 10**9
        await wait(lambda: "s behind at speed 10: lower the speed" in caplog.text)
        ahead[0] = 1000 * 10**9
        await wait(lambda: "skips that time" in caplog.text)
