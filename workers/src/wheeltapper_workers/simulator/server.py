"""Live plant: simulate each second as it comes and serve it over OPC UA and MQTT."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from wheeltapper_workers.simulator.clock import NS, PlantClock, load_clock, resumed, started, store_clock
from wheeltapper_workers.simulator.disturb import GOOD, Sample, Series, active, disturbed
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.mqtt import Publisher, topic
from wheeltapper_workers.simulator.opcua import Variables, serve, wait_until
from wheeltapper_workers.simulator.plant import Chunk, State, simulate
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.signals import AMBIENT, SIGNAL_NAMES, node_name
from wheeltapper_workers.simulator.truth import append_truth, truth, written_until_ns

STATE_FILE: Final = "plant.json"
TRUTH_FILE: Final = "truth.jsonl"
_QUEUE_LIMIT: Final = 10_000
_LATE_S: Final = 2.0
_GIVE_UP_S: Final = 60.0
_WARN_EVERY_S: Final = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a plant is served: an OPC UA address to listen at, and an MQTT broker to publish to.

    ``credentials`` is a folder with the files ``username`` and ``password`` for the broker.
    """

    opcua: str | None = None
    mqtt: str | None = None
    credentials: Path | None = None


class _Outlet(Protocol):
    async def serve(self, samples: Iterable[tuple[Series, Sample]]) -> None:
        """Serve those of the samples that go this way."""


class _Plant:
    """What the loop carries from second to second; the clock runs once `_start` has set it."""

    def __init__(self, scenario: Scenario, stored: PlantClock | None) -> None:
        self.scenario = scenario
        self.stored = stored
        self.clock = stored or started(0, 1.0)
        self.next_s = 0
        self.state: State | None = None
        self.series = [(asset, signal) for asset in scenario.assets for signal in SIGNAL_NAMES]
        self.series.append((scenario.station, AMBIENT))
        self.served: dict[Series, Sample] = {}
        self.warned_s = float("-inf")


async def run(
    scenario: Scenario,
    endpoints: Endpoints,
    state_dir: Path,
    stop: asyncio.Event,
    ready: Callable[[], None] | None = None,
    speed: float = 1.0,
) -> None:
    """Serve the plant until `stop` is set.

    Every second of plant time, all values are written with that second as their source time. The state folder keeps the
    plant's clock (``plant.json``) and the ground truth (``truth.jsonl``), so a later run continues the same history.

    Parameters
    ----------
    scenario : Scenario
    endpoints : Endpoints
        Each protocol that an area of the scenario is served by needs its own.
    state_dir : Path
        Folder for clock and truth; created if missing.
    stop : asyncio.Event
    ready : callable, optional
        Called once the OPC UA server answers; first values are there by then.
    speed : float
        Simulated seconds per real second.

    Raises
    ------
    SimulatorError
        If an endpoint is missing or wrong, the port is in use, the state file is damaged, or the speed is not above
        zero. A broker that does not answer is no error: a plant measures all the same.
    """
    if not 0.0 < speed <= 10_000.0:
        raise SimulatorError(f"Speed {speed} is not usable: choose a number above 0 and up to 10000.")
    plant = _Plant(scenario, load_clock(state_dir / STATE_FILE))
    async with AsyncExitStack() as stack:
        outlets = await _open(plant, endpoints, lambda: _start(plant, state_dir / STATE_FILE, speed), stack)
        if ready is not None:
            ready()
        await _follow_clock(plant, outlets, state_dir / TRUTH_FILE, stop)


async def _open(
    plant: _Plant, endpoints: Endpoints, start: Callable[[], Mapping[Series, Sample]], stack: AsyncExitStack
) -> list[_Outlet]:
    """Outlets of the plant; it starts when the slowest of them is ready for the first values."""
    routes = _routes(plant)
    for protocol in routes:
        if getattr(endpoints, protocol) is None:
            raise SimulatorError(f"An area of the plant is served by {protocol}: say where, with --{protocol}.")
    outlets: list[_Outlet] = []
    first: Mapping[Series, Sample] | None = None
    if endpoints.opcua and "opcua" in routes:
        series = list(routes["opcua"])

        def values() -> Iterable[Sample]:
            nonlocal first
            first = start()
            return (first[one] for one in series)

        names = [node_name(asset, signal) for asset, signal in series]
        name = "Wheeltapper simulated plant"
        variables = await stack.enter_async_context(serve(endpoints.opcua, name, names, values, _QUEUE_LIMIT))
        outlets.append(_Nodes(variables, series))
        _log.info("Simulated plant serves %d nodes at %s", len(series), endpoints.opcua)
    if endpoints.mqtt and "mqtt" in routes:
        client = f"simulated-{plant.scenario.station}"
        publisher = stack.enter_context(Publisher(endpoints.mqtt, endpoints.credentials, client, routes["mqtt"]))
        await publisher.serve((first or start()).items())
        outlets.append(publisher)
    return outlets


def _routes(plant: _Plant) -> dict[str, dict[Series, list[str]]]:
    """Series that go by each protocol, with their topics."""
    scenario = plant.scenario
    routes: dict[str, dict[Series, list[str]]] = {}
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


class _Nodes:
    """OPC UA nodes of series."""

    def __init__(self, variables: Variables, series: Sequence[Series]) -> None:
        self._variables, self._positions = variables, {one: position for position, one in enumerate(series)}

    async def serve(self, samples: Iterable[tuple[Series, Sample]]) -> None:
        for series, sample in samples:
            if series in self._positions:
                await self._variables.write(self._positions[series], sample)


async def _follow_clock(plant: _Plant, outlets: Sequence[_Outlet], truth_path: Path, stop: asyncio.Event) -> None:
    clock = plant.clock
    truth_ns = written_until_ns(truth_path, clock.epoch_ns)
    while True:
        end_ns = plant.next_s * NS
        append_truth(truth_path, truth(plant.scenario, truth_ns, end_ns, epoch_ns=clock.epoch_ns))
        truth_ns = max(truth_ns, end_ns)
        if await wait_until(stop, (clock.real_ns(end_ns) - time.time_ns()) / NS):
            return
        await _serve_due_seconds(plant, outlets, stop)


def _start(plant: _Plant, path: Path, speed: float) -> Mapping[Series, Sample]:
    """Set the plant's clock going and return the values of its first second."""
    now_ns = time.time_ns()
    plant.clock = started(now_ns, speed) if plant.stored is None else resumed(plant.stored, now_ns, speed)
    store_clock(path, plant.clock)
    plant.next_s = plant.clock.simulated_ns(now_ns) // NS
    chunk = _advance(plant, plant.next_s + 1)
    # The very first values are never disturbed: a node has to show its type once before it can show another one.
    plant.served = dict(_undisturbed(plant, chunk, 0))
    return plant.served


def _advance(plant: _Plant, end_s: int) -> Chunk:
    chunk = simulate(plant.scenario, plant.clock.epoch_ns // NS, plant.next_s, end_s, plant.state)
    plant.next_s, plant.state = end_s, chunk.state
    return chunk


async def _serve_due_seconds(plant: _Plant, outlets: Sequence[_Outlet], stop: asyncio.Event) -> None:
    now_ns = time.time_ns()
    due_s = max(plant.clock.simulated_ns(now_ns) // NS + 1, plant.next_s + 1)
    behind_s = (now_ns - plant.clock.real_ns(plant.next_s * NS)) / NS
    if behind_s > _GIVE_UP_S:
        _log.warning("Simulated plant was held up for %.0f s and skips that time: its values are a gap.", behind_s)
        plant.state, plant.next_s = None, due_s - 1
    elif behind_s > _LATE_S and now_ns / NS - plant.warned_s > _WARN_EVERY_S:
        plant.warned_s = now_ns / NS
        _log.warning(
            "Simulated plant is %.1f s behind at speed %g: lower the speed or the number of pumps.",
            behind_s,
            plant.clock.speed,
        )
    chunk = _advance(plant, due_s)
    for second in range(len(chunk.time_s)):
        given = _given(plant, chunk, second)
        for outlet in outlets:
            await outlet.serve(given.items())
        if await wait_until(stop, 0.0):
            return


def _undisturbed(plant: _Plant, chunk: Chunk, second: int) -> Iterator[tuple[Series, Sample]]:
    source_ns = int(chunk.time_s[second]) * NS
    values = [*chunk.values[:, :, second].ravel().tolist(), float(chunk.ambient_cel[second])]
    for series, value in zip(plant.series, values, strict=True):
        yield series, Sample(value, GOOD, source_ns)


def _given(plant: _Plant, chunk: Chunk, second: int) -> dict[Series, Sample]:
    """What instruments and servers make of a second; a series that is not updated is not in it."""
    epoch_ns = plant.clock.epoch_ns
    disturbances = active(plant.scenario, epoch_ns, int(chunk.time_s[second]) * NS)
    given: dict[Series, Sample] = {}
    for series, sample in _undisturbed(plant, chunk, second):
        disturbance = disturbances.get(series)
        changed = disturbed(sample, disturbance, plant.served.get(series), epoch_ns) if disturbance else sample
        if changed is not None:
            given[series] = changed
    plant.served |= given
    return given
