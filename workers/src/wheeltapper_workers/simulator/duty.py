"""What operation asks of each pump: load steps, stops and starts, as pure functions of absolute time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from wheeltapper_workers.simulator.randomness import Floats, Ints, keys, uniform
from wheeltapper_workers.simulator.scenario import Scenario

NS: Final = 1_000_000_000
LOAD_SLOT_S: Final = 240
LOAD_RAMP_S: Final = 20.0
LOAD_LOW: Final = 0.60
LOAD_HIGH: Final = 1.15
STOP_SLOT_S: Final = 4 * 3600
STOP_CHANCE: Final = 0.5
COAST_S: Final = 20.0
RUN_UP_S: Final = 15.0
LEAD_IN_S: Final = 600


@dataclass(frozen=True, slots=True)
class LoadSteps:
    """Random load changes of all assets in consecutive slots, arrays of shape [n_assets, n_slots].

    Slot k changes the load once, from `before` to `after`, at `time_s`; the change lies in the slot's first 60 %, so
    a ramp is always over before the next one starts and the load at a time depends on one slot only.
    """

    first_slot: int
    time_s: Floats
    before: Floats
    after: Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """A time in seconds since the Unix epoch during which something holds."""

    start_s: float
    end_s: float
    value: float = 0.0


def load_steps(scenario: Scenario, start_s: int, end_s: int) -> LoadSteps:
    """Load changes of the slots that touch [start_s, end_s)."""
    slots: Ints = np.arange(start_s // LOAD_SLOT_S, (end_s - 1) // LOAD_SLOT_S + 1, dtype=np.int64)
    level_keys = keys(scenario.seed, scenario.assets, "load-level")
    levels = LOAD_LOW + (LOAD_HIGH - LOAD_LOW) * uniform(level_keys, np.append(slots[:1] - 1, slots))
    jitter = uniform(keys(scenario.seed, scenario.assets, "load-time"), slots)
    return LoadSteps(int(slots[0]), (slots + 0.6 * jitter) * LOAD_SLOT_S, levels[:, :-1], levels[:, 1:])


def load(scenario: Scenario, epoch_s: int | None, time_s: Ints) -> Floats:
    """Load demand: flow at rated speed over best-efficiency flow, shape [n_assets, n_times].

    Parameters
    ----------
    scenario : Scenario
    epoch_s : int or None
        First live start, to which the script is relative; None leaves the script out.
    time_s : array of int64, shape [n_times]
        Whole seconds since the Unix epoch, ascending.
    """
    steps = load_steps(scenario, int(time_s[0]), int(time_s[-1]) + 1)
    slot = time_s // LOAD_SLOT_S - steps.first_slot
    ramp = np.clip((time_s - steps.time_s[:, slot]) / LOAD_RAMP_S, 0.0, 1.0)
    demand = steps.before[:, slot] * (1.0 - ramp) + steps.after[:, slot] * ramp
    for asset, held in scripted_loads(scenario, epoch_s):
        weight = _trapezoid(time_s, held, LOAD_RAMP_S, LOAD_RAMP_S)
        demand[asset] = demand[asset] * (1.0 - weight) + held.value * weight
    return np.asarray(demand)


def speed_ratio(scenario: Scenario, epoch_s: int | None, time_s: Ints) -> tuple[Floats, Floats]:
    """Speed over rated speed, and whether the motor is energised (0 or 1); both of shape [n_assets, n_times]."""
    speed = np.ones((len(scenario.pumps), len(time_s)))
    energised = np.ones_like(speed)
    for asset, stops in enumerate(stop_intervals(scenario, epoch_s, int(time_s[0]), int(time_s[-1]) + 1)):
        for stop in stops:
            speed[asset] = np.minimum(speed[asset], 1.0 - _trapezoid(time_s, stop, COAST_S, RUN_UP_S))
            energised[asset, (time_s >= stop.start_s) & (time_s < stop.end_s)] = 0.0
    return speed, energised


def stop_intervals(scenario: Scenario, epoch_s: int | None, start_s: int, end_s: int) -> list[list[Interval]]:
    """Stops of each asset that reach into [start_s, end_s), run-up included: random ones, then scripted ones."""
    stops = _random_stops(scenario, start_s, end_s)
    if epoch_s is not None:
        for run in scenario.script.runs:
            kept = Interval(epoch_s + run.start_ns / NS - LEAD_IN_S, epoch_s + run.end_ns / NS)
            asset = scenario.assets.index(run.asset)
            stops[asset] = [s for s in stops[asset] if s.end_s <= kept.start_s or s.start_s >= kept.end_s]
        for scripted in scenario.script.stops:
            stop = Interval(epoch_s + scripted.start_ns / NS, epoch_s + scripted.end_ns / NS)
            stops[scenario.assets.index(scripted.asset)].append(stop)
    return [[s for s in of_asset if s.end_s + RUN_UP_S > start_s and s.start_s < end_s] for of_asset in stops]


def scripted_loads(scenario: Scenario, epoch_s: int | None) -> list[tuple[int, Interval]]:
    """Loads held by the script, with the index of their asset."""
    if epoch_s is None:
        return []
    return [
        (scenario.assets.index(s.asset), Interval(epoch_s + s.start_ns / NS, epoch_s + s.end_ns / NS, s.load))
        for s in scenario.script.loads
    ]


def _random_stops(scenario: Scenario, start_s: int, end_s: int) -> list[list[Interval]]:
    # A stop lies within its slot, run-up included, so the slots that touch the interval hold all that matter.
    slots: Ints = np.arange(start_s // STOP_SLOT_S, (end_s - 1) // STOP_SLOT_S + 1, dtype=np.int64)
    chance, place, length = (
        uniform(keys(scenario.seed, scenario.assets, stream), slots)
        for stream in ("stop-chance", "stop-time", "stop-length")
    )
    starts = (slots + 0.05 + 0.85 * place) * STOP_SLOT_S
    ends = starts + 180.0 + 300.0 * length
    return [
        [Interval(float(starts[a, k]), float(ends[a, k])) for k in np.flatnonzero(chance[a] < STOP_CHANCE)]
        for a in range(len(scenario.pumps))
    ]


def _trapezoid(time_s: Ints, interval: Interval, rise_s: float, fall_s: float) -> Floats:
    rising = np.clip((time_s - interval.start_s) / rise_s, 0.0, 1.0)
    return np.asarray(rising * (1.0 - np.clip((time_s - interval.end_s) / fall_s, 0.0, 1.0)))
