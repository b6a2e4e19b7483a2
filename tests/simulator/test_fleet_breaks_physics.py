"""The fleet's machines against the laws they claim to follow: a detector judged on wrong physics is judged wrongly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from wheeltapper_workers.features.spectra import Measure, measures
from wheeltapper_workers.simulator.fleet.base import Conditions, Memory
from wheeltapper_workers.simulator.fleet.bearing import BALL_6309, Bearing
from wheeltapper_workers.simulator.fleet.fleet import Fault, Fleet, chunks, random_fleet
from wheeltapper_workers.simulator.fleet.machines import MACHINES
from wheeltapper_workers.simulator.fleet.vibration import RATE_HZ, bursts

START = 1_790_035_200
STEPS = 2000


def conditions(speed=1.0, load=1.0, severity=None, steps=STEPS, ambient=20.0, assets=("m-1", "m-2")):
    shape = (len(assets), steps)
    return Conditions(
        7,
        list(assets),
        START + 10 * np.arange(steps),
        10,
        np.full(shape, speed),
        np.full(shape, load),
        np.full(steps, ambient),
        {name: np.full(shape, value) for name, value in (severity or {}).items()},
    )


def settled(kind, **given):
    """Means of the last quarter of the time, by signal."""
    c = conditions(**given)
    rows = MACHINES[kind].operate(c, Memory(c, None))
    return {name: float(np.mean(values[:, -STEPS // 4 :])) for name, values in rows.items()}


# What each fault must move, up or down, at half its way; and what it must leave alone.
MOVES = {
    ("centrifugal-pump", "bearing-wear"): ({"vibration-de": 1, "bearing-temperature-de": 1}, {"seal-leakage", "flow"}),
    ("centrifugal-pump", "misalignment"): ({"vibration-de": 1}, {"suction-pressure", "seal-leakage"}),
    ("centrifugal-pump", "unbalance"): ({"vibration-de": 1, "vibration-nde": 1}, {"bearing-temperature-nde", "flow"}),
    ("centrifugal-pump", "cavitation"): ({"suction-pressure": -1, "vibration-nde": 1}, {"seal-leakage"}),
    ("centrifugal-pump", "seal-leakage"): ({"seal-leakage": 1}, {"vibration-de", "flow", "power"}),
    ("centrifugal-pump", "lubricant-degradation"): (
        {"bearing-temperature-de": 1, "bearing-temperature-nde": 1},
        {"flow", "seal-leakage"},
    ),
    ("induction-motor", "bearing-wear"): ({"vibration-de": 1, "bearing-temperature-de": 1}, {"winding-temperature"}),
    ("induction-motor", "misalignment"): ({"vibration-de": 1}, {"current", "winding-temperature"}),
    ("induction-motor", "unbalance"): ({"vibration-de": 1, "vibration-nde": 1}, {"bearing-temperature-de", "current"}),
    ("induction-motor", "thermal-overload"): ({"winding-temperature": 1}, {"vibration-de", "current"}),
    ("induction-motor", "lubricant-degradation"): (
        {"bearing-temperature-de": 1, "bearing-temperature-nde": 1},
        {"winding-temperature"},
    ),
    ("fan", "unbalance"): ({"vibration-de": 1, "vibration-nde": 1}, {"flow", "power"}),
    ("fan", "bearing-wear"): ({"vibration-de": 1, "bearing-temperature-de": 1}, {"flow", "power"}),
    ("fan", "misalignment"): ({"vibration-de": 1}, {"flow", "power"}),
    ("fan", "lubricant-degradation"): ({"bearing-temperature-de": 1}, {"vibration-de", "flow"}),
    ("compressor", "bearing-wear"): ({"vibration-de": 1, "bearing-temperature-de": 1}, {"flow", "oil-temperature"}),
    ("compressor", "thermal-overload"): ({"discharge-temperature": 1, "oil-temperature": 1}, {"flow", "vibration-de"}),
    ("compressor", "lubricant-degradation"): (
        {"separator-pressure-drop": 1, "oil-pressure": -1, "power": 1},
        {"flow", "vibration-de"},
    ),
    ("compressor", "seal-leakage"): ({"flow": -1, "discharge-temperature": 1}, {"vibration-de", "power"}),
    ("conveyor", "bearing-wear"): ({"vibration-gearbox": 1, "bearing-temperature-de": 1}, {"throughput", "power"}),
    ("conveyor", "misalignment"): ({"vibration-gearbox": 1, "power": 1}, {"throughput"}),
    ("conveyor", "lubricant-degradation"): (
        {"gearbox-temperature": 1, "bearing-temperature-de": 1, "power": 1},
        {"throughput"},
    ),
    ("conveyor", "thermal-overload"): ({"gearbox-temperature": 1}, {"power", "vibration-gearbox"}),
    ("injection-molding-machine", "seal-leakage"): ({"cushion": -1, "cycle-time": 1}, {"vibration-de"}),
    ("injection-molding-machine", "lubricant-degradation"): ({"power": 1, "oil-temperature": 1}, {"cushion"}),
    ("injection-molding-machine", "bearing-wear"): ({"vibration-de": 1, "bearing-temperature-de": 1}, {"cushion"}),
    ("injection-molding-machine", "thermal-overload"): ({"oil-temperature": 1}, {"cushion", "power", "vibration-de"}),
}


def test_every_fault_of_every_machine_is_judged():
    assert set(MOVES) == {(kind, fault) for kind, machine in MACHINES.items() for fault in machine.faults}


@pytest.mark.parametrize(("kind", "fault"), list(MOVES))
def test_a_fault_moves_what_it_should_and_more_the_larger_it_is(kind, fault):
    moved, left = MOVES[kind, fault]
    healthy, half, full = (settled(kind, severity={fault: s}) for s in (0.0, 0.5, 1.0))
    for signal, way in moved.items():
        assert way * (half[signal] - healthy[signal]) > 0.005 * abs(healthy[signal]), signal
        assert way * (full[signal] - half[signal]) > 0, signal
    for signal in left:
        assert half[signal] == pytest.approx(healthy[signal], rel=1e-6), signal


@pytest.mark.parametrize("kind", sorted(MACHINES))
def test_healthy_vibration_is_in_zone_a_or_b_and_a_ruined_machine_in_zone_d(kind):
    name = "vibration-gearbox" if kind == "conveyor" else "vibration-de"
    assert 0.5 < settled(kind)[name] < 2.8  # ISO 20816-3, group 2, rigid: zone C begins at 2.8 mm/s
    for fault in set(MACHINES[kind].faults) & {"unbalance", "misalignment", "bearing-wear"}:
        assert settled(kind, severity={fault: 1.0})[name] > 4.0, fault


@pytest.mark.parametrize("kind", sorted(MACHINES))
def test_a_stopped_machine_is_cold_quiet_and_draws_nothing(kind):
    rows = settled(kind, speed=0.0, load=0.8)
    assert rows["power"] == 0.0
    for name, value in rows.items():
        if name.startswith("vibration"):
            assert value < 0.1
        elif name.endswith(("temperature", "temperature-de", "temperature-nde")) and name != "barrel-temperature":
            assert value == pytest.approx(20.0, abs=0.6), name
    assert rows["running-hours" if "running-hours" in rows else "cycle-count"] == 0.0


def test_a_fan_follows_the_affinity_laws():
    full, half = settled("fan", load=1.0), settled("fan", load=0.5)
    assert half["flow"] / full["flow"] == pytest.approx(0.5, rel=1e-3)
    assert half["pressure-rise"] / full["pressure-rise"] == pytest.approx(0.25, rel=1e-3)
    assert (half["power"] - 0.4) / (full["power"] - 0.4) == pytest.approx(0.125, rel=1e-3)
    cold = settled("fan", ambient=-10.0)
    assert cold["pressure-rise"] / full["pressure-rise"] == pytest.approx(293.15 / 263.15, rel=1e-3)


def test_a_motor_keeps_its_power_balance_and_slips_with_its_load():
    for load in (0.4, 0.8, 1.1):
        rows = settled("induction-motor", load=load)
        shaft = 55.0 * load
        assert 0.85 < shaft / rows["power"] < 0.96
        assert rows["speed"] == pytest.approx(1500.0 * (1 - 0.0133 * load), rel=2e-3)
    assert settled("induction-motor")["winding-temperature"] < 20 + 105  # class F at rated load, IEC 60034-1


def test_a_compressor_draws_at_least_the_isentropic_power():
    rows = settled("compressor", load=1.05)
    ratio = rows["discharge-pressure"] / rows["intake-pressure"]
    least = rows["flow"] / 60 * 3.5 * (ratio ** (1 / 3.5) - 1) * 1e5 * rows["intake-pressure"] / 1000
    assert least < rows["power"] < 1.7 * least
    assert settled("compressor", load=0.6)["power"] < 0.75 * rows["power"]


def test_a_conveyor_draws_at_least_the_power_that_lifts_the_load():
    rows = settled("conveyor")
    lift = rows["throughput"] / 3.6 * 9.81 * 18.0 / 1000
    assert lift < rows["power"] < 3 * lift
    assert settled("conveyor", load=0.3)["power"] < 0.7 * rows["power"]


@pytest.mark.parametrize(
    ("bearing", "orders"),
    [
        # Published figures: SKF 6205 of the Case Western Reserve bearing data (drive end), and 6309.
        (Bearing(9, 7.94, 39.04), (3.585, 5.415, 2.357, 0.3983)),
        (BALL_6309, (3.05, 4.95, 1.99, 0.38)),
    ],
)
def test_defect_orders_are_those_of_the_tables(bearing, orders):
    found = (bearing.outer_race, bearing.inner_race, bearing.ball_spin, bearing.cage)
    assert found == pytest.approx(orders, abs=0.01)


def burst_of(kind, **severity):
    c = conditions(severity=severity, steps=400)
    rows = MACHINES[kind].operate(c, Memory(c, None))
    at = slice(-1, None)
    moment = dataclasses.replace(
        c,
        time_s=c.time_s[at],
        speed=c.speed[:, at],
        load=c.load[:, at],
        ambient_cel=c.ambient_cel[at],
        severity={name: values[:, at] for name, values in c.severity.items()},
    )
    source = MACHINES[kind].burst(moment, {name: values[:, at] for name, values in rows.items()})
    return bursts(7, c.assets, np.repeat(c.time_s[at], 2), source), source.speed_hz[:, 0]


def order(*orders, envelope=None):
    return Measure("order-amplitude", envelope=envelope, orders=orders, tolerance=0.02)


@pytest.mark.parametrize("kind", ["centrifugal-pump", "induction-motor", "fan"])
def test_each_fault_has_its_place_in_the_spectrum(kind):
    wanted = [order(1.0), order(2.0), order(BALL_6309.outer_race, envelope=(2000.0, 6000.0)), Measure("kurtosis")]
    healthy = measures(*_arguments(burst_of(kind)), wanted)
    unbalance = measures(*_arguments(burst_of(kind, unbalance=0.5)), wanted)
    misaligned = measures(*_arguments(burst_of(kind, misalignment=0.5)), wanted)
    worn = measures(*_arguments(burst_of(kind, **{"bearing-wear": 0.5})), wanted)
    assert (unbalance[:, 0] > 2 * healthy[:, 0]).all()
    assert (misaligned[:, 1] > 4 * healthy[:, 1]).all()
    assert (worn[:, 2] > 4 * healthy[:, 2]).all()
    assert (worn[:, 3] > healthy[:, 3] + 0.5).all()
    assert misaligned[:, 0] == pytest.approx(healthy[:, 0], rel=0.1)


def _arguments(burst):
    return burst[0], RATE_HZ, burst[1]


def small(seed=3, days=4):
    return random_fleet(seed, dict.fromkeys(MACHINES, 3), START, days)


@pytest.mark.parametrize("kind", sorted(MACHINES))
def test_the_cut_into_chunks_changes_no_value(kind):
    fleet = dataclasses.replace(small(), end_s=START + 12 * 3600)
    whole = next(iter(chunks(fleet, kind, chunk_s=12 * 3600)))
    parts = list(chunks(fleet, kind, chunk_s=3 * 3600))
    for name, values in whole.values.items():
        np.testing.assert_allclose(
            np.concatenate([part.values[name] for part in parts], axis=1), values, rtol=1e-9, atol=1e-9, err_msg=name
        )
    assert [b.time_s for part in parts for b in part.bursts] == [b.time_s for b in whole.bursts]


def test_the_same_seed_is_the_same_fleet_and_another_seed_another():
    assert small(1) == small(1)
    assert small(1).faults != small(2).faults
    one, other = (next(iter(chunks(small(seed), "fan"))).values["power"] for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_states_and_texts_are_sent_only_on_change():
    fleet = dataclasses.replace(small(), end_s=START + 2 * 86_400)
    sent = np.concatenate([chunk.values["product"] for chunk in chunks(fleet, "conveyor")], axis=1)
    counts = np.isfinite(sent).sum(axis=1)
    assert (counts >= 1).all()
    assert (counts < 20).all()
    for row in sent:
        words = row[np.isfinite(row)]
        assert (words[1:] != words[:-1]).all()


def test_a_fault_begins_at_its_onset_and_not_before():
    fault = Fault("fan-000", "unbalance", START + 3600, 7200)
    fleet = Fleet(5, START, START + 4 * 3600, 10, {"fan": ["fan-000"]}, (fault,), ())
    sound = dataclasses.replace(fleet, faults=())
    pairs = zip(chunks(fleet, "fan"), chunks(sound, "fan"), strict=True)
    for ill, well in pairs:
        same = ill.values["vibration-de"] == well.values["vibration-de"]
        assert same[:, ill.time_s <= START + 3600].all()
        assert (ill.values["vibration-de"][0, -100:] > 3.0).all()
