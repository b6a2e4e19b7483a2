"""The plant: duty, faults, physics and measurement put together, one chunk of seconds at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from wheeltapper_workers.simulator import duty, pump
from wheeltapper_workers.simulator.faults import severity
from wheeltapper_workers.simulator.pump import Design
from wheeltapper_workers.simulator.randomness import Floats, Ints, keys, normal, uniform, wander
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.signals import AMBIENT_SIGNAL, PUMP_SIGNALS, SIGNAL_NAMES

# 25 bearing time constants: what the bearings were before has decayed to 1e-11 of itself.
_WARM_UP_S: Final = 10_800
_DAY_S: Final = 86_400
# Measurement noise, one standard deviation: (share of the value, fixed part in the signal's unit).
_NOISE: Final = {
    "vibration-de": (0.05, 0.004),
    "vibration-nde": (0.05, 0.004),
    "bearing-temperature-de": (0.0, 0.12),
    "bearing-temperature-nde": (0.0, 0.12),
    "flow": (0.005, 0.0),
    "suction-pressure": (0.0, 0.006),
    "discharge-pressure": (0.002, 0.002),
    "power": (0.004, 0.0),
    "current": (0.004, 0.0),
    "speed": (0.0003, 0.0),
    "seal-leakage": (0.05, 0.3),
}
# How many times its noise a fully cavitating pump adds: bubbles make flow and broadband vibration unsteady.
_NOISE_GROWTH: Final = {"vibration-de": 2.0, "vibration-nde": 2.0, "flow": 8.0}


@dataclass(frozen=True, slots=True)
class State:
    """What one chunk hands to the next: temperatures of both bearings, shape [n_assets, 2], at the last second."""

    bearings_cel: Floats


@dataclass(frozen=True, slots=True)
class Chunk:
    """Simulated measurements.

    Attributes
    ----------
    time_s : array of int64, shape [n_times]
        Whole seconds since the Unix epoch.
    values : array of float64, shape [n_assets, n_signals, n_times]
        In the order of `Scenario.assets` and `signals.PUMP_SIGNALS`, in their units.
    ambient_cel : array of float64, shape [n_times]
    state : State
        To hand to `simulate` for the seconds that follow.
    """

    time_s: Ints
    values: Floats
    ambient_cel: Floats
    state: State


@dataclass(frozen=True, slots=True)
class _Truth:
    """What the instruments would show if they were perfect; values has shape [n_assets, n_signals, n_times]."""

    values: Floats
    ambient_cel: Floats
    cavitation: Floats
    state: State


def simulate(scenario: Scenario, epoch_s: int | None, start_s: int, end_s: int, state: State | None = None) -> Chunk:
    """Simulate every second of [start_s, end_s).

    Parameters
    ----------
    scenario : Scenario
    epoch_s : int or None
        First live start, seconds since the Unix epoch; faults and script count from it. None: a plant before its first
        live start, healthy and unscripted.
    start_s, end_s : int
        Seconds since the Unix epoch, ``start_s < end_s``.
    state : State, optional
        From the chunk that ended at `start_s`. Without it the bearings are warmed up by simulating the three hours
        before, so the values are the same up to rounding.
    """
    if state is None:
        state = initial_state(scenario, epoch_s, start_s)
    time_s: Ints = np.arange(start_s, end_s, dtype=np.int64)
    truth = _operate(scenario, epoch_s, time_s, state)
    values = _measure(scenario, time_s, truth)
    ambient = truth.ambient_cel + 0.03 * normal(keys(scenario.seed, [scenario.station], "ambient-noise"), time_s)[0]
    return Chunk(time_s, values, np.round(ambient, AMBIENT_SIGNAL.decimals), truth.state)


def initial_state(scenario: Scenario, epoch_s: int | None, start_s: int) -> State:
    """Return the state of the plant just before `start_s`."""
    time_s: Ints = np.arange(start_s - _WARM_UP_S, start_s, dtype=np.int64)
    return _operate(scenario, epoch_s, time_s, None).state


def ambient_cel(scenario: Scenario, time_s: Ints) -> Floats:
    """Ambient temperature, shape [n_times]: warmest at 15 h UTC, days differ, weather wanders over half hours."""
    day = np.sin(2.0 * np.pi * (time_s % _DAY_S - 9 * 3600) / _DAY_S)
    days = wander(keys(scenario.seed, [scenario.station], "ambient-day"), time_s, _DAY_S)[0]
    weather = wander(keys(scenario.seed, [scenario.station], "ambient-weather"), time_s, 1800)[0]
    return np.asarray(18.0 + 4.0 * day + 1.5 * days + 0.3 * weather)


def design_of(scenario: Scenario) -> Design:
    """Figures of all pumps, shape [n_assets, 1]; vibration and bearing heat differ by some per cent between pumps."""
    assets, seed = scenario.assets, scenario.seed
    only: Ints = np.zeros(1, dtype=np.int64)
    return Design(
        flow_bep_m3_h=np.array([[each.flow_m3_h] for each in scenario.pumps]),
        head_bep_m=np.array([[each.head_m] for each in scenario.pumps]),
        static_head_m=np.array([[0.55 * each.head_m] for each in scenario.pumps]),
        vibration_bep_mm_s=1.25 + 0.3 * uniform(keys(seed, assets, "build-vibration"), only),
        bearing_rise_k=22.0 + 4.0 * uniform(keys(seed, assets, "build-bearing"), only),
    )


def _operate(scenario: Scenario, epoch_s: int | None, time_s: Ints, state: State | None) -> _Truth:
    assets, seed = scenario.assets, scenario.seed
    design = design_of(scenario)
    ambient = ambient_cel(scenario, time_s)
    speed, energised = duty.speed_ratio(scenario, epoch_s, time_s)
    demand = duty.load(scenario, epoch_s, time_s) * (1.0 + 0.01 * wander(keys(seed, assets, "demand"), time_s, 60))
    level = design.suction_level_m + 0.1 * wander(keys(seed, assets, "level"), time_s, 600)
    wear = severity(scenario, "bearing-wear", epoch_s, time_s)
    point = pump.operating_point(speed, demand, severity(scenario, "cavitation", epoch_s, time_s), level, design)
    shaft = pump.shaft_power_kw(point.flow_m3_h, speed, wear, design)
    roughness = 1.0 + 0.025 * wander(keys(seed, assets, "roughness"), time_s, 60)
    targets = np.stack(pump.bearing_target_cel(ambient, speed, shaft, wear, design), axis=1)
    bearings, last = pump.first_order(
        targets, targets[..., 0] if state is None else state.bearings_cel, design.bearing_time_constant_s, 1.0
    )
    rows = {
        **_hydraulic_signals(point),
        **_motor_signals(speed, energised, shaft, design),
        **_vibration_signals(point, speed, wear, roughness, design),
        "seal-leakage": _leakage(scenario, epoch_s, time_s, speed),
        "bearing-temperature-de": bearings[:, 0],
        "bearing-temperature-nde": bearings[:, 1],
    }
    return _Truth(np.stack([rows[name] for name in SIGNAL_NAMES], axis=1), ambient, point.cavitation, State(last))


def _leakage(scenario: Scenario, epoch_s: int | None, time_s: Ints, speed: Floats) -> Floats:
    """What a mechanical seal lets through in mL/min: a little for its own lubrication, and much more when worn."""
    assets, seed = scenario.assets, scenario.seed
    healthy = 4.0 + 5.0 * uniform(keys(seed, assets, "leak"), np.zeros(1, dtype=np.int64))
    wandering = 1.0 + 0.1 * wander(keys(seed, assets, "leak"), time_s, 3600)
    return np.asarray(healthy * speed * wandering + 180.0 * severity(scenario, "seal-leakage", epoch_s, time_s))


def _hydraulic_signals(point: pump.OperatingPoint) -> dict[str, Floats]:
    suction_m = pump.suction_head_m(point.npsh_available_m)
    bar_per_m = pump.PA_PER_M / pump.PA_PER_BAR
    return {
        "flow": point.flow_m3_h,
        "suction-pressure": suction_m * bar_per_m,
        "discharge-pressure": (suction_m + point.head_m) * bar_per_m,
    }


def _motor_signals(speed: Floats, energised: Floats, shaft_kw: Floats, design: Design) -> dict[str, Floats]:
    power = pump.motor_power_kw(shaft_kw, energised, design)
    return {
        "power": power,
        "current": pump.motor_current_a(power, energised, design),
        "speed": pump.shaft_speed_min(speed, shaft_kw, design),
    }


def _vibration_signals(
    point: pump.OperatingPoint, speed: Floats, wear: Floats, roughness: Floats, design: Design
) -> dict[str, Floats]:
    q = pump.relative_flow(point.flow_m3_h, speed, design)
    drive_end, non_drive_end = pump.vibration_mm_s(q, speed, wear, point.cavitation, design)
    return {"vibration-de": drive_end * roughness, "vibration-nde": non_drive_end * roughness}


def _measure(scenario: Scenario, time_s: Ints, truth: _Truth) -> Floats:
    """Add each transmitter's noise and round to its resolution; a cavitating pump is noisier than a quiet one."""
    measured = np.empty_like(truth.values)
    for index, signal in enumerate(PUMP_SIGNALS):
        true = truth.values[:, index]
        share, floor = _NOISE[signal.name]
        sigma = share * np.abs(true) * (1.0 + _NOISE_GROWTH.get(signal.name, 0.0) * truth.cavitation) + floor
        noisy = true + sigma * normal(keys(scenario.seed, scenario.assets, f"noise-{signal.name}"), time_s)
        measured[:, index] = np.round(noisy, signal.decimals)
    for name in ("vibration-de", "vibration-nde", "seal-leakage"):
        one = measured[:, SIGNAL_NAMES.index(name)]
        np.abs(one, out=one)
    return measured
