"""Live plant: simulate each second as it comes and serve it over OPC UA."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from wheeltapper_workers.simulator.clock import NS, PlantClock, load_clock, resumed, started, store_clock
from wheeltapper_workers.simulator.disturb import GOOD, Sample, active, disturbed
from wheeltapper_workers.simulator.errors import SimulatorError
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
        self.served: dict[int, Sample] = {}
        self.warned_s = float("-inf")


async def run(
    scenario: Scenario,
    url: str,
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
    url : str
        Such as ``opc.tcp://127.0.0.1:4840``.
    state_dir : Path
        Folder for clock and truth; created if missing.
    stop : asyncio.Event
    ready : callable, optional
        Called once the server answers; first values are there by then.
    speed : float
        Simulated seconds per real second.

    Raises
    ------
    SimulatorError
        If the port is in use, the state file is damaged, or the speed is not above zero.
    """
    if not 0.0 < speed <= 10_000.0:
        raise SimulatorError(f"Speed {speed} is not usable: choose a number above 0 and up to 10000.")
    plant = _Plant(scenario, load_clock(state_dir / STATE_FILE))
    names = [node_name(asset, signal) for asset, signal in plant.series]
    first = partial(_start, plant, state_dir / STATE_FILE, speed)
    async with serve(url, "Wheeltapper simulated plant", names, first, _QUEUE_LIMIT) as variables:
        _log.info("Simulated plant with %d pumps serves at %s", len(scenario.pumps), url)
        if ready is not None:
            ready()
        await _follow_clock(plant, variables, state_dir / TRUTH_FILE, stop)


async def _follow_clock(plant: _Plant, variables: Variables, truth_path: Path, stop: asyncio.Event) -> None:
    clock = plant.clock
    truth_ns = written_until_ns(truth_path, clock.epoch_ns)
    while True:
        end_ns = plant.next_s * NS
        append_truth(truth_path, truth(plant.scenario, truth_ns, end_ns, epoch_ns=clock.epoch_ns))
        truth_ns = max(truth_ns, end_ns)
        if await wait_until(stop, (clock.real_ns(end_ns) - time.time_ns()) / NS):
            return
        await _serve_due_seconds(plant, variables, stop)


def _start(plant: _Plant, path: Path, speed: float) -> list[Sample]:
    """Set the plant's clock going and return the values of its first second."""
    now_ns = time.time_ns()
    plant.clock = started(now_ns, speed) if plant.stored is None else resumed(plant.stored, now_ns, speed)
    store_clock(path, plant.clock)
    plant.next_s = plant.clock.simulated_ns(now_ns) // NS
    chunk = _advance(plant, plant.next_s + 1)
    # The very first values are never disturbed: a node has to show its type once before it can show another one.
    samples = list(_undisturbed(chunk, 0))
    plant.served = dict(enumerate(samples))
    return samples


def _advance(plant: _Plant, end_s: int) -> Chunk:
    chunk = simulate(plant.scenario, plant.clock.epoch_ns // NS, plant.next_s, end_s, plant.state)
    plant.next_s, plant.state = end_s, chunk.state
    return chunk


async def _serve_due_seconds(plant: _Plant, variables: Variables, stop: asyncio.Event) -> None:
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
        await _write_second(plant, variables, chunk, second)
        if await wait_until(stop, 0.0):
            return


def _undisturbed(chunk: Chunk, second: int) -> Iterator[Sample]:
    source_ns = int(chunk.time_s[second]) * NS
    for value in chunk.values[:, :, second].ravel().tolist():
        yield Sample(value, GOOD, source_ns)
    yield Sample(float(chunk.ambient_cel[second]), GOOD, source_ns)


async def _write_second(plant: _Plant, variables: Variables, chunk: Chunk, second: int) -> None:
    epoch_ns = plant.clock.epoch_ns
    disturbances = active(plant.scenario, epoch_ns, int(chunk.time_s[second]) * NS)
    for position, sample in enumerate(_undisturbed(chunk, second)):
        disturbance = disturbances.get(plant.series[position])
        given = sample
        if disturbance is not None:
            changed = disturbed(sample, disturbance, plant.served.get(position), epoch_ns)
            if changed is None:
                continue
            given = changed
        plant.served[position] = given
        await variables.write(position, given)
