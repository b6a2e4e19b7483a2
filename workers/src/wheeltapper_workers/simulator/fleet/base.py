"""What every simulated machine of a fleet has: signals, conditions it runs under, and a state from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from wheeltapper_workers.simulator.pump import first_order
from wheeltapper_workers.simulator.randomness import Floats, Ints, keys, normal, uniform, wander

STOPPED, STARTING, RUNNING, TRIPPED = 0.0, 1.0, 2.0, 3.0
TURNING: Final = 0.02
"""Speed ratio above which a machine counts as turning."""

Rows = dict[str, Floats]
"""Arrays [n_assets, n_times] by signal."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal of a machine and its transmitter.

    ``share`` and ``floor`` are one standard deviation of its noise: of the value, and in the signal's unit. Signals on
    change have no noise.
    """

    name: str
    decimals: int = 3
    share: float = 0.0
    floor: float = 0.0
    on_change: bool = False
    every_s: int = 0
    """Seconds between two samples; 0 means every step."""
    texts: tuple[str, ...] = ()
    """Texts of a context signal; its value is a position in them."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a chunk of time asks of the machines of one class; arrays are [n_assets, n_times] unless said otherwise."""

    seed: int
    assets: list[str]
    time_s: Ints
    """[n_times], seconds since 1970."""
    step_s: int
    speed: Floats
    """Speed over rated speed; ramps at starts and stops."""
    load: Floats
    """Demand over the rated one."""
    ambient_cel: Floats
    """[n_times]."""
    severity: Mapping[str, Floats]
    """Of each fault, 0 to 1."""

    def of(self, fault: str) -> Floats:
        """Severity of a fault."""
        return self.severity[fault] if fault in self.severity else np.zeros_like(self.speed)

    def wander(self, stream: str, period_s: int) -> Floats:
        """Slow random process of about unit variance."""
        return wander(keys(self.seed, self.assets, stream), self.time_s, period_s)

    def build(self, stream: str, low: float, high: float) -> Floats:
        """A constant of each machine, [n_assets, 1], from low to high: no two are built alike."""
        return low + (high - low) * uniform(keys(self.seed, self.assets, stream), np.zeros(1, np.int64))

    def noise(self, stream: str) -> Floats:
        """Independent standard normal numbers."""
        return normal(keys(self.seed, self.assets, stream), self.time_s)

    @property
    def turning(self) -> Floats:
        """1 while the machine turns, else 0."""
        return (self.speed > TURNING).astype(np.float64)


class Memory:
    """Values that have a past: temperatures and counters, carried from chunk to chunk."""

    def __init__(self, conditions: Conditions, before: Mapping[str, Floats] | None) -> None:
        self._conditions, self._before = conditions, before or {}
        self.after: dict[str, Floats] = {}

    def lagged(self, name: str, target: Floats, tau_s: float) -> Floats:
        """First-order response to a target; it starts settled."""
        start = self._before.get(name)
        values, self.after[name] = first_order(
            target, target[..., 0] if start is None else start, tau_s, float(self._conditions.step_s)
        )
        return values

    def counted(self, name: str, increments: Floats) -> Floats:
        """Running total of increments."""
        start = self._before.get(name)
        total = np.cumsum(increments, axis=-1) + (0.0 if start is None else start[..., np.newaxis])
        self.after[name] = total[..., -1].copy()
        return total

    def rises(self, name: str, flags: Floats) -> Floats:
        """Times that flags went from 0 to 1 so far."""
        last = self._before.get(f"{name}-last", flags[..., 0])
        self.after[f"{name}-last"] = flags[..., -1].copy()
        risen = np.diff(flags, axis=-1, prepend=last[..., np.newaxis]) > 0
        return self.counted(name, risen.astype(np.float64))

    def last(self, name: str, values: Floats) -> Floats:
        """Last value of the chunk before, [n_assets, 1]; the first one where there is none."""
        before = self._before.get(name, values[..., 0])[..., np.newaxis]
        self.after[name] = values[..., -1].copy()
        return before

    def hours(self) -> Floats:
        """Hours run so far."""
        return self.counted("hours", self.turning_hours())

    def turning_hours(self) -> Floats:
        """Hours run in each step."""
        return self._conditions.turning * (self._conditions.step_s / 3600.0)


@dataclass(frozen=True, slots=True)
class Burst:
    """What the vibration of a machine is made of at the time of a burst; arrays are [n_bursts, 1]."""

    speed_hz: Floats
    turning: Floats
    once_mm_s: Floats
    twice_mm_s: Floats
    impacts_m_s2: Floats
    noise_m_s2: Floats
    mesh_hz: Floats | float = 0.0
    mesh_m_s2: Floats | float = 0.0


class Machine(Protocol):
    """A class of machines."""

    @property
    def kind(self) -> str:
        """Name of the class."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """All but the waveform."""

    @property
    def faults(self) -> tuple[str, ...]:
        """Faults it knows."""

    @property
    def waveform(self) -> str:
        """Name of its waveform signal, or nothing."""

    def operate(self, conditions: Conditions, memory: Memory) -> Rows:
        """True values of all signals."""

    def burst(self, conditions: Conditions, rows: Rows) -> Burst:
        """Vibration at the times of the conditions, of which there is one an asset: [n_assets, 1]."""


def state_of(conditions: Conditions, memory: Memory) -> Floats:
    """The usual states: off, starting, running."""
    speed = conditions.speed
    rising = np.diff(speed, axis=-1, prepend=memory.last("speed", speed)) > 1e-6
    turning = conditions.turning > 0
    return np.where(turning, np.where(rising & (speed < 0.98), STARTING, RUNNING), STOPPED)


def friction_heat(conditions: Conditions, load: Floats, wear: Floats, grease: Floats) -> Floats:
    """Temperature rise of a rolling bearing over its healthy full-load rise: friction grows with speed and load.

    Damaged races and poor grease add to the friction moment (model of SKF's general catalogue: load-dependent and
    lubricant-dependent parts).
    """
    return np.asarray(conditions.speed * (0.55 + 0.45 * load) * (1.0 + 0.6 * wear + 0.9 * grease))


def velocity(conditions: Conditions, base: Floats, load: Floats, *extra: Floats) -> Floats:
    """RMS vibration velocity: a base in ISO 20816 zones A to B and independent sources, added in quadrature."""
    healthy = base * conditions.speed**2 * (0.8 + 0.2 * load)
    total = healthy**2 + 0.08**2
    for part in extra:
        total = total + (part * conditions.speed**2) ** 2
    return np.asarray(np.sqrt(total))
