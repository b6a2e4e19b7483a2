"""An alert's whole computation again from what is stored: an hour of 1,000 machines with 24 signals at 1 Hz."""

from __future__ import annotations

import tempfile
import time
from typing import Any, Final

from tests.bench.harness import Goal, Options, Result, compared, rounded
from tests.bench.recorded import LINE, Plant, Recording
from wheeltapper_workers.history.query import alerts, open_store
from wheeltapper_workers.history.replay import Replay, replay
from wheeltapper_workers.history.stored_telemetry import telemetry_in_order
from wheeltapper_workers.runtime import memory

NAME: Final = "replay"


def run(options: Options) -> Result:
    """Seconds of recorded time for a second of replay."""
    plant = Plant(assets=50) if options.quick else Plant()
    memory.keep_freed()  # as the command does
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        Recording(root, plant).make()
        (event,) = alerts(root, LINE.tenant)
        first, _ = _measured(root, event.data.alert_id)
        checked = _check(first, plant)
        runs = [_measured(root, event.data.alert_id) for _ in range(options.rounds(5))]
        for found, _ in runs:
            _check(found, plant)
        reading = [_read(root, first.blocks) for _ in range(options.rounds(5))]
    times = [found.blocks / found.seconds for found, _ in runs]
    return Result(
        NAME,
        f"Replay of {plant.assets:,} machines with {plant.signals} signals at 1 Hz",
        "times real time",
        times,
        checked,
        goals=[Goal("best of the runs", max(times), "times real time", least=200, aim=400)],
        details={
            "blocks": first.blocks,
            "samples": first.rows,
            "cpuSeconds": [rounded(cpu) for _, cpu in runs],
            "timesRealTimeForEachCpuSecond": rounded(first.blocks / min(cpu for _, cpu in runs)),
            "samplesPerCpuSecond": round(first.rows / min(cpu for _, cpu in runs)),
            "onlyReadingTheBlocks": [rounded(one) for one in reading],
        },
    )


def _measured(root: str, alert: str) -> tuple[Replay, float]:
    """What came of a replay, and its CPU seconds."""
    before = time.process_time()
    found = replay(root, LINE.tenant, alert)
    return found, time.process_time() - before


def _check(found: Replay, plant: Plant) -> str:
    """See that everything was made again, and is the same."""
    hops: dict[str, Any] = {hop.name: hop for hop in found.hops}
    windows = hops["features"].rows
    compared(
        ("Hops", list(hops), ["features", "scores", "events"]),
        ("First difference", [hop.first for hop in found.hops], [None] * 3),
        ("Limits of the comparison", (found.exact, found.notes), (True, [])),
        ("Samples", found.rows, found.blocks * plant.series),
        ("Every machine has a row a minute", windows >= (found.blocks // 60 - 1) * plant.assets, True),
        ("Scores", hops["scores"].rows, windows),
        ("Events", hops["events"].rows, 1),
    )
    return f"{windows:,} rows of features, {windows:,} of scores and the alert come out with the bits that are stored"


def _read(root: str, blocks: int) -> float:
    """Times real time of reading the same blocks and doing nothing with them."""
    began = time.perf_counter()
    found = sum(1 for _ in telemetry_in_order(open_store(root, LINE.tenant, None), LINE, blocks))
    compared(("Blocks read", found >= blocks - 1, True))
    return found / (time.perf_counter() - began)
