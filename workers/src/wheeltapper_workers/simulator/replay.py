"""Replays a recorded CSV over OPC UA, as fast as wanted, losing nothing."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from asyncua.ua.status_codes import StatusCodes

from wheeltapper_workers.simulator.clock import NS
from wheeltapper_workers.simulator.disturb import GOOD, Sample
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.opcua import Variables, serve, wait_until
from wheeltapper_workers.simulator.randomness import Floats, Ints
from wheeltapper_workers.simulator.recording import Recording, node_names, read_recording

Timestamps = Literal["shifted", "recorded"]
# Clients subscribe in several requests; the replay begins once no further one has come for so long.
_SETTLE_S: Final = 1.0
_REFRESH_S: Final = 0.25
_LATE_S: Final = 2.0
_QUEUE_LIMIT: Final = 10_000
_NO_DATA: Final = int(StatusCodes.BadNoData)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When each row is served and which source time it carries.

    Attributes
    ----------
    due_s : array of float64, shape [n_rows]
        Seconds after the beginning; never descending, even if the recording is out of order.
    duration_s : float
    source_ns : array of int64, shape [n_rows]
        Source time relative to the moment the replay begins (shifted, looped) or absolute (recorded).
    absolute : bool
    """

    due_s: Floats
    duration_s: float
    source_ns: Ints
    absolute: bool


def schedule(time_ns: Ints, speed: float, timestamps: Timestamps, loop: bool) -> Schedule:
    """Plan a replay.

    Shifted source times keep the recorded spacing and end at the moment the replay ends; so at a speed above 1 the
    first rows lie in the past and catch up. A loop has no end, so there source times are the moments of serving.
    """
    offset_s = (time_ns - time_ns[0]) / NS
    due_s = np.maximum(np.maximum.accumulate(offset_s), 0.0) / speed
    # In a loop the last row is held as long as rows usually are, before the first one comes again.
    hold_s = float(np.median(np.diff(due_s))) if len(due_s) > 1 else 1.0 / speed
    duration_s = float(due_s[-1]) + (max(hold_s, 0.001) if loop else 0.0)
    if timestamps == "recorded":
        return Schedule(due_s, duration_s, time_ns, absolute=True)
    if loop:
        return Schedule(due_s, duration_s, np.round(due_s * NS).astype(np.int64), absolute=False)
    return Schedule(due_s, duration_s, time_ns - time_ns.max() + round(duration_s * NS), absolute=False)


async def serve_csv(
    path: Path,
    timestamp_column: str,
    url: str,
    speed: float = 1.0,
    *,
    loop: bool = False,
    timestamps: Timestamps = "shifted",
    wait_s: float | None = None,
    exit_after_s: float | None = None,
    stop: asyncio.Event | None = None,
    ready: Callable[[], None] | None = None,
) -> int:
    """Serve every numeric column of a CSV as the OPC UA variable ``ns=2;s=<column without spaces and punctuation>``.

    The variables show the first row until a client has subscribed; then the rows follow in order. An empty cell is not
    served. At the end the server stays up with the last row.

    Parameters
    ----------
    path : Path
    timestamp_column : str
    url : str
        Such as ``opc.tcp://127.0.0.1:4840``.
    speed : float
        Recorded seconds per real second.
    loop : bool
        Begin again at the end, until stopped.
    timestamps : {"shifted", "recorded"}
        Whether source times are moved to the present (see `schedule`) or served as recorded.
    wait_s : float, optional
        Begin after so many seconds even if nobody has subscribed; without it, wait for a subscription.
    exit_after_s : float, optional
        Seconds to stay up after the last row; without it, until stopped.
    stop : asyncio.Event, optional
    ready : callable, optional
        Called once the server answers.

    Returns
    -------
    int
        Rows served.

    Raises
    ------
    RecordingError
        If the CSV cannot be replayed.
    SimulatorError
        If the port is in use or the options contradict each other.
    """
    if not (math.isfinite(speed) and speed > 0.0):
        raise SimulatorError(f"Speed {speed} is not usable: choose a number above 0.")
    if loop and timestamps == "recorded":
        raise SimulatorError(
            "A looped replay cannot keep recorded timestamps: time would run back. Choose one of the two."
        )
    recording = await asyncio.to_thread(read_recording, path, timestamp_column)
    plan = schedule(recording.time_ns, speed, timestamps, loop)
    stopping = stop if stop is not None else asyncio.Event()
    names = node_names(recording.columns)

    def first() -> list[Sample]:
        return _row(recording, plan, 0, time.time_ns())

    # Nobody who asks for a long queue loses a row, however slowly they fetch.
    limit = max(_QUEUE_LIMIT, len(recording.time_ns) + 1)
    async with serve(url, "Wheeltapper replay", names, first, limit) as variables:
        _log.info("Replay of %s (%d rows) serves at %s", path, len(recording.time_ns), url)
        if ready is not None:
            ready()
        begin_ns = await _await_subscriber(variables, recording, plan, wait_s, stopping)
        rows = await _replay(variables, recording, plan, begin_ns, loop, stopping)
        _log.info("Replay stopped after %d rows" if stopping.is_set() else "Replay finished: %d rows", rows)
        await wait_until(stopping, math.inf if exit_after_s is None else exit_after_s)
    return rows


def _row(recording: Recording, plan: Schedule, row: int, begin_ns: int) -> list[Sample]:
    source_ns = int(plan.source_ns[row]) + (0 if plan.absolute else begin_ns)
    values = recording.values[row].tolist()
    return [Sample(value, _NO_DATA if math.isnan(value) else GOOD, source_ns) for value in values]


async def _await_subscriber(
    variables: Variables, recording: Recording, plan: Schedule, wait_s: float | None, stop: asyncio.Event
) -> int:
    """Wait for subscriptions; return the moment (ns) the replay counts from.

    Until somebody subscribes, the first row's source time is kept at what it would be if the replay began now. From
    the first subscription on it stands, because it has then been delivered and must not appear a second time under
    another time.
    """
    changed = asyncio.Event()
    variables.on_subscribe = changed.set
    until = math.inf if wait_s is None else time.monotonic() + wait_s
    begin_ns = time.time_ns()
    while not changed.is_set() and time.monotonic() < until and not stop.is_set():
        begin_ns = time.time_ns()
        for position, sample in enumerate(_row(recording, plan, 0, begin_ns)):
            await variables.write(position, sample)
        await wait_until(changed, min(_REFRESH_S, until - time.monotonic()))
    while changed.is_set() and not variables.all_subscribed and not stop.is_set():
        changed.clear()
        await wait_until(changed, _SETTLE_S)
    variables.on_subscribe = None
    return begin_ns


async def _replay(
    variables: Variables, recording: Recording, plan: Schedule, begin_ns: int, loop: bool, stop: asyncio.Event
) -> int:
    """Serve all rows but the first, which is already there; in a loop, again and again."""
    rows = 1
    warned = False
    started = time.monotonic()
    first = 1
    while True:
        for row in range(first, len(recording.time_ns)):
            ahead_s = started + float(plan.due_s[row]) - time.monotonic()
            if await wait_until(stop, ahead_s):
                return rows
            if ahead_s < -_LATE_S and not warned:
                warned = True
                _log.warning("Replay is %.1f s behind its speed; nothing is lost, it only takes longer.", -ahead_s)
            for position, sample in enumerate(_row(recording, plan, row, begin_ns)):
                if sample.status == GOOD:
                    await variables.write(position, sample)
            rows += 1
        if not loop:
            return rows
        started += plan.duration_s
        begin_ns += round(plan.duration_s * NS)
        first = 0
