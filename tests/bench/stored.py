"""What the tables should hold after a schedule was sent, and what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.bench.harness import UnequalError, compared
from tests.bench.installation import LIMIT, NORMAL, TENANT
from tests.bench.source.schedule import Schedule
from wheeltapper_workers.history.query import QueryError, query

_SECOND: Final = 10**9
_TOLERANCE: Final = 1e-12
_PATIENCE_S: Final = 900.0
"""For a question about all there is, on a machine that others use, too."""

Sent = list[tuple[Schedule, int]]
"""Schedules and the number of rows that were sent of each."""


def check(tables: str, sent: Sent) -> str:
    """See that every sample is stored once with its value, and every score is there and right.

    Returns
    -------
    str
        What was checked, in words.

    Raises
    ------
    UnequalError
        With what differs.
    """
    rows = sum(count for _, count in sent)
    (found,) = query(
        tables,
        "SELECT count(*) AS rows, sum(value) AS total, sum(quality) AS flags, count(DISTINCT hash(asset, signal,"
        " source_time)) AS different FROM raw",
        memory_mb=4096,
        timeout_seconds=_PATIENCE_S,
    ).to_pylist()
    compared(
        ("Rows in raw", found["rows"], rows),
        ("Different samples in raw", found["different"], rows),
        ("Sum of the values in raw", found["total"], sum(schedule.total(count) for schedule, count in sent)),
        ("Quality flags in raw", int(found["flags"]), 0),
    )
    scores = sum(_check_scores(tables, schedule, count) for schedule, count in sent)
    return (
        f"all {rows:,} samples are stored once, their sum is exact, and {scores:,} scores equal those computed from "
        f"the sent values within {_TOLERANCE:g}"
    )


def _check_scores(tables: str, schedule: Schedule, rows: int, window_s: int = 2) -> int:
    times = schedule.times_ns(0, rows)
    last = rows // schedule.series * schedule.series  # whole ticks only
    first_end, last_end = -(-int(times[0]) // _SECOND) + window_s, int(times[last - schedule.series]) // _SECOND
    found = query(
        tables,
        "SELECT CAST(substr(asset, 3) AS INT) AS asset, CAST(epoch(window_end) AS BIGINT) AS second, score FROM scores"  # noqa: S608 - ours
        f" WHERE failure_model = 'level' AND epoch(window_end) BETWEEN {first_end} AND {last_end}"
        " ORDER BY second, asset",
        timeout_seconds=_PATIENCE_S,
    )
    ends = np.arange(first_end, last_end + 1)
    wanted = np.array([_means(schedule, rows, asset, ends, window_s) for asset in range(schedule.assets)]).T
    wanted = (wanted - NORMAL) / (LIMIT - NORMAL)
    places = np.stack([found["second"].to_numpy(), found["asset"].to_numpy()], axis=1)
    due = np.stack([np.repeat(ends, schedule.assets), np.tile(np.arange(schedule.assets), len(ends))], axis=1)
    if not np.array_equal(places, due):
        raise UnequalError(f"There should be {len(due):,} scores of windows {first_end} to {last_end}: {len(places):,}")
    scores = found["score"].to_numpy()
    if not np.allclose(scores, wanted.reshape(-1), rtol=_TOLERANCE, atol=0):
        worst = int(np.nanargmax(np.abs(scores - wanted.reshape(-1))))
        raise UnequalError(f"The score of asset {due[worst, 1]} at {due[worst, 0]} is {scores[worst]!r}")
    return len(due)


def _means(schedule: Schedule, rows: int, asset: int, ends_s: np.ndarray, window_s: int) -> np.ndarray:
    """Mean of the asset's first signal in each window; sums of these values are exact."""
    at = np.arange(asset * schedule.signals, rows, schedule.series)
    step = schedule.period_ns
    times = schedule.times_ns(int(at[0]), int(at[0]) + 1)[0] + np.arange(len(at)) * step
    values = schedule.values(0, rows)[at]
    sums = np.concatenate([[0.0], np.cumsum(values)])
    low = np.searchsorted(times, (ends_s - window_s) * _SECOND)
    high = np.searchsorted(times, ends_s * _SECOND)
    return (sums[high] - sums[low]) / (high - low)


def commits(tables: str, table: str) -> list[tuple[float, int]]:
    """Time (s since 1970) and rows of each commit of a table, in order, by its own log."""
    found = []
    for path in sorted(Path(f"{tables}/{TENANT}/{table}/_delta_log").glob("*.json")):
        rows, moment = 0, 0.0
        for line in path.read_text().splitlines():
            action: dict[str, Any] = json.loads(line)
            if "commitInfo" in action:
                moment = action["commitInfo"]["timestamp"] / 1000
            if "add" in action and action["add"].get("dataChange"):
                rows += json.loads(action["add"]["stats"])["numRecords"]
        if rows:
            found.append((moment, rows))
    return found


def last_score(tables: str, schedule: Schedule, rows: int) -> float:
    """When the last score of a schedule was published (s since 1970)."""
    first, last = (int(one) for one in schedule.times_ns(0, rows)[[0, -1]])
    (found,) = query(
        tables,
        "SELECT max(epoch(published_time)) AS moment FROM scores"  # noqa: S608 - numbers of our own
        f" WHERE epoch(window_end) BETWEEN {first // _SECOND} AND {last // _SECOND}",
    ).to_pylist()
    return float(found["moment"])


def count(tables: str, schedule: Schedule, rows: int) -> int:
    """Rows of a schedule that are in the table; 0 while there is no table."""
    first, last = (int(one) // 1000 for one in schedule.times_ns(0, rows)[[0, -1]])
    try:
        (found,) = query(
            tables,
            f"SELECT count(*) AS rows FROM raw WHERE epoch_us(source_time) BETWEEN {first} AND {last}",  # noqa: S608 - our own numbers
        ).to_pylist()
    except QueryError:
        return 0
    return int(found["rows"])
