"""MQTT to stored score, every worker running, against a bare subscriber that only counts the same messages."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench import stored
from tests.bench.harness import CannotRunError, Goal, Options, Result, compared
from tests.bench.installation import Running, resources
from tests.bench.machine import Meter
from tests.bench.opcua import OTHERS, stored_rate
from tests.bench.source.process import SourceProcess
from tests.bench.source.schedule import Schedule
from tests.support.mosquitto import Broker

NAME: Final = "mqtt"
_MS: Final = 10**6
_SECOND: Final = 10**9
_PLANT: Final = Schedule(assets=100, signals=10, period_ns=100 * _MS, slots=10)
_ROOT: Final = Path(__file__).parents[2]


def run(options: Options) -> Result:
    """Messages a second that are stored with their scores."""
    rows = 20_000 if options.quick else 120_000
    sent: stored.Sent = []
    floods: list[dict[str, Any]] = []
    client: list[dict[str, Any]] = []
    steady: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        broker = _broker(Path(name))
        try:
            with SourceProcess("mqtt_publisher", _PLANT, port=broker.port) as source, _running(broker.port) as up:
                first_ns = (time.time_ns() // _SECOND - 7200) * _SECOND
                for _ in range(options.rounds(3)):
                    schedule = replace(_PLANT, first_ns=first_ns)
                    client.append(_bare_client(broker.port, source, schedule, rows))
                    floods.append(_flooded(up, source, schedule, rows))
                    sent.append((schedule, rows))
                    first_ns += (rows // _PLANT.series * _PLANT.period_ns // _SECOND + 10) * _SECOND
                sent.append(_paced(up, source, 3 if options.quick else 10, steady))
                checked = stored.check(up.tables, sent)
        finally:
            broker.kill()
    ours = [one["messagesPerSecond"] for one in floods]
    peer = [one["count"] / one["seconds"] for one in client]
    result = Result(
        NAME,
        f"MQTT to stored score, {_PLANT.series:,} topics, QoS 1, JSON with time",
        "messages/s",
        ours,
        checked + "; the bare subscriber counted the same messages and bytes",
        peer=peer,
        peer_name="bare paho subscriber that counts",
        processes=floods[-1]["processes"],
        details={
            "floods": floods,
            "steady": steady,
            "peerMessagesPerCpuSecond": round(median(one["count"] / one["cpuSeconds"] for one in client)),
            "collectorMessagesPerCpuSecond": round(median(one["perCollectorCpuSecond"] for one in floods)),
        },
    )
    result.goals.append(Goal("against the bare subscriber", result.ratio or 0, "x", least=0.5))
    return result


def _broker(folder: Path) -> Broker:
    # What the broker writes to disk is not what is compared here.
    broker = Broker(folder / "broker", persistence=False)
    try:
        broker.start()
    except AssertionError as error:
        raise CannotRunError(str(error)) from error
    return broker


def _running(port: int) -> Running:
    addresses = [
        {"name": f"s{at}", "topic": f"plant/{{tag}}/S{at}", "path": "$.v", "timePath": "$.t"}
        for at in range(_PLANT.signals)
    ]
    up = Running(resources(_PLANT, {"mqtt": {"url": f"mqtt://127.0.0.1:{port}"}}, addresses))
    try:
        up.wait(lambda: up.state.is_dir() and _subscribed(up), 60, "Subscribing")
    except BaseException:
        up.__exit__()
        raise
    return up


def _subscribed(up: Running) -> bool:
    if not any("collect" in name for name in up.processes()):
        return False
    return any(part.get("connected", False) for key, part in up.parts().items() if key.startswith("collect-"))


def _bare_client(port: int, source: SourceProcess, schedule: Schedule, rows: int) -> dict[str, Any]:
    source.send("prepare", schedule, rows, prefix="peer")
    source.answer("prepared", 60)
    command = [sys.executable, "-m", "tests.bench.source.paho_subscriber", str(port), "peer/#", str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as client:
        assert client.stdout is not None
        client.stdout.readline()
        source.send("flood", schedule, rows)
        found: dict[str, Any] = json.loads(client.stdout.readline() or "{}")
    source.answer("sent")
    compared(("The subscriber's count", found.get("count"), rows))
    return found


def _flooded(up: Running, source: SourceProcess, schedule: Schedule, rows: int) -> dict[str, Any]:
    source.send("prepare", schedule, rows, prefix="plant")
    source.answer("prepared", 60)
    before = len(stored.commits(up.tables, "raw"))
    meter = Meter(up.processes() | {"source": source.pid})
    meter.start()
    started = time.time()
    source.send("flood", schedule, rows)
    source.answer("sent", 120)
    up.wait(lambda: stored.count(up.tables, schedule, rows) >= rows and up.stored(), 90, "Storing all that was sent")
    used = meter.stop()
    (collector,) = [one["cpuSeconds"] for one in used if one["name"].startswith("collect")]
    scored = rows / (stored.last_score(up.tables, schedule, rows) - started)
    return {
        "messagesPerSecond": round(min(scored, stored_rate(up, before, rows, started))),
        "perWorkersCpuSecond": round(rows / sum(one["cpuSeconds"] for one in used if one["name"] not in OTHERS)),
        "perCollectorCpuSecond": round(rows / collector),
        "rows": rows,
        "processes": used,
    }


def _paced(up: Running, source: SourceProcess, seconds: int, found: list[dict[str, Any]]) -> tuple[Schedule, int]:
    """Messages at a fixed rate; what it took is added to ``found``."""
    schedule = replace(_PLANT, first_ns=(time.time_ns() // _SECOND + 3) * _SECOND)
    rows = int(schedule.rate * seconds)
    source.send("prepare", schedule, rows, prefix="plant")
    source.answer("prepared", 60)
    meter = Meter(up.processes() | {"source": source.pid})
    time.sleep(max(0.0, schedule.first_ns / 1e9 - time.time()))
    meter.start()
    source.send("pace", schedule, rows)
    source.answer("sent", seconds + 30)
    up.wait(lambda: stored.count(up.tables, schedule, rows) >= rows and up.stored(), 60, "Storing all that was sent")
    used = meter.stop(seconds)
    newest_s = schedule.times_ns(rows - 1, rows)[0] // _SECOND
    found.append(
        {
            "messagesPerSecond": round(schedule.rate),
            "seconds": seconds,
            "workerCores": round(sum(one["cores"] for one in used if one["name"] not in OTHERS), 3),
            "lastScoreAfterItsWindowSeconds": round(stored.last_score(up.tables, schedule, rows) - newest_s, 3),
            "processes": used,
        }
    )
    return schedule, rows
