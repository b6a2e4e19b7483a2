"""A fleet over time: who is in it, what befalls it, and its measurements chunk by chunk.

Everything is a pure function of the seed and absolute time; only temperatures and counters are carried along. So any
seed gives a fleet of its own, and the same seed the same fleet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from wheeltapper_workers.simulator.fleet.base import Conditions, Machine, Memory, Rows, Signal
from wheeltapper_workers.simulator.fleet.machines import MACHINES
from wheeltapper_workers.simulator.fleet.vibration import bursts
from wheeltapper_workers.simulator.randomness import Floats, Ints, key, keys, normal, uniform, wander

LOAD_SLOT_S: Final = 3 * 3600
LOAD_RAMP_S: Final = 120.0
STOP_SLOT_S: Final = 8 * 3600
STOP_CHANCE: Final = 0.12
RUN_UP_S: Final = 30.0
_DAY_S: Final = 86_400
_PARTIAL: Final[Mapping[str, tuple[float, float]]] = {"fan": (0.70, 1.0), "compressor": (0.62, 1.05)}
_LOADS: Final = (0.65, 1.10)

SensorTrouble = Literal["drift", "stuck", "noise", "dropout"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a machine: it begins at ``onset_s`` and is a failure ``growth_s`` later."""

    asset: str
    kind: str
    onset_s: int
    growth_s: int

    @property
    def failure_s(self) -> int:
        """When severity reaches 1."""
        return self.onset_s + self.growth_s


@dataclass(frozen=True, slots=True)
class SensorFault:
    """A fault of a sensor, which is none of the machine: its values are wrong, or missing, for a while."""

    asset: str
    signal: str
    kind: SensorTrouble
    start_s: int
    end_s: int
    size: float
    """Of a drift: change over its time, as a share of the signal; of noise: factor."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Machines by class, the time they are looked at, and what befalls them."""

    seed: int
    start_s: int
    end_s: int
    step_s: int
    members: Mapping[str, list[str]]
    faults: tuple[Fault, ...]
    sensor_faults: tuple[SensorFault, ...]
    burst_every_s: int = 7200


@dataclass(frozen=True, slots=True)
class Bursts:
    """Bursts of one moment: position of each asset, and samples [n, samples] in m/s2."""

    time_s: int
    asset: Ints
    samples: Floats


@dataclass(frozen=True, slots=True)
class Chunk:
    """Measurements of the machines of one class.

    ``values`` are [n_assets, n_times] by signal, NaN where nothing is sent.
    """

    time_s: Ints
    values: Rows
    bursts: list[Bursts]


def random_fleet(seed: int, counts: Mapping[str, int], start_s: int, days: int, *, healthy_days: float = 2.5) -> Fleet:
    """A fleet of which about a third fails, each machine in one of its ways, after a healthy beginning.

    Parameters
    ----------
    seed : int
    counts : mapping
        Machines of each class.
    start_s : int
        Seconds since 1970.
    days : int
    healthy_days : float
        Days from which on faults begin, so that every machine's normal can be learned.
    """
    random = np.random.default_rng(seed)
    members = {kind: [f"{kind}-{number:03d}" for number in range(count)] for kind, count in counts.items()}
    faults, troubles = [], []
    for kind, assets in members.items():
        machine = MACHINES[kind]
        for asset in assets:
            chance = random.random()
            begin = start_s + int((healthy_days + random.uniform(0.0, max(0.0, days - healthy_days - 2.5))) * _DAY_S)
            if chance < 0.33:
                fault = machine.faults[int(random.integers(len(machine.faults)))]
                faults.append(Fault(asset, fault, begin, int(random.uniform(1.5, 2.5) * _DAY_S)))
            elif chance < 0.45:
                troubles.append(_trouble(random, asset, machine, begin))
    return Fleet(seed, start_s, start_s + days * _DAY_S, 10, members, tuple(faults), tuple(troubles))


def _trouble(random: np.random.Generator, asset: str, machine: Machine, begin: int) -> SensorFault:
    measured = [signal.name for signal in machine.signals if not signal.on_change and signal.every == 1]
    kinds: tuple[SensorTrouble, ...] = ("drift", "stuck", "noise", "dropout")
    kind = kinds[int(random.integers(len(kinds)))]
    size = random.uniform(0.02, 0.06) if kind == "drift" else random.uniform(2.0, 5.0)
    length = int(random.uniform(2, 24) * 3600)
    return SensorFault(asset, measured[int(random.integers(len(measured)))], kind, begin, begin + length, float(size))


def chunks(fleet: Fleet, kind: str, chunk_s: int = 6 * 3600) -> Iterator[Chunk]:
    """Measurements of the machines of one class from the fleet's start to its end."""
    machine, assets = MACHINES[kind], fleet.members[kind]
    state: dict[str, Floats] | None = None
    sent: dict[str, Floats] = {}
    for first in range(fleet.start_s, fleet.end_s, chunk_s):
        time_s = np.arange(first, min(first + chunk_s, fleet.end_s), fleet.step_s, dtype=np.int64)
        conditions = _conditions(fleet, kind, assets, time_s)
        memory = Memory(conditions, state)
        rows = machine.operate(conditions, memory)
        state = memory.after
        values = {
            signal.name: _measured(fleet, conditions, signal, rows[signal.name], sent) for signal in machine.signals
        }
        yield Chunk(time_s, values, _bursts(fleet, machine, conditions, rows))


def _conditions(fleet: Fleet, kind: str, assets: list[str], time_s: Ints) -> Conditions:
    severity: dict[str, Floats] = {}
    for fault in fleet.faults:
        if fault.asset in assets:
            rows = severity.setdefault(fault.kind, np.zeros((len(assets), len(time_s))))
            grown = np.clip((time_s - fault.onset_s) / fault.growth_s, 0.0, 1.0)
            rows[assets.index(fault.asset)] = grown**1.5  # damage grows faster the larger it is
    low, high = _PARTIAL.get(kind, _LOADS)
    return Conditions(
        fleet.seed,
        assets,
        time_s,
        fleet.step_s,
        _speed(fleet.seed, assets, time_s),
        _load(fleet.seed, assets, time_s, low, high),
        _ambient(fleet.seed, time_s),
        severity,
    )


def _load(seed: int, assets: list[str], time_s: Ints, low: float, high: float) -> Floats:
    """Levels held for some hours, with ramps between them."""
    slot = time_s // LOAD_SLOT_S
    first = int(slot[0])
    levels = low + (high - low) * uniform(keys(seed, assets, "load"), np.arange(first - 1, int(slot[-1]) + 1))
    ramp = np.clip((time_s - slot * LOAD_SLOT_S) / LOAD_RAMP_S, 0.0, 1.0)
    return np.asarray(levels[:, slot - first] * (1.0 - ramp) + levels[:, slot - first + 1] * ramp)


def _speed(seed: int, assets: list[str], time_s: Ints) -> Floats:
    """Stops of 20 minutes to two hours, now and then."""
    slot = time_s // STOP_SLOT_S
    first = int(slot[0])
    slots = np.arange(first, int(slot[-1]) + 1)
    chance, place, length = (uniform(keys(seed, assets, name), slots) for name in ("stop", "stop-at", "stop-for"))
    begin = slots * STOP_SLOT_S + place * 0.6 * STOP_SLOT_S
    end = begin + 1200.0 + 6000.0 * length
    stops = chance < STOP_CHANCE
    index = slot - first
    down = np.clip(1.0 - (time_s - begin[:, index]) / RUN_UP_S, 0.0, 1.0)
    up = np.clip((time_s - end[:, index]) / RUN_UP_S, 0.0, 1.0)
    return np.asarray(np.where(stops[:, index] & (time_s >= begin[:, index]), np.maximum(down, up), 1.0))


def _ambient(seed: int, time_s: Ints) -> Floats:
    day = np.sin(2.0 * np.pi * (time_s % _DAY_S - 9 * 3600) / _DAY_S)
    days = wander(np.array([[key(seed, "", "ambient-day")]]), time_s, _DAY_S)[0]
    weather = wander(np.array([[key(seed, "", "ambient-weather")]]), time_s, 1800)[0]
    return np.asarray(21.0 + 3.0 * day + 1.5 * days + 0.3 * weather)


def _measured(fleet: Fleet, c: Conditions, signal: Signal, true: Floats, sent: dict[str, Floats]) -> Floats:
    """What a transmitter sends: with its noise, rounded, only now and then or only on change; with its faults."""
    if signal.on_change:
        return _changes(signal.name, true, sent)
    sigma = signal.share * np.abs(true) + signal.floor
    values = np.array(true, np.float64)
    if signal.share or signal.floor:
        values += sigma * c.noise(f"noise-{signal.name}")
    for fault in fleet.sensor_faults:
        if fault.signal == signal.name and fault.asset in c.assets:
            _spoil(values, c.assets.index(fault.asset), c, fault, sigma)
    values = np.round(values, signal.decimals)
    if signal.every > 1:
        values[:, (c.time_s // c.step_s) % signal.every != 0] = np.nan
    return values


def _changes(name: str, true: Floats, sent: dict[str, Floats]) -> Floats:
    before = sent.get(name, np.full(len(true), np.nan))
    sent[name] = true[:, -1].copy()
    changed = np.concatenate((before[:, np.newaxis], true[:, :-1]), axis=1) != true
    return np.where(changed, true, np.nan)


def _spoil(values: Floats, row: int, c: Conditions, fault: SensorFault, sigma: Floats | float) -> None:
    during = np.flatnonzero((c.time_s >= fault.start_s) & (c.time_s < fault.end_s))
    if not len(during):
        return
    part = values[row, during]
    if fault.kind == "drift":
        grown = (c.time_s[during] - fault.start_s) / (fault.end_s - fault.start_s)
        part = part * (1.0 + fault.size * grown)
    elif fault.kind == "stuck":
        part = np.full_like(part, part[0])
    elif fault.kind == "noise":
        extra = normal(keys(c.seed, [fault.asset], "sensor-noise"), c.time_s[during])[0]
        part = part + fault.size * np.broadcast_to(sigma, values.shape)[row, during] * extra
    else:
        part = np.full_like(part, np.nan)
    values[row, during] = part


def _bursts(fleet: Fleet, machine: Machine, c: Conditions, rows: Rows) -> list[Bursts]:
    if not machine.waveform:
        return []
    found = []
    # Machines take their bursts at times of their own, spread over the interval.
    offset = (uniform(keys(c.seed, c.assets, "burst-time"), np.zeros(1, np.int64))[:, 0] * fleet.burst_every_s).astype(
        int
    )
    offset -= offset % c.step_s
    due = (c.time_s[np.newaxis, :] - offset[:, np.newaxis]) % fleet.burst_every_s == 0
    for column in np.flatnonzero(due.any(axis=0)).tolist():
        asset = np.flatnonzero(due[:, column])
        names = [c.assets[position] for position in asset.tolist()]
        moment = _moment(c, names, asset, column)
        source = machine.burst(moment, {name: row[asset, column : column + 1] for name, row in rows.items()})
        samples = bursts(c.seed, names, np.full(len(asset), c.time_s[column]), source)
        found.append(Bursts(int(c.time_s[column]), asset, samples))
    return found


def _moment(c: Conditions, names: list[str], asset: Ints, column: int) -> Conditions:
    """Conditions of some assets at one moment."""
    at = slice(column, column + 1)
    severity = {fault: rows[asset, at] for fault, rows in c.severity.items()}
    return Conditions(
        c.seed, names, c.time_s[at], c.step_s, c.speed[asset, at], c.load[asset, at], c.ambient_cel[at], severity
    )
