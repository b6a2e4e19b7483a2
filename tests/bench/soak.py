"""``python -m tests.bench.soak [--hours 24] [--speed N]``: hours of a plant through an installation; nothing may grow.

Time is compressed, all else is real: OPC UA, every worker, the NATS server, the tables. Each hour is sent as fast as it
is asked for, and the next one when all of it is stored and scored.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench import machine, stored
from tests.bench.harness import Goal, Options, Result
from tests.bench.installation import TENANT, Running
from tests.bench.opcua import running
from tests.bench.source.process import SourceProcess
from tests.bench.source.schedule import Schedule
from wheeltapper_api.fields import size_bytes
from wheeltapper_workers.history.historian import COMPACT_FILES
from wheeltapper_workers.history.tables import TABLES, Store

NAME: Final = "soak"
PLANT: Final = Schedule(assets=50, signals=10, period_ns=10**9)
_CHUNK_S: Final = 3600
_WARM: Final = 0.25
"""Share of the hours after which everything should have what it needs."""
_GROWTH: Final = 1.10
_STORAGE: Final = "4Gi"
"""Of the tenant; small enough for a day to fill the streams' share of it several times."""
_STREAMS_SHARE: Final = 0.45
_NOT_OURS: Final = ("source", "command")


def run(options: Options, hours: int | None = None, speed: float | None = None) -> Result:
    """Growth of the process that grew most, from the first quarter to the last."""
    chunks = round(hours or (4 if options.quick else 24))
    sent: stored.Sent = []
    looks: list[dict[str, Any]] = []
    with SourceProcess("opcua_server", PLANT) as source, running(source, PLANT, storage=_STORAGE) as up:
        first_ns = (time.time_ns() // 10**9 - (chunks + 6) * (_CHUNK_S + 60)) * 10**9
        started = time.monotonic()
        for chunk in range(chunks):
            sent.append(_send(up, source, first_ns + chunk * (_CHUNK_S + 60) * 10**9, speed))
            looks.append({"hours": chunk + 1, **_look(up)})
            print(json.dumps(looks[-1]), file=sys.stderr, flush=True)
        elapsed = time.monotonic() - started
        checked = stored.check(up.tables, sent)
    return _result(looks, elapsed, chunks, checked)


def _send(up: Running, source: SourceProcess, first_ns: int, speed: float | None) -> tuple[Schedule, int]:
    began = time.monotonic()
    schedule = replace(PLANT, first_ns=first_ns)
    rows = PLANT.series * _CHUNK_S
    source.send("flood", schedule, rows)
    source.answer("sent", 300)
    up.wait(lambda: _stored(up, schedule, rows), 300, "Storing an hour")
    if speed:
        time.sleep(max(0.0, _CHUNK_S / speed - (time.monotonic() - began)))
    return schedule, rows


def _stored(up: Running, schedule: Schedule, rows: int) -> bool:
    """Positions alone could be those of the chunk before."""
    return up.stored() and stored.count(up.tables, schedule, rows) == rows


def _look(up: Running) -> dict[str, Any]:
    """What may not grow: memory by process, live files and commits since the last checkpoint by table, stream bytes."""
    processes = {name: pid for name, pid in up.processes().items() if name not in _NOT_OURS}
    opened = {name: Store(up.tables).open(TENANT, name) for name in TABLES}
    tables = {name: table for name, table in opened.items() if table is not None}
    behind = [
        _since_checkpoint(Path(up.tables, TENANT, name, "_delta_log"), table.version())
        for name, table in tables.items()
    ]
    return {
        "residentMiB": {name: round(machine.resident_mib(pid)[0]) for name, pid in sorted(processes.items())},
        "files": sum(len(table.file_uris()) for table in tables.values()),
        "mostFiles": max((len(table.file_uris()) for table in tables.values()), default=0),
        "commits": sum(table.version() for table in tables.values()),
        "sinceCheckpoint": max(behind, default=0),
        "streamMiB": round(_stream_bytes(up) / 2**20),
    }


def _since_checkpoint(log: Path, version: int) -> int:
    last = log / "_last_checkpoint"
    return version - int(json.loads(last.read_text())["version"]) if last.exists() else version


def _stream_bytes(up: Running) -> int:
    async def read(client: Any) -> int:
        return sum([info.state.bytes for info in await client.jetstream().streams_info()])

    return up.ask(read)


def _result(looks: list[dict[str, Any]], elapsed: float, chunks: int, checked: str) -> Result:
    quarter = max(1, int(len(looks) * _WARM))
    growth = dict(_growth(looks[:quarter], looks[-quarter:]))
    last = looks[-1]
    simulated = chunks * _CHUNK_S
    bound = size_bytes(_STORAGE) * _STREAMS_SHARE / 2**20
    return Result(
        NAME,
        f"{simulated / 3600:g} hours of {PLANT.assets} machines with {PLANT.series} signals, "
        f"{simulated / elapsed:,.0f} times as fast as the plant: largest growth of a process's memory",
        "x",
        [max(growth.values())],
        checked,
        better="lower",
        goals=[
            *(Goal(f"memory of {name}, end against warm", ratio, "x", most=_GROWTH) for name, ratio in growth.items()),
            Goal("live files of a table", last["mostFiles"], "files", most=2 * COMPACT_FILES + 60),
            Goal("commits since a table's last checkpoint", last["sinceCheckpoint"], "commits", most=40),
            Goal("all streams", last["streamMiB"], "MiB", most=bound),
        ],
        details={"hours": looks[3::4] or looks},
    )


def _growth(warm: list[dict[str, Any]], late: list[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    """By process, its usual memory in the last quarter against the most it took in the first."""
    for name in late[-1]["residentMiB"]:
        most = max(look["residentMiB"].get(name, 0) for look in warm)
        usual = median(look["residentMiB"][name] for look in late if name in look["residentMiB"])
        yield name, usual / most if most else float("inf")


def main() -> int:
    """Run it, keep the result for the page, and print it."""
    from tests.bench.__main__ import keep  # noqa: PLC0415 - that module knows this one

    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__.partition(":")[2])
    parser.add_argument("--hours", type=int, default=24, help="simulated hours (default 24)")
    parser.add_argument("--speed", type=float, help="simulated seconds a second at most; left out, as fast as it goes")
    options = parser.parse_args()
    surroundings = machine.Surroundings()
    document = run(Options(), options.hours, options.speed).document(surroundings)
    keep(NAME, document)
    print(json.dumps(document, allow_nan=False))
    return 0 if all(goal["met"] for goal in document["goals"]) else 1


if __name__ == "__main__":
    sys.exit(main())
