"""A wrong scenario is refused with the field and the remedy."""

import pytest

from wheeltapper_workers.simulator.errors import ScenarioError
from wheeltapper_workers.simulator.load import load_scenario
from wheeltapper_workers.simulator.signals import PUMP_SIGNALS, node_id

GOOD = "seed: 7\npumps: [{name: p-101}, {name: p-102}]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pumps: [{name: p-101}]\n", "seed: Field required"),
        ("seed: 7\npumps: []\n", "pumps"),
        (GOOD + "colour: red\n", "colour: Extra inputs"),
        ("seed: '7'\npumps: [{name: p-101}]\n", "seed: Input should be a valid integer"),
        ("seed: 7\npumps: [{name: P_101}]\n", "pumps.0.name"),
        ("seed: 7\npumps: [{name: p-101}, {name: p101}]\n", "share OPC UA node ids"),
        ("seed: 7\npumps: [{name: p-101}, {name: p-101}]\n", "share OPC UA node ids"),
        (GOOD + "faults: [{asset: p-109, kind: cavitation, at: 1s, growth: 1m}]\n", "known are p-101, p-102"),
        (GOOD + "faults: [{asset: p-101, kind: rust, at: 1s, growth: 1m}]\n", "faults.0.kind"),
        (GOOD + "faults: [{asset: p-101, kind: cavitation, at: soon, growth: 1m}]\n", "faults.0.at"),
        (GOOD + "disturbances: [{asset: p-101, signal: colour, at: 1s, for: 1s, kind: nan}]\n", "no signal 'colour'"),
        (GOOD + "disturbances: [{asset: p-109, at: 1s, for: 1s, kind: nan}]\n", "neither a pump nor the station"),
        (GOOD + "script: {stops: [{asset: p-101, at: 1s, for: 0s}]}\n", "'for' is zero"),
        ("seed: [\n", "not valid YAML"),
        ("", "scenario: Input should be a valid dictionary"),
    ],
)
def test_wrong_scenario_is_refused(tmp_path, text, said):
    path = tmp_path / "simulation.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert str(error.value).startswith(f"Scenario {path} ")
    assert said in str(error.value)


def test_missing_scenario_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match="cannot be read: No such file"):
        load_scenario(tmp_path / "nowhere.yaml")


def test_node_ids_are_what_the_twins_bind():
    assert node_id("p-101", "vibration-de") == "ns=2;s=P101.VibrationDE"
    assert node_id("station", "ambient-temperature") == "ns=2;s=Station.AmbientTemperature"
    spelled = [node_id("p-101", signal.name).split(".")[1] for signal in PUMP_SIGNALS]
    assert spelled == [
        "VibrationDE",
        "VibrationNDE",
        "BearingTemperatureDE",
        "BearingTemperatureNDE",
        "Flow",
        "SuctionPressure",
        "DischargePressure",
        "Power",
        "Current",
        "Speed",
        "SealLeakage",
    ]
