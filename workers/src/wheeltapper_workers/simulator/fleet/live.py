"""A fleet as a plant: its classes computed some seconds at a time, and served second by second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from wheeltapper_workers.simulator.clock import NS
from wheeltapper_workers.simulator.disturb import GOOD, Sample, Series
from wheeltapper_workers.simulator.fleet.base import Machine, Signal
from wheeltapper_workers.simulator.fleet.fleet import Chunk, Fleet, State, simulate, warm
from wheeltapper_workers.simulator.fleet.machines import MACHINES
from wheeltapper_workers.simulator.fleet.scenario import FleetScenario
from wheeltapper_workers.simulator.history import SCHEMA
from wheeltapper_workers.simulator.mqtt import topic
from wheeltapper_workers.simulator.randomness import Floats, Ints
from wheeltapper_workers.simulator.served import Routes
from wheeltapper_workers.simulator.truth import TruthEvent

AHEAD_S: Final = 10
BULK_STEP_S: Final = 10
_GROUP_S: Final = 3600
_FOREVER_S: Final = 2**40
_GROWTH_POWER: Final = 1.5
"""Severity is time to this power; see ``fleet.simulate``."""


class FleetPlant:
    """Plant of a scenario of machines of any class."""

    def __init__(self, scenario: FleetScenario) -> None:
        self._scenario = scenario
        self._fleet: Fleet | None = None
        self._states: dict[str, State] = {}
        self._ready: dict[int, dict[Series, Sample]] = {}
        self._next_s = 0
        self._events: tuple[int, list[TruthEvent]] | None = None

    @property
    def name(self) -> str:
        """Name under which its gateway is known to a broker."""
        return f"simulated-{self._scenario.name}"

    def routes(self) -> Routes:
        """Everything that is measured, and how it is served."""
        routes: Routes = {}
        for area, kind, asset in self._scenario.placed():
            machine = MACHINES[kind]
            names = [signal.name for signal in machine.signals] + ([machine.waveform] if machine.waveform else [])
            for name in names:
                routes.setdefault(area.serve, {})[asset, name] = [topic(area.name, asset, name)]
        return routes

    def second(self, epoch_s: int, second_s: int) -> dict[Series, Sample]:
        """What is served of one second."""
        if second_s not in self._ready:
            self._compute(epoch_s, second_s)
        return self._ready.pop(second_s)

    def truth(self, start_ns: int, end_ns: int, epoch_ns: int) -> list[TruthEvent]:
        """Faults and faulty sensors in [start_ns, end_ns)."""
        if self._events is None or self._events[0] != epoch_ns:
            self._events = epoch_ns, sorted(_truth(self._scenario.fleet(epoch_ns // NS, _FOREVER_S, 1)))
        return [event for event in self._events[1] if start_ns <= event.time_ns < end_ns]

    def bulk(self, start_s: int, end_s: int, *, faults: bool) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Samples of every ten seconds in long form, a batch an hour; texts and waveforms have no column there."""
        fleet = self._scenario.fleet(start_s, end_s, BULK_STEP_S)
        if not faults:
            fleet = replace(fleet, faults=(), sensor_faults=())
        states = {kind: warm(fleet, kind, start_s) for kind in fleet.members}
        for first in range(start_s, end_s, _GROUP_S):
            until = min(first + _GROUP_S, end_s)
            chunks = {}
            for kind, state in states.items():
                chunks[kind], states[kind] = simulate(fleet, kind, first, until, state)
            yield until, _long(fleet, chunks)

    def _compute(self, epoch_s: int, second_s: int) -> None:
        if self._fleet is None:
            self._fleet = self._scenario.fleet(epoch_s, _FOREVER_S, 1)
        if second_s != self._next_s:
            self._states = {kind: warm(self._fleet, kind, second_s) for kind in self._fleet.members}
        self._next_s = second_s + AHEAD_S
        self._ready = {second: {} for second in range(second_s, self._next_s)}
        for kind, state in self._states.items():
            chunk, self._states[kind] = simulate(self._fleet, kind, second_s, self._next_s, state)
            for second, series, sample in _samples(MACHINES[kind], self._fleet.members[kind], chunk):
                self._ready[second][series] = sample


def _samples(machine: Machine, assets: list[str], chunk: Chunk) -> Iterator[tuple[int, Series, Sample]]:
    """Samples with the second in which each is served, whatever its own clock says."""
    times = chunk.time_s.tolist()
    for signal in machine.signals:
        values, ahead = chunk.values[signal.name], chunk.ahead_s.get(signal.name)
        for row, column in zip(*(index.tolist() for index in np.nonzero(~np.isnan(values))), strict=True):
            off_ns = 0 if ahead is None else round(float(ahead[row, column]) * NS)
            value = _value(signal, float(values[row, column]))
            yield times[column], (assets[row], signal.name), Sample(value, GOOD, times[column] * NS + off_ns)
    for burst in chunk.bursts:
        for position, samples in zip(burst.asset.tolist(), burst.samples, strict=True):
            wave = Sample(np.round(samples, 4).tolist(), GOOD, burst.time_s * NS)
            yield burst.time_s, (assets[position], machine.waveform), wave


def _value(signal: Signal, value: float) -> float | str:
    return signal.texts[int(value)] if signal.texts else value


def _truth(fleet: Fleet) -> Iterator[TruthEvent]:
    for fault in fleet.faults:
        yield TruthEvent(fault.onset_s * NS, fault.asset, "fault-onset", 0.0, fault.kind)
        for tenth in range(1, 11):
            grown = (tenth / 10) ** (1 / _GROWTH_POWER)
            at_ns = fault.onset_s * NS + int(grown * fault.growth_s * NS)
            yield TruthEvent(at_ns, fault.asset, "fault-severity", tenth / 10, fault.kind)
    for trouble in fleet.sensor_faults:
        name = f"{trouble.signal} {trouble.kind}"
        yield TruthEvent(trouble.start_s * NS, trouble.asset, "sensor-fault", fault=name)
        yield TruthEvent(trouble.end_s * NS, trouble.asset, "sensor-good", fault=name)


def _long(fleet: Fleet, chunks: dict[str, Chunk]) -> pa.RecordBatch:
    assets = [asset for members in fleet.members.values() for asset in members]
    signals = sorted({signal.name for kind in chunks for signal in MACHINES[kind].signals if not signal.texts})
    columns: list[tuple[Ints, Ints, Ints, Floats]] = []
    for kind, chunk in chunks.items():
        first = assets.index(fleet.members[kind][0])
        for signal in (signal for signal in MACHINES[kind].signals if not signal.texts):
            values = chunk.values[signal.name]
            row, column = np.nonzero(~np.isnan(values))
            time_ns = chunk.time_s[column] * NS
            if (ahead := chunk.ahead_s.get(signal.name)) is not None:
                time_ns = time_ns + np.round(ahead[row, column] * NS).astype(np.int64)
            columns.append((time_ns, row + first, np.full(len(row), signals.index(signal.name)), values[row, column]))
    time_ns, asset, of, value = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    order = np.argsort(time_ns, kind="stable")
    return pa.RecordBatch.from_arrays(
        [
            pa.array(time_ns[order]).cast(SCHEMA.field("time").type),
            pa.DictionaryArray.from_arrays(pa.array(asset[order].astype(np.int32)), pa.array(assets)),
            pa.DictionaryArray.from_arrays(pa.array(of[order].astype(np.int32)), pa.array(signals)),
            pa.array(value[order]),
        ],
        schema=SCHEMA,
    )
