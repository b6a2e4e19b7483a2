"""A fleet over time: who is in it, what befalls it, and its measurements chunk by chunk.

Everything is a pure function of the seed and absolute time; only temperatures and counters are carried along. So any
seed gives a fleet of its own, and the same seed the same fleet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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

SensorTrouble = Literal["drift", "stuck", "noise", "dropout", "clock", "clock-drift"]


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
    """Of a drift: change over its time, as a share of the signal; of noise: factor; of a clock: seconds that it is
    ahead, all the time or, drifting, at the end."""


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

    ``values`` are [n_assets, n_times] by signal, NaN where nothing is sent. ``ahead_s`` is of the same shape, for
    signals with a clock that is wrong: seconds that it is ahead.
    """

    time_s: Ints
    values: Rows
    bursts: list[Bursts]
    ahead_s: Rows


@dataclass(frozen=True, slots=True)
class State:
    """What one chunk hands to the next: temperatures and counters, and what was sent last of what is sent on change."""

    memory: Mapping[str, Floats]
    sent: Mapping[str, Floats]


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
    measured = [signal.name for signal in machine.signals if not signal.on_change and not signal.every_s]
    # Wrong clocks are left out: what they do to an alert is a matter of the contract, not of a model.
    kinds: tuple[SensorTrouble, ...] = ("drift", "stuck", "noise", "dropout")
    kind = kinds[int(random.integers(len(kinds)))]
    size = random.uniform(0.02, 0.06) if kind == "drift" else random.uniform(2.0, 5.0)
    length = int(random.uniform(2, 24) * 3600)
    return SensorFault(asset, measured[int(random.integers(len(measured)))], kind, begin, begin + length, float(size))


def chunks(fleet: Fleet, kind: str, chunk_s: int = 6 * 3600) -> Iterator[Chunk]:
    """Measurements of the machines of one class from the fleet's start to its end."""
    state: State | None = None
    for first in range(fleet.start_s, fleet.end_s, chunk_s):
        chunk, state = simulate(fleet, kind, first, min(first + chunk_s, fleet.end_s), state)
        yield chunk


def simulate(fleet: Fleet, kind: str, start_s: int, end_s: int, state: State | None) -> tuple[Chunk, State]:
    """Measurements of the machines of one class in [start_s, end_s), and the state to go on from.

    Without a state temperatures begin settled and counters at zero; without values sent before, every signal is sent.
    """
    machine, assets = MACHINES[kind], fleet.members[kind]
    time_s = np.arange(start_s, end_s, fleet.step_s, dtype=np.int64)
    conditions = _conditions(fleet, kind, assets, time_s)
    memory = Memory(conditions, state.memory if state else None)
    rows = machine.operate(conditions, memory)
    sent = dict(state.sent) if state else {}
    fresh = not sent
    values = {s.name: _measured(fleet, conditions, s, rows[s.name], sent, fresh=fresh) for s in machine.signals}
    chunk = Chunk(time_s, values, _bursts(fleet, machine, conditions, rows), _clocks(fleet, conditions))
    return chunk, State(memory.after, sent)


_RATES: Final = {"hours": 1 / 3600, "starts": 1 / STOP_SLOT_S, "cycles": 1 / 300, "count": 1 / 11}
"""What a counter counts in a second at most; so it goes on upwards from wherever it is begun anew."""
_COUNTED_FROM_S: Final = 1_600_000_000
_WARM_UP_S: Final = 3 * 3600


def warm(fleet: Fleet, kind: str, start_s: int) -> State:
    """State just before a time, of machines that have run for long; nothing has been sent yet."""
    coarse = replace(fleet, step_s=10, burst_every_s=_DAY_S)
    _, state = simulate(coarse, kind, start_s - _WARM_UP_S, start_s, None)
    counted = {
        name: state.memory[name] + (start_s - _COUNTED_FROM_S) * r for name, r in _RATES.items() if name in state.memory
    }
    return State({**state.memory, **counted}, {})


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


def _measured(
    fleet: Fleet, c: Conditions, signal: Signal, true: Floats, sent: dict[str, Floats], *, fresh: bool
) -> Floats:
    """What a transmitter sends: with its noise, rounded, only now and then or only on change; with its faults."""
    if signal.on_change:
        return _changes(signal.name, true, sent)
    sigma = signal.share * np.abs(true) + signal.floor
    values = np.array(true, np.float64)
    if signal.share or signal.floor:
        values += sigma * c.noise(f"noise-{signal.name}")
    for fault in fleet.sensor_faults:
        if fault.signal == signal.name and fault.asset in c.assets:
            _spoil(values, c.assets.index(fault.asset), c, fault, sigma, sent)
    values = np.round(values, signal.decimals)
    if signal.every_s:
        unsent = (c.time_s // c.step_s) % max(1, signal.every_s // c.step_s) != 0
        unsent[0] &= not fresh
        values[:, unsent] = np.nan
    return values


def _clocks(fleet: Fleet, c: Conditions) -> Rows:
    """Seconds that the clocks of sensors are ahead, by signal."""
    ahead: Rows = {}
    for fault in fleet.sensor_faults:
        if fault.kind not in {"clock", "clock-drift"} or fault.asset not in c.assets:
            continue
        during = (c.time_s >= fault.start_s) & (c.time_s < fault.end_s)
        grown = (c.time_s - fault.start_s) / (fault.end_s - fault.start_s) if fault.kind == "clock-drift" else 1.0
        row = ahead.setdefault(fault.signal, np.zeros((len(c.assets), len(c.time_s))))[c.assets.index(fault.asset)]
        row += np.where(during, fault.size * grown, 0.0)
    return ahead


def _changes(name: str, true: Floats, sent: dict[str, Floats]) -> Floats:
    before = sent.get(name, np.full(len(true), np.nan))
    sent[name] = true[:, -1].copy()
    changed = np.concatenate((before[:, np.newaxis], true[:, :-1]), axis=1) != true
    return np.where(changed, true, np.nan)


def _spoil(
    values: Floats, row: int, c: Conditions, fault: SensorFault, sigma: Floats | float, sent: dict[str, Floats]
) -> None:
    during = np.flatnonzero((c.time_s >= fault.start_s) & (c.time_s < fault.end_s))
    if not len(during):
        return
    part = values[row, during]
    if fault.kind == "drift":
        grown = (c.time_s[during] - fault.start_s) / (fault.end_s - fault.start_s)
        part = part * (1.0 + fault.size * grown)
    elif fault.kind == "stuck":
        held = sent.setdefault(f"{fault.asset} {fault.signal} {fault.start_s}", part[:1].copy())
        part = np.full_like(part, held[0])
    elif fault.kind == "noise":
        extra = normal(keys(c.seed, [fault.asset], "sensor-noise"), c.time_s[during])[0]
        part = part + fault.size * np.broadcast_to(sigma, values.shape)[row, during] * extra
    elif fault.kind == "dropout":
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
