"""OPC UA to stored score: every worker as ``wheeltapper up`` runs it, against a bare client that only counts."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench import stored
from tests.bench.harness import CannotRunError, Goal, Options, Result, compared
from tests.bench.installation import Running, resources
from tests.bench.machine import Meter
from tests.bench.source.process import SourceProcess
from tests.bench.source.schedule import Schedule
from wheeltapper_operator.compile.placement import COMMIT_ROWS

NAME: Final = "opcua"
_MS: Final = 10**6
_SECOND: Final = 10**9
PLANT: Final = Schedule(assets=200, signals=10, period_ns=50 * _MS, slots=10)
_ROOT: Final = Path(__file__).parents[2]
OTHERS: Final = ("command", "nats-server", "source")
"""What is measured beside the workers."""


def run(options: Options) -> Result:
    """Samples a second that are stored with their scores: as fast as it goes, and at a steady rate."""
    flood, count, steady_s = (400_000, 40_000, 5) if options.quick else (1_600_000, 100_000, 10)
    sent: stored.Sent = []
    ours, peer, floods, client = [], [], [], []
    with SourceProcess("opcua_server", PLANT) as source, running(source) as up:
        first_ns = (time.time_ns() // _SECOND - 7200) * _SECOND
        for _ in range(options.rounds(3)):
            client.append(bare_client(count))
            peer.append(client[-1]["count"] / client[-1]["seconds"])
            schedule = replace(PLANT, first_ns=first_ns)
            floods.append(flooded(up, source, schedule, flood))
            sent.append((schedule, flood))
            ours.append(floods[-1]["samplesPerSecond"])
            first_ns += (flood // PLANT.series * PLANT.period_ns // _SECOND + 10) * _SECOND
        steady = []
        for rate in (20_000, 40_000):
            schedule = replace(PLANT, period_ns=PLANT.series * _SECOND // rate)
            sent.append(paced(up, source, schedule, steady_s, steady))
        checked = stored.check(up.tables, sent)
    at20, at40 = (case["workerCores"] for case in steady)
    return Result(
        NAME,
        f"OPC UA to stored score, {PLANT.series:,} signals of {PLANT.assets} machines",
        "samples/s",
        ours,
        checked + "; the bare client counted the same samples, and their sum is exact",
        peer=peer,
        peer_name="bare asyncua client that counts",
        goals=[
            Goal("cores of all workers at 20,000 samples/s, nothing lost", at20, "cores", most=1.5),
            Goal("cores of all workers at 40,000 samples/s, nothing lost", at40, "cores", most=1.5),
            Goal("most that is stored with its score", median(ours), "samples/s", least=20_000, aim=40_000),
        ],
        processes=steady[-1]["processes"],
        details={
            "steady": steady,
            "floods": floods,
            "peerSamplesPerCpuSecond": round(median(one["count"] / one["cpuSeconds"] for one in client)),
            "oursSamplesPerCpuSecond": round(median(one["samplesPerCpuSecond"] for one in floods)),
        },
    )


@contextmanager
def running(source: SourceProcess, schedule: Schedule = PLANT, **pipeline: Any) -> Iterator[Running]:
    """The installation, collecting from a source."""
    port = source.answer("port")["port"]
    interval = pipeline.pop("publishing", "100ms")
    connection = {"opcua": {"endpoint": f"opc.tcp://127.0.0.1:{port}", "publishingInterval": interval}}
    addresses = [{"name": f"s{at}", "node": f"ns=2;s={{tag}}.S{at}"} for at in range(schedule.signals)]
    with Running(resources(schedule, connection, addresses, **pipeline)) as up:
        source.answer("monitored")
        yield up


def flooded(up: Running, source: SourceProcess, schedule: Schedule, rows: int) -> dict[str, Any]:
    """Send rows as fast as they are asked for, and wait until they are stored and scored."""
    before = len(stored.commits(up.tables, "raw"))
    meter = Meter(up.processes() | {"source": source.pid})
    meter.start()
    started = time.time()
    source.send("flood", schedule, rows)
    source.answer("sent", 120)
    up.wait(up.stored, 60, "Storing all that was sent")
    used = meter.stop()
    workers = sum(one["cpuSeconds"] for one in used if one["name"] not in OTHERS)
    scored = rows / (stored.last_score(up.tables, schedule, rows) - started)
    return {
        "samplesPerSecond": round(min(scored, stored_rate(up, before, rows, started))),
        "samplesPerCpuSecond": round(rows / workers),
        "rows": rows,
        "processes": used,
    }


def stored_rate(up: Running, before: int, rows: int, started: float) -> float:
    """Rows of the commits so far over the time so far, at the best commit of the second half.

    The last commit is left to its timer, which waits for more rows that do not come. Too few rows for a commit by their
    number say nothing, and are held against nobody.
    """
    if rows < COMMIT_ROWS:
        return math.inf
    rates, done = [], 0
    for moment, count in stored.commits(up.tables, "raw")[before:]:
        done += count
        if 2 * done >= rows:
            rates.append(done / (moment - started))
    return max(rates)


def paced(
    up: Running, source: SourceProcess, schedule: Schedule, seconds: int, found: list[dict[str, Any]]
) -> tuple[Schedule, int]:
    """Send samples when their time comes; what it took is added to ``found``."""
    schedule = replace(schedule, first_ns=(time.time_ns() // _SECOND + 1) * _SECOND)
    rows = int(schedule.rate * seconds)
    meter = Meter(up.processes() | {"source": source.pid})
    source.send("pace", schedule, rows)
    time.sleep(max(0.0, schedule.first_ns / 1e9 - time.time()))
    meter.start()
    told = source.answer("sent", seconds + 30)
    up.wait(up.stored, 60, "Storing all that was sent")
    used = meter.stop(seconds)  # the last commit comes later, and is part of the work
    behind = told["mostWaiting"] / schedule.rate
    if behind > 1:
        raise CannotRunError(f"At {schedule.rate:,.0f} samples/s the collector was {behind:.1f} s behind its source")
    newest_s = schedule.times_ns(rows - 1, rows)[0] // _SECOND
    found.append(
        {
            "samplesPerSecond": round(schedule.rate),
            "seconds": seconds,
            "workerCores": round(sum(one["cores"] for one in used if one["name"] not in OTHERS), 3),
            "sourceMostWaitingSeconds": round(behind, 3),
            "lastScoreAfterItsWindowSeconds": round(stored.last_score(up.tables, schedule, rows) - newest_s, 3),
            "processes": used,
        }
    )
    return schedule, rows


def bare_client(rows: int) -> dict[str, Any]:
    """What the client of asyncua takes when it does nothing but count."""
    schedule = replace(PLANT, first_ns=(time.time_ns() // _SECOND - 3600) * _SECOND)
    with SourceProcess("opcua_server", schedule) as source:
        url = f"opc.tcp://127.0.0.1:{source.answer('port')['port']}"
        command = [sys.executable, "-m", "tests.bench.source.asyncua_client", url]
        command += [str(PLANT.assets), str(PLANT.signals), str(rows)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as client:
            assert client.stdout is not None
            client.stdout.readline()
            source.answer("monitored")
            source.send("flood", schedule, rows)
            found: dict[str, Any] = json.loads(client.stdout.readline() or "{}")
    if not found:
        raise CannotRunError("The bare client ended without a count")
    compared(("The client's count", found["count"], rows), ("The client's sum", found["total"], schedule.total(rows)))
    return found
