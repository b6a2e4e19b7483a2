"""What the tables hold against what the plant measured. Pure: tables in, differences out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tests.support.drive import WholeLine
from wheeltapper_api.config import CollectorConfig, LineConfig
from wheeltapper_workers.contracts.raw import RawBatch, raw_batch

Series = tuple[str, str]
Configs = list[tuple[CollectorConfig, LineConfig]]

_TRANSPORT = frozenset({"telemetry", "features", "scores", "traceId", "generation"})
"""Parts of a lineage that say by which way an alert came, not what it says."""


@dataclass
class Verdict:
    """Differences; an exact run has none."""

    samples: int = 0
    missing: list[str] = field(default_factory=list)
    """That the plant had delivered or could repeat, and the table does not hold."""
    ledgered: int = 0
    """Missing, and the ledger of gaps says so."""
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Other values than were measured, or samples nobody measured."""
    alerts: int = 0
    alerts_differ: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return not (self.missing or self.doubled or self.wrong or self.alerts_differ)


def judge(truth: pa.Table, raw: pa.Table, gaps: pa.Table, events: Iterable[str], configs: Configs) -> Verdict:
    """Verdict on one run.

    Parameters
    ----------
    truth
        Of the plant: asset, signal, time_ns, value, burst.
    raw, gaps
        Tables.
    events
        Documents of the table of events.
    configs
        Collector and line, as they ran.
    """
    verdict = Verdict()
    measured = _by_series(truth, np.asarray(truth["time_ns"]), "burst")
    times = np.asarray(raw["source_time"].cast(pa.int64())) * 1000 + np.asarray(raw["source_nanos"])
    stored = _by_series(raw, times, "samples")
    holes = _holes(gaps)
    for series, expected in measured.items():
        _compare(series, expected, stored.pop(series, []), holes.get(series, []), verdict)
    verdict.wrong += [f"{asset}/{signal} is no series of the plant" for asset, signal in stored]
    begun = {series: min(time for time, _ in rows) for series, rows in _by_series(raw, times, "samples").items()}
    alerts = Counter(_content(json.loads(document)) for document in events)
    expected_alerts = Counter(_content(event) for event in undisturbed(truth, begun, configs))
    verdict.alerts = sum(expected_alerts.values())
    verdict.alerts_differ += [f"missing or other: {one[:300]}" for one in (expected_alerts - alerts).elements()]
    verdict.alerts_differ += [f"not expected: {one[:300]}" for one in (alerts - expected_alerts).elements()]
    return verdict


def _by_series(table: pa.Table, times: Any, bursts: str) -> dict[Series, list[tuple[int, Any]]]:
    """Time and value of every row, by series."""
    found: dict[Series, list[tuple[int, Any]]] = {}
    columns = (table[name].to_pylist() for name in ("asset", "signal", "value", bursts))
    for asset, signal, value, burst, time in zip(*columns, times.tolist(), strict=True):
        found.setdefault((asset, signal), []).append((time, value if burst is None else tuple(burst)))
    return found


def _holes(gaps: pa.Table) -> dict[Series, list[tuple[int, int]]]:
    found: dict[Series, list[tuple[int, int]]] = {}
    for row in gaps.to_pylist():
        if not row["recovered"]:
            since, until = (int(row[name].timestamp() * 1e6) * 1000 for name in ("since", "until"))
            found.setdefault((row["asset"], row["signal"]), []).append((since, until))
    return found


def _compare(
    series: Series,
    expected: list[tuple[int, Any]],
    stored: list[tuple[int, Any]],
    holes: list[tuple[int, int]],
    verdict: Verdict,
) -> None:
    name = "/".join(series)
    verdict.samples += len(stored)
    if not stored:
        verdict.missing.append(f"{name}: all")
        return
    counts = Counter(time for time, _ in stored)
    verdict.doubled += [f"{name} at {time}: {count} times" for time, count in counts.items() if count > 1]
    begun, measured = min(counts), dict(expected)
    for time, value in stored:
        if time not in measured or measured[time] != value:
            verdict.wrong.append(f"{name} at {time}: {value!r} instead of {measured.get(time)!r}")
    for time, _ in expected:
        if time > begun and time not in counts:
            if any(since <= time <= until for since, until in holes):
                verdict.ledgered += 1
            else:
                verdict.missing.append(f"{name} at {time}")


def _content(event: dict[str, Any]) -> str:
    """What an alert says, without the way by which it came."""
    alert = dict(event["data"])
    alert["lineage"] = {name: value for name, value in alert["lineage"].items() if name not in _TRANSPORT}
    alert.pop("delayed")
    return json.dumps([event["id"], event["type"], event["subject"], alert], sort_keys=True)


def undisturbed(truth: pa.Table, begun: dict[Series, int], configs: Configs) -> list[dict[str, Any]]:
    """Events of a run in which every sample came when it was measured, from the first one of each series on."""
    found = []
    for collector, line in configs:
        whole = WholeLine(collector, line)
        for raw in _as_measured(truth, begun, collector):
            found += [json.loads(event.model_dump_json(by_alias=True)) for event in whole.take(raw)]
    return found


def _as_measured(truth: pa.Table, begun: dict[Series, int], collector: CollectorConfig) -> Iterable[RawBatch]:
    """Samples of a collector's series, a batch for each moment."""
    place = {(one.asset, one.signal): at for at, one in enumerate(collector.series)}
    moments: dict[int, list[tuple[int, float, list[float] | None]]] = {}
    for row in truth.to_pylist():
        series = (row["asset"], row["signal"])
        if series in place and row["time_ns"] >= begun.get(series, 2**63):
            moments.setdefault(row["time_ns"], []).append((place[series], row["value"], row["burst"]))
    for time, rows in sorted(moments.items()):
        bursts = {at: np.array(burst) for at, (_, _, burst) in enumerate(rows) if burst is not None}
        yield raw_batch([series for series, _, _ in rows], time, [value for _, value, _ in rows], time, bursts=bursts)
