"""A wrong scenario of a fleet is refused with the field and the remedy."""

from __future__ import annotations

import pytest

from wheeltapper_workers.simulator.errors import ScenarioError
from wheeltapper_workers.simulator.fleet.scenario import FleetScenario
from wheeltapper_workers.simulator.load import load_scenario

GOOD = "seed: 7\nareas: [{name: hall-1, serve: mqtt, machines: [{class: fan, count: 2}]}]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("seed: 7", ""), "seed: Field required"),
        (GOOD.replace("fan", "fann"), "areas.0.machines.0.class: Value error, there is no class 'fann'; known are"),
        (GOOD.replace("count: 2", "count: 0"), "areas.0.machines.0.count"),
        (GOOD.replace("count: 2", "count: 2, names: [f-1]"), "give either count or names"),
        (GOOD.replace(", count: 2", ""), "give either count or names"),
        (GOOD.replace("count: 2", "count: 2000}, {class: compressor, count: 1"), "more than the 2000"),
        (GOOD.replace("count: 2", "names: [f-1, f1]"), "share OPC UA node ids"),
        (GOOD.replace("serve: mqtt", "serve: modbus"), "areas.0.serve"),
        (GOOD.replace("machines: [", "pumps: [], machines: ["), "areas.0.pumps: Extra inputs"),
        (GOOD + "bursts: 5s\n", "'bursts' is below 10s"),
        (GOOD + "faults: [{asset: fan-003, kind: unbalance, at: 1s, growth: 1m}]\n", "such as fan-001, fan-002"),
        (
            GOOD + "faults: [{asset: fan-001, kind: cavitation, at: 1s, growth: 1m}]\n",
            "a fan, has no fault 'cavitation'",
        ),
        (
            GOOD + "sensorFaults: [{asset: fan-001, signal: hue, kind: stuck, at: 1s, for: 1m}]\n",
            "no signal 'hue'",
        ),
        (GOOD + "sensorFaults: [{asset: fan-001, kind: stuck, size: 2, at: 1s, for: 1m}]\n", "has no size; remove it"),
        (GOOD + "sensorFaults: [{asset: fan-001, kind: melted, at: 1s, for: 1m}]\n", "sensorFaults.0.kind"),
        (GOOD + "sensorFaults: [{asset: fan-001, kind: stuck, at: 1s, for: 0s}]\n", "'for' is zero"),
        (GOOD.replace("]}]", "]}, {name: hall-1, machines: [{class: fan, count: 1}]}]"), "two areas have one name"),
    ],
)
def test_wrong_scenario_is_refused(tmp_path, text, said):
    path = tmp_path / "simulation.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert str(error.value).startswith(f"Scenario {path} ")
    assert said in str(error.value)


def test_machines_are_counted_through_the_whole_plant():
    areas = [
        {"name": "a", "machines": [{"class": "fan", "count": 2}, {"class": "compressor", "names": ["k-1"]}]},
        {"name": "b", "machines": [{"class": "fan", "count": 1}]},
    ]
    scenario = FleetScenario.model_validate({"seed": 1, "areas": areas})
    assert [(area.name, asset) for area, _, asset in scenario.placed()] == [
        ("a", "fan-001"),
        ("a", "fan-002"),
        ("a", "k-1"),
        ("b", "fan-003"),
    ]
