"""The pump station as a plant: hydraulic pumps second by second, with a script and disturbed instruments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from wheeltapper_workers.simulator.clock import NS
from wheeltapper_workers.simulator.disturb import GOOD, Sample, Series, active, disturbed
from wheeltapper_workers.simulator.history import SCHEMA
from wheeltapper_workers.simulator.mqtt import topic
from wheeltapper_workers.simulator.plant import Chunk, State, simulate
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.served import Routes
from wheeltapper_workers.simulator.signals import AMBIENT, SIGNAL_NAMES
from wheeltapper_workers.simulator.truth import TruthEvent, truth

AHEAD_S: Final = 10
"""Seconds simulated at a time: arrays of one element would cost as much."""
_GROUP_S: Final = 600


class PumpStation:
    """Plant of a scenario of pumps."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._series = [(asset, signal) for asset in scenario.assets for signal in SIGNAL_NAMES]
        self._series.append((scenario.station, AMBIENT))
        self._chunk: Chunk | None = None
        self._served: dict[Series, Sample] = {}

    @property
    def name(self) -> str:
        """Name under which its gateway is known to a broker."""
        return f"simulated-{self._scenario.station}"

    def routes(self) -> Routes:
        """Everything that is measured, and how it is served."""
        scenario = self._scenario
        routes: Routes = {}
        for pump in scenario.pumps:
            area = scenario.area_of(pump)
            for signal in SIGNAL_NAMES:
                routes.setdefault(area.serve, {})[pump.name, signal] = [topic(area.name, pump.name, signal)]
        for area in scenario.areas:
            # One sensor measures what surrounds the machines, and each area is told.
            if area.serve in routes:
                told = routes[area.serve].setdefault((scenario.station, AMBIENT), [])
                told.append(topic(area.name, scenario.station, AMBIENT))
        return routes

    def second(self, epoch_s: int, second_s: int) -> dict[Series, Sample]:
        """What is served of one second; a series that is not updated is not in it."""
        chunk = self._chunk
        if chunk is None or not chunk.time_s[0] <= second_s <= chunk.time_s[-1]:
            follows = chunk is not None and second_s == chunk.time_s[-1] + 1
            state: State | None = chunk.state if chunk is not None and follows else None
            chunk = self._chunk = simulate(self._scenario, epoch_s, second_s, second_s + AHEAD_S, state)
        samples = self._undisturbed(chunk, second_s)
        if self._served:
            samples = self._disturbed(samples, epoch_s * NS, second_s * NS)
        self._served |= samples
        return samples

    def truth(self, start_ns: int, end_ns: int, epoch_ns: int) -> list[TruthEvent]:
        """What really happens in [start_ns, end_ns)."""
        return truth(self._scenario, start_ns, end_ns, epoch_ns=epoch_ns)

    def bulk(self, start_s: int, end_s: int, *, faults: bool) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Samples in long form, a batch per 10 minutes.

        Of a healthy past the script's kept-running times count from its end, taken as the first live start.
        """
        scenario = self._scenario if faults else self._scenario.model_copy(update={"faults": []})
        state: State | None = None
        for first in range(start_s, end_s, _GROUP_S):
            until = min(first + _GROUP_S, end_s)
            chunk = simulate(scenario, start_s if faults else end_s, first, until, state)
            state = chunk.state
            yield until, _long(scenario, chunk)

    def _undisturbed(self, chunk: Chunk, second_s: int) -> dict[Series, Sample]:
        column = second_s - int(chunk.time_s[0])
        values = [*chunk.values[:, :, column].ravel().tolist(), float(chunk.ambient_cel[column])]
        return {series: Sample(value, GOOD, second_s * NS) for series, value in zip(self._series, values, strict=True)}

    def _disturbed(self, samples: dict[Series, Sample], epoch_ns: int, time_ns: int) -> dict[Series, Sample]:
        disturbances = active(self._scenario, epoch_ns, time_ns)
        given: dict[Series, Sample] = {}
        for series, sample in samples.items():
            found = disturbances.get(series)
            changed = disturbed(sample, found, self._served.get(series), epoch_ns) if found else sample
            if changed is not None:
                given[series] = changed
        return given


def _long(scenario: Scenario, chunk: Chunk) -> pa.RecordBatch:
    """A chunk in long form; the ambient temperature once for each pump, whose twin reads it as a signal of its own."""
    n_assets, n_times = len(scenario.pumps), len(chunk.time_s)
    ambient = np.broadcast_to(chunk.ambient_cel, (n_assets, 1, n_times))
    values = np.concatenate([chunk.values, ambient], axis=1).transpose(2, 0, 1)
    signals = [*SIGNAL_NAMES, AMBIENT]
    per_second = n_assets * len(signals)
    asset = np.tile(np.repeat(np.arange(n_assets, dtype=np.int32), len(signals)), n_times)
    signal = np.tile(np.arange(len(signals), dtype=np.int32), n_times * n_assets)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(np.repeat(chunk.time_s * NS, per_second)).cast(SCHEMA.field("time").type),
            pa.DictionaryArray.from_arrays(pa.array(asset), pa.array(scenario.assets)),
            pa.DictionaryArray.from_arrays(pa.array(signal), pa.array(signals)),
            pa.array(np.ascontiguousarray(values).ravel()),
        ],
        schema=SCHEMA,
    )
