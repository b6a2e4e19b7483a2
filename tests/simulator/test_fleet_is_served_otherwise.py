"""A fleet that is served live is the fleet that is written in bulk: the same values, faults and wrong clocks."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

from wheeltapper_workers.simulator.fleet.fleet import SensorTrouble, simulate, warm
from wheeltapper_workers.simulator.fleet.live import FleetPlant
from wheeltapper_workers.simulator.fleet.machines import MACHINES
from wheeltapper_workers.simulator.fleet.scenario import FleetScenario
from wheeltapper_workers.simulator.history import write_history
from wheeltapper_workers.simulator.load import load_scenario
from wheeltapper_workers.simulator.server import Endpoints, run
from wheeltapper_workers.simulator.signals import node_name

NS = 10**9
EPOCH = 1_795_000_200
WORKS = Path(__file__).parents[2] / "examples" / "simulations" / "works.yaml"


def plant(*machines, serve="opcua", **more):
    area = {"name": "hall-1", "serve": serve, "machines": list(machines) or [{"class": "fan", "names": ["f-1"]}]}
    return FleetPlant(FleetScenario.model_validate({"seed": 7, "areas": [area]} | more))


def sensor(kind, **more):
    fault = {"asset": "f-1", "signal": "vibration-de", "kind": kind, "at": "20s", "for": "20s"}
    return plant(sensorFaults=[fault | more])


def served(what, seconds, series=("f-1", "vibration-de"), start=EPOCH):
    """Sample of each second, or None."""
    return [what.second(EPOCH, start + k).get(series) for k in range(seconds)]


@pytest.mark.parametrize("kind", list(MACHINES))
def test_every_class_gives_every_signal_at_once_and_the_regular_ones_every_second(kind):
    what = plant({"class": kind, "names": ["m-1"]})
    machine = MACHINES[kind]
    first = what.second(EPOCH, EPOCH)
    assert {name for _, name in first} == {signal.name for signal in machine.signals}
    regular = {signal.name for signal in machine.signals if not signal.on_change and not signal.every_s}
    for k in range(1, 25):
        sent = {name for _, name in what.second(EPOCH, EPOCH + k)}
        assert regular <= sent
        assert not sent & {signal.name for signal in machine.signals if signal.every_s}
    texts = {signal.name for signal in machine.signals if signal.texts}
    assert {name for (_, name), sample in first.items() if isinstance(sample.value, str)} == texts


def test_values_do_not_depend_on_how_many_seconds_are_simulated_at_a_time():
    what = plant()
    values = [sample.value for sample in served(what, 60)]
    fleet = what._scenario.fleet(EPOCH, EPOCH + 60, 1)
    chunk, _ = simulate(fleet, "fan", EPOCH, EPOCH + 60, warm(fleet, "fan", EPOCH))
    np.testing.assert_allclose(values, chunk.values["vibration-de"][0], rtol=0, atol=0.0011)


def test_restart_goes_on_with_the_same_values_and_counters_never_fall():
    before = plant()
    hours = [sample for sample in served(before, 700, ("f-1", "running-hours")) if sample]
    again = plant()
    after = again.second(EPOCH, EPOCH + 700)
    expected = before.second(EPOCH, EPOCH + 700)
    for name in ("vibration-de", "bearing-temperature-de", "flow"):
        assert after["f-1", name].value == pytest.approx(expected["f-1", name].value, rel=1e-3)
    assert after["f-1", "running-hours"].value >= hours[-1].value


def test_fault_grows_from_the_first_live_start():
    what = plant(faults=[{"asset": "f-1", "kind": "unbalance", "at": "1m", "growth": "2m"}])
    values = np.array([sample.value for sample in served(what, 240)])
    assert values[190:].mean() > 3 * values[:60].mean()
    events = what.truth(EPOCH * NS, (EPOCH + 240) * NS, EPOCH * NS)
    reached = {event.value: event.time_ns // NS - EPOCH for event in events if event.event == "fault-severity"}
    assert (reached[0.1], reached[1.0]) == (60 + int(120 * 0.1 ** (2 / 3)), 180)


def test_sensor_faults_come_and_go():
    healthy = np.array([sample.value for sample in served(plant(), 60)])
    drift = np.array([sample.value for sample in served(sensor("drift", size=0.5), 60)])
    np.testing.assert_allclose(drift[:20], healthy[:20])
    np.testing.assert_allclose(drift[20:40], healthy[20:40] * (1 + 0.5 * np.arange(20) / 20), atol=0.0011)
    np.testing.assert_allclose(drift[40:], healthy[40:])
    stuck = [sample.value for sample in served(sensor("stuck"), 60)]
    assert stuck[20:40] == [healthy[20]] * 20
    assert stuck[40:] == healthy[40:].tolist()
    gone = served(sensor("dropout"), 60)
    assert [k for k in range(60) if gone[k] is None] == list(range(20, 40))
    noise = np.array([sample.value for sample in served(sensor("noise", size=20), 60)])
    assert np.abs(noise[20:40] - healthy[20:40]).mean() > 10 * np.abs(noise[:20] - healthy[:20]).mean()


def test_wrong_clock_changes_times_and_no_value():
    healthy = served(plant(), 60)
    for kind, off in (("clock", np.full(20, -90.0)), ("clock-drift", -90.0 * np.arange(20) / 20)):
        found = served(sensor(kind, size=-90), 60)
        assert [sample.value for sample in found] == [sample.value for sample in healthy]
        ahead = [(sample.source_ns - right.source_ns) / NS for sample, right in zip(found, healthy, strict=True)]
        np.testing.assert_allclose(ahead, [*np.zeros(20), *off, *np.zeros(20)])


def test_bulk_is_sorted_and_has_what_the_scenario_says(tmp_path):
    what = plant(
        faults=[{"asset": "f-1", "kind": "unbalance", "at": "1m", "growth": "30m"}],
        sensorFaults=[{"asset": "f-1", "signal": "flow", "kind": "clock", "at": "1m", "for": "10m", "size": 5}],
    )
    sizes = []
    for faults in (False, True):
        path = tmp_path / f"{faults}.parquet"
        write_history(what, EPOCH * NS, 7200, path, faults=faults)
        table = columns(path)
        assert (np.diff(table["time"]) >= 0).all()
        flow = table["time"][table["signal"] == "flow"]
        assert (flow % (10 * NS) != 0).sum() == (60 if faults else 0)
        sizes.append(table["value"][table["signal"] == "vibration-de"][-60:].mean())
    assert sizes[1] > 3 * sizes[0]


def columns(path):
    read = pq.read_table(path)
    signal = np.array(read["signal"].to_pylist())
    return {"time": read["time"].cast("int64").to_numpy(), "signal": signal, "value": read["value"].to_numpy()}


def test_truth_tells_of_sensors_too():
    events = sensor("stuck").truth(EPOCH * NS, (EPOCH + 100) * NS, EPOCH * NS)
    assert [(event.event, event.time_ns // NS - EPOCH, event.fault) for event in events] == [
        ("sensor-fault", 20, "vibration-de stuck"),
        ("sensor-good", 40, "vibration-de stuck"),
    ]
    assert "severity" not in events[0].document()


async def test_texts_and_waveforms_are_served_as_nodes(url, tmp_path, running, subscribe, wait):
    what = plant({"class": "conveyor", "names": ["c-1"]}, bursts="10s")

    async def work(stop, ready):
        await run(what, Endpoints(url), tmp_path, stop, ready, 20.0)

    wave, product = node_name("c-1", "waveform-gearbox"), node_name("c-1", "product")
    async with running(work), subscribe(url, [wave, product, node_name("c-1", "power")]) as seen:
        await wait(lambda: len([one for one in seen.of(wave) if isinstance(one[0], list)]) >= 2)
    bursts = [one for one in seen.of(wave) if isinstance(one[0], list)]
    assert {len(values) for values, _, _ in bursts} == {8192}
    assert bursts[1][2] - bursts[0][2] == 10
    assert seen.of(product)[0][0] in {"gravel", "sand", "ore"}


async def test_hall_that_speaks_mqtt_is_heard_with_its_texts_and_waveforms(broker, listener, tmp_path, running, wait):
    what = plant({"class": "conveyor", "names": ["c-1"]}, serve="mqtt", bursts="10s")

    async def work(stop, ready):
        await run(what, Endpoints(mqtt=f"mqtt://127.0.0.1:{broker.port}"), tmp_path / "state", stop, ready, 20.0)

    async with running(work):
        await wait(lambda: len(listener.heard.get("hall-1/C1/waveform-gearbox", [])) >= 2)
    heard = {topic.removeprefix("hall-1/C1/"): messages for topic, messages in listener.heard.items()}
    assert set(heard) == {*(signal.name for signal in MACHINES["conveyor"].signals), "waveform-gearbox"}
    assert len(heard["waveform-gearbox"][0]["value"]) == 8192
    assert heard["product"][0]["value"] in {"gravel", "sand", "ore"}
    assert len(heard["product"]) < len(heard["power"])


def test_example_has_every_class_and_every_kind_of_sensor_fault():
    scenario = load_scenario(WORKS)
    assert set(scenario.classes().values()) == set(MACHINES)
    assert {fault.kind for fault in scenario.sensor_faults} == set(get_args(SensorTrouble))
    assert set(FleetPlant(scenario).routes()) == {"opcua", "mqtt"}
