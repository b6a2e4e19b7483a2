"""Live plant: simulate each second as it comes and serve it over OPC UA and MQTT."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from wheeltapper_workers.simulator.clock import NS, PlantClock, load_clock, resumed, started, store_clock
from wheeltapper_workers.simulator.disturb import WAITING, Sample, Series
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.mqtt import Publisher
from wheeltapper_workers.simulator.opcua import Variables, serve, wait_until
from wheeltapper_workers.simulator.served import Plant
from wheeltapper_workers.simulator.signals import node_name
from wheeltapper_workers.simulator.truth import append_truth, written_until_ns

STATE_FILE: Final = "plant.json"
TRUTH_FILE: Final = "truth.jsonl"
_QUEUE_LIMIT: Final = 10_000
_LATE_S: Final = 2.0
_GIVE_UP_S: Final = 60.0
_WARN_EVERY_S: Final = 60.0
_NOTHING: Final = Sample(0.0, WAITING, 0)
"""Of a node whose first value is yet to come, such as a waveform's."""

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


class _Loop:
    """What is carried from second to second; the clock runs once `_start` has set it."""

    def __init__(self, plant: Plant, stored: PlantClock | None) -> None:
        self.plant = plant
        self.stored = stored
        self.clock = stored or started(0, 1.0)
        self.next_s = 0
        self.warned_s = float("-inf")


async def run(
    plant: Plant,
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
    plant : Plant
    endpoints : Endpoints
        Each protocol that an area of the plant is served by needs its own.
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
    loop = _Loop(plant, load_clock(state_dir / STATE_FILE))
    async with AsyncExitStack() as stack:
        outlets = await _open(plant, endpoints, lambda: _start(loop, state_dir / STATE_FILE, speed), stack)
        if ready is not None:
            ready()
        await _follow_clock(loop, outlets, state_dir / TRUTH_FILE, stop)


async def _open(
    plant: Plant, endpoints: Endpoints, start: Callable[[], Mapping[Series, Sample]], stack: AsyncExitStack
) -> list[_Outlet]:
    """Outlets of the plant; it starts when the slowest of them is ready for the first values."""
    routes = plant.routes()
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
            return (first.get(one, _NOTHING) for one in series)

        names = [node_name(asset, signal) for asset, signal in series]
        name = "Wheeltapper simulated plant"
        variables = await stack.enter_async_context(serve(endpoints.opcua, name, names, values, _QUEUE_LIMIT))
        outlets.append(_Nodes(variables, series))
        _log.info("Simulated plant serves %d nodes at %s", len(series), endpoints.opcua)
    if endpoints.mqtt and "mqtt" in routes:
        publisher = stack.enter_context(Publisher(endpoints.mqtt, endpoints.credentials, plant.name, routes["mqtt"]))
        await publisher.serve((first or start()).items())
        outlets.append(publisher)
    return outlets


class _Nodes:
    """OPC UA nodes of series."""

    def __init__(self, variables: Variables, series: Sequence[Series]) -> None:
        self._variables, self._positions = variables, {one: position for position, one in enumerate(series)}

    async def serve(self, samples: Iterable[tuple[Series, Sample]]) -> None:
        for series, sample in samples:
            position = self._positions.get(series)
            if position is not None:
                await self._variables.write(position, sample)


async def _follow_clock(loop: _Loop, outlets: Sequence[_Outlet], truth_path: Path, stop: asyncio.Event) -> None:
    clock = loop.clock
    truth_ns = written_until_ns(truth_path, clock.epoch_ns)
    while True:
        end_ns = loop.next_s * NS
        if end_ns > truth_ns:
            append_truth(truth_path, loop.plant.truth(truth_ns, end_ns, clock.epoch_ns))
        truth_ns = max(truth_ns, end_ns)
        if await wait_until(stop, (clock.real_ns(end_ns) - time.time_ns()) / NS):
            return
        await _serve_due_seconds(loop, outlets, stop)


def _start(loop: _Loop, path: Path, speed: float) -> Mapping[Series, Sample]:
    """Set the plant's clock going and return the values of its first second."""
    now_ns = time.time_ns()
    loop.clock = started(now_ns, speed) if loop.stored is None else resumed(loop.stored, now_ns, speed)
    store_clock(path, loop.clock)
    loop.next_s = loop.clock.simulated_ns(now_ns) // NS
    return _advance(loop)


def _advance(loop: _Loop) -> Mapping[Series, Sample]:
    samples = loop.plant.second(loop.clock.epoch_ns // NS, loop.next_s)
    loop.next_s += 1
    return samples


async def _serve_due_seconds(loop: _Loop, outlets: Sequence[_Outlet], stop: asyncio.Event) -> None:
    now_ns = time.time_ns()
    due_s = max(loop.clock.simulated_ns(now_ns) // NS + 1, loop.next_s + 1)
    behind_s = (now_ns - loop.clock.real_ns(loop.next_s * NS)) / NS
    if behind_s > _GIVE_UP_S:
        _log.warning("Simulated plant was held up for %.0f s and skips that time: its values are a gap.", behind_s)
        loop.next_s = due_s - 1
    elif behind_s > _LATE_S and now_ns / NS - loop.warned_s > _WARN_EVERY_S:
        loop.warned_s = now_ns / NS
        _log.warning(
            "Simulated plant is %.1f s behind at speed %g: lower the speed or the number of machines.",
            behind_s,
            loop.clock.speed,
        )
    while loop.next_s < due_s:
        samples = _advance(loop)
        for outlet in outlets:
            await outlet.serve(samples.items())
        if await wait_until(stop, 0.0):
            return
