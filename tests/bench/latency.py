"""From the sample that completes a window to the stored alert, every process running, and where the time goes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np
from nats.aio.client import Client

from tests.bench.harness import Goal, Options, Result, compared
from tests.bench.installation import NORMAL, Running
from tests.bench.machine import Meter
from tests.bench.opcua import running
from tests.bench.source.process import SourceProcess
from tests.bench.source.schedule import HIGH, LOW, Schedule
from wheeltapper_api.wire import HEADER_INPUT, AlertEvent, Stage
from wheeltapper_workers.runtime import blocks
from wheeltapper_workers.runtime.jetstream import Message, StreamReader

NAME: Final = "latency"
_MS: Final = 10**6
_SECOND: Final = 10**9
_PLANT: Final = Schedule(assets=100, signals=10, period_ns=100 * _MS, slots=1, step_ticks=20)
_LIMIT: Final = 6.0
_CLEAR: Final = 0.9
_WINDOW_TICKS: Final = 5
_WARM_S: Final = 3
_HOPS: Final = ("sampled to received", "received to telemetry stored", "features", "score", "alert")
_PARTS: Final = 3
"""Parts of the time, in which the 99th percentile is told apart: how steady it is."""
_PERCENTILES: Final = (50, 95, 99, 100)

Key = tuple[str, str, int]
"""Asset, state, and the window's end."""


def run(options: Options) -> Result:
    """Milliseconds of each alert."""
    seconds = 8 if options.quick else 40
    with SourceProcess("opcua_server", _PLANT) as source:
        pipeline = {"every": "100ms", "window": "500ms", "limit": _LIMIT, "hold": "0s", "publishing": "10ms"}
        with running(source, _PLANT, **pipeline) as up:
            schedule = replace(_PLANT, first_ns=(time.time_ns() // _SECOND + 1) * _SECOND)
            rows = int(schedule.rate * seconds)
            meter = Meter(up.processes() | {"source": source.pid})
            meter.start()
            source.send("pace", schedule, rows)
            source.answer("sent", seconds + 30)
            up.wait(up.stored, 60, "Storing all that was sent")
            used = meter.stop(seconds)
            streams = _streams(up)
    first_ns = schedule.first_ns + _WARM_S * _SECOND
    last_ns = int(schedule.times_ns(rows - 1, rows)[0]) - _SECOND
    found = [
        one for one in sorted(_alerts(streams), key=lambda one: one.stored_ns) if first_ns <= one.key[2] <= last_ns
    ]
    wanted = _expected(schedule, rows, first_ns, last_ns)
    differing = sorted({one.key for one in found} ^ wanted)
    compared(
        ("Alerts that differ from those expected", differing[:5], []), ("Number of alerts", len(found), len(wanted))
    )
    hops = np.array([one.hops_ms(schedule, streams) for one in found])
    total = hops.sum(axis=1)
    p50, p95, p99, most = (float(np.percentile(total, at)) for at in _PERCENTILES)
    return Result(
        NAME,
        f"Sample to stored alert at {schedule.rate:,.0f} samples/s",
        "ms",
        [_p99(part) for part in np.array_split(total, _PARTS)],
        f"the {len(found):,} alerts opened and cleared are those computed from the sent values, each of its window",
        better="lower",
        goals=[Goal("99 of 100 alerts", p99, "ms", most=50, aim=10)],
        processes=used,
        details={
            "alerts": len(found),
            "p50": round(p50, 2),
            "p95": round(p95, 2),
            "p99": round(p99, 2),
            "most": round(most, 2),
            "publishingIntervalMs": 10,
            "hops": {
                name: {f"p{at}": round(float(np.percentile(hops[:, place], at)), 2) for at in (50, 95, 99)}
                for place, name in enumerate(_HOPS)
            },
        },
    )


def _p99(milliseconds: np.ndarray) -> float:
    return float(np.percentile(milliseconds, 99))


@dataclass(frozen=True, slots=True)
class Found:
    """An alert event and the messages it was made of, by stream sequence."""

    key: Key
    stored_ns: int
    score: int

    def hops_ms(self, schedule: Schedule, streams: dict[Stage, dict[int, Message]]) -> list[float]:
        """Milliseconds of each hop."""
        score = streams[Stage.SCORES][self.score]
        features = streams[Stage.FEATURES][_input(score)]
        telemetry = streams[Stage.TELEMETRY][_input(features)]
        batch = blocks.from_bytes(telemetry.data, Stage.TELEMETRY)
        received = int(batch.column("received_time").cast("int64")[0].as_py())
        times = [
            _completed_ns(schedule, self.key),
            received,
            telemetry.published_ns,
            features.published_ns,
            score.published_ns,
            self.stored_ns,
        ]
        return [(after - before) / _MS for before, after in pairwise(times)]


def _completed_ns(schedule: Schedule, key: Key) -> int:
    """Source time of the asset's first sample at or after the window's end: with it the window is complete."""
    number = int(key[0].partition("-")[2])
    offset = int(schedule.times_ns(number * schedule.signals, number * schedule.signals + 1)[0])
    ticks = -(-(key[2] - offset) // schedule.period_ns)
    return offset + ticks * schedule.period_ns


def _input(message: Message) -> int:
    return int(message.headers[HEADER_INPUT].partition(":")[0])


def _streams(up: Running) -> dict[Stage, dict[int, Message]]:
    """All messages, by stream and sequence."""

    async def read(client: Client) -> dict[Stage, dict[int, Message]]:
        found: dict[Stage, dict[int, Message]] = {}
        for stage in Stage:
            last = (await client.jetstream().stream_info(stage.stream)).state.last_seq
            reader = StreamReader(client, stage.stream, [f"{stage.value}.>"], position=0)
            own = found[stage] = {}
            while reader.position < last:
                own |= {message.sequence: message for message in await reader.read(512)}
            await reader.close()
        return found

    return up.ask(read)


def _alerts(streams: dict[Stage, dict[int, Message]]) -> list[Found]:
    found = []
    for message in streams[Stage.EVENTS].values():
        if message.data:
            alert = AlertEvent.model_validate_json(message.data).data
            if alert.failure_model != "level":
                continue
            # An alert that has ended keeps the lineage of the last time it was told.
            end = datetime.fromisoformat(alert.cleared or alert.lineage.window_end)
            key = (
                alert.asset,
                alert.state,
                (end - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000,
            )
            found.append(Found(key, message.published_ns, _input(message)))
    return found


def _expected(schedule: Schedule, rows: int, first_ns: int, last_ns: int) -> set[Key]:
    """Alerts that the sent values make: a window of five samples, a limit, no holds."""
    values = schedule.values(0, rows).reshape(-1, schedule.assets, schedule.signals)[:, :, 0]
    assert set(np.unique(values)) == {LOW, HIGH}
    sums = np.concatenate([np.zeros((1, schedule.assets)), np.cumsum(values, axis=0)])
    scores = ((sums[_WINDOW_TICKS:] - sums[:-_WINDOW_TICKS]) / _WINDOW_TICKS - NORMAL) / (_LIMIT - NORMAL)
    found: set[Key] = set()
    for number in range(schedule.assets):
        offset = int(schedule.times_ns(number * schedule.signals, number * schedule.signals + 1)[0])
        opened = False
        for at, score in enumerate(scores[:, number].tolist()):
            newest = offset + (at + _WINDOW_TICKS - 1) * schedule.period_ns
            end = newest // schedule.period_ns * schedule.period_ns + schedule.period_ns
            changes = score < _CLEAR if opened else score >= 1
            if changes:
                opened = not opened
                if first_ns <= end <= last_ns:
                    found.add((schedule.asset(number), "open" if opened else "cleared", end))
    return found
