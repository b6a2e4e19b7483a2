"""Faults must show, healthy pumps must not look faulty, and the demo must contain what it promises."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from wheeltapper_workers.simulator.faults import severity
from wheeltapper_workers.simulator.load import load_scenario
from wheeltapper_workers.simulator.plant import simulate
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.signals import SIGNAL_NAMES
from wheeltapper_workers.simulator.truth import truth

EPOCH = 1_795_000_000
NS = 1_000_000_000
DEMO = Path(__file__).parents[2] / "examples" / "simulations" / "pump-station.yaml"


def held(load, faults=()):
    return Scenario.model_validate(
        {
            "seed": 7,
            "pumps": [{"name": "p-3"}],
            "faults": list(faults),
            "script": {
                "loads": [{"asset": "p-3", "at": "0s", "for": "3h", "load": load}],
                "runs": [{"asset": "p-3", "at": "0s", "for": "3h"}],
            },
        }
    )


def ten_second_means(scenario, start_s, end_s):
    values = simulate(scenario, EPOCH, EPOCH + start_s, EPOCH + end_s).values[0]
    return values.reshape(len(SIGNAL_NAMES), -1, 10).mean(axis=2)


@lru_cache
def healthy_band(load):
    means = ten_second_means(held(load), 60, 3660)
    return means.mean(axis=1), means.std(axis=1)


def deviation(kind, load, reached):
    """Deviation of each signal in healthy standard deviations, and drive-end vibration over healthy, at a severity."""
    growth_s = round(3600 / reached)
    fault = {"asset": "p-3", "kind": kind, "at": "0s", "growth": f"{growth_s}s"}
    mean, std = healthy_band(load)
    now = ten_second_means(held(load, [fault]), 3600, 3610)[:, 0]
    return dict(zip(SIGNAL_NAMES, (now - mean) / std, strict=True)), now[0] / mean[0]


@pytest.mark.parametrize("load", [0.6, 0.8, 1.0, 1.15])
def test_bearing_wear_shows_at_a_third_of_its_growth(load):
    early, _ = deviation("bearing-wear", load, 0.3)
    assert early["vibration-de"] > 4
    assert early["bearing-temperature-de"] > 4
    assert early["power"] > 1
    assert abs(early["flow"]) < 4
    assert abs(early["suction-pressure"]) < 4
    grown, ratio = deviation("bearing-wear", load, 1.0)
    assert 3.0 <= ratio <= 4.0
    assert grown["vibration-de"] > 2 * grown["vibration-nde"] > 0


@pytest.mark.parametrize(
    ("load", "least", "most"), [(0.6, 1.8, 3.0), (0.85, 3.0, 4.0), (1.0, 3.0, 4.0), (1.15, 2.7, 4.0)]
)
def test_cavitation_shows_at_a_third_of_its_growth(load, least, most):
    early, _ = deviation("cavitation", load, 0.3)
    assert early["suction-pressure"] < -4
    # At part load the pump needs less suction head, so the noise begins later.
    assert deviation("cavitation", load, 0.3 if load >= 1.0 else 0.75)[0]["vibration-de"] > 4
    grown, ratio = deviation("cavitation", load, 1.0)
    assert least <= ratio <= most
    assert grown["discharge-pressure"] < -4
    assert grown["vibration-nde"] > 4


def test_a_faint_fault_does_not_show_in_vibration():
    assert deviation("bearing-wear", 0.8, 0.1)[0]["vibration-de"] < 4
    assert deviation("cavitation", 0.8, 0.1)[0]["vibration-de"] < 4


def test_healthy_day_has_no_excursions():
    scenario = load_scenario(DEMO)
    values = simulate(scenario, None, EPOCH - 86_400, EPOCH).values
    means = values.reshape(len(scenario.pumps), len(SIGNAL_NAMES), -1, 10).mean(axis=3)
    windows = values.reshape(len(scenario.pumps), len(SIGNAL_NAMES), -1, 10)
    speed_ok = windows[:, SIGNAL_NAMES.index("speed")].min(axis=2) > 1465
    steady = speed_ok & (np.ptp(windows[:, SIGNAL_NAMES.index("flow")], axis=2) < 15)
    for asset in range(len(scenario.pumps)):
        flow = means[asset, SIGNAL_NAMES.index("flow")]
        vibration = means[asset, SIGNAL_NAMES.index("vibration-de")]
        for low in range(115, 235, 10):
            band = vibration[steady[asset] & (flow >= low) & (flow < low + 10)]
            z = np.abs(band - band.mean()) / band.std()
            assert z.max() < 5, (asset, low)
    assert 0.001 < 1 - speed_ok.mean() < 0.05  # pumps do stop now and then
    assert values[:, 0].max() < 3.0


def test_running_pump_sees_its_whole_range_of_loads_every_day():
    flow = simulate(held(1.0), None, EPOCH - 86_400, EPOCH).values[0, SIGNAL_NAMES.index("flow")]
    assert np.percentile(flow, 5) < 135
    assert np.percentile(flow, 95) > 215


@pytest.mark.parametrize("epoch", [EPOCH, EPOCH + 12_345, EPOCH + 77_777])
def test_demo_contains_what_it_promises(epoch):
    scenario = load_scenario(DEMO)
    events = truth(scenario, epoch * NS, (epoch + 180) * NS, epoch_ns=epoch * NS)
    kinds = {(event.asset, event.event) for event in events}
    assert {("p-101", "load-change"), ("p-102", "load-change"), ("p-104", "load-change")} <= kinds
    assert ("p-103", "stop") not in kinds
    assert {asset for asset, kind in kinds if kind == "stop"} <= {"p-104"}
    assert {asset for asset, kind in kinds if kind == "fault-onset"} == {"p-103", "p-202"}
    speed = simulate(scenario, epoch, epoch, epoch + 180).values[:, SIGNAL_NAMES.index("speed")]
    assert speed[:3].min() > 1400
    assert speed[3].min() == 0.0


def test_severity_grows_and_stays():
    fault = {"asset": "p-3", "kind": "bearing-wear", "at": "30s", "growth": "100s"}
    grown = severity(held(1.0, [fault]), "bearing-wear", EPOCH, np.array([0, 30, 80, 130, 10_000]) + EPOCH)
    assert grown[0].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
