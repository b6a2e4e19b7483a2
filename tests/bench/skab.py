"""Detection on recordings of the SKAB rig: ``python -m tests.bench.skab DIR`` prints one JSON line.

Each recording goes through the product's own steps under the resources of ``examples/skab``: contract, featurizer,
scorer and alerter, as Arrow blocks. A baseline is learned from the first 400 rows of a recording and from nothing else;
the rows after them are scored. A row counts as found while an alert is open at its time. Rows are pooled.

far: share of the normal rows inside an alert. mar: share of the anomalous rows outside. j = 1 - far - mar.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from wheeltapper_api.config import CollectorConfig, LineConfig
from wheeltapper_api.load import load
from wheeltapper_api.wire import AlertEvent, Stage
from wheeltapper_operator.compile import compile_plan
from wheeltapper_workers.alerts.alerter import AlertStep
from wheeltapper_workers.contracts.check import check
from wheeltapper_workers.contracts.raw import raw_batch
from wheeltapper_workers.contracts.state import initial
from wheeltapper_workers.contracts.table import series_table
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime.blocks import Block
from wheeltapper_workers.scoring.scorer import ScoreStep
from wheeltapper_workers.simulator.recording import node_names, read_recording

RIG = Path(__file__).parents[2] / "examples" / "skab"
TIME, LABEL = "datetime", "anomaly"
LEARN_ROWS = 400
# The baseline becomes final this long before the last row it may learn from: windows end on whole steps after a sample.
MARGIN_NS = 15 * 10**9
BLOCK_ROWS = 60


class BadRecordingsError(Exception):
    """The folder cannot be used; the message says why."""


@dataclass(frozen=True)
class Recording:
    """Times (ns), values by node name, and labels (False where the file has none)."""

    path: Path
    time_ns: np.ndarray
    values: dict[str, np.ndarray]
    anomaly: np.ndarray


def read(path: Path) -> Recording:
    """Read a recording; rows are put in order of time."""
    found = read_recording(path, TIME)
    order = np.argsort(found.time_ns, kind="stable")
    columns = {name: found.values[order, i] for i, name in enumerate(found.columns)}
    labels = columns.pop(LABEL, np.zeros(len(order))) > 0
    columns.pop("changepoint", None)
    nodes = node_names(list(columns))
    return Recording(path, found.time_ns[order], dict(zip(nodes, columns.values(), strict=True)), labels)


def rig() -> tuple[CollectorConfig, LineConfig]:
    """What the example compiles to."""
    (tenant,) = compile_plan(load([RIG]).resources).tenants
    (collector,) = [c for worker in tenant.configs for c in worker.collectors]
    (line,) = [line for worker in tenant.configs for line in worker.lines]
    return collector, line


def learning_from(line: LineConfig, recording: Recording) -> LineConfig:
    """The line's config with a learning time that ends within the first 400 rows of the recording."""
    span_ns = int(recording.time_ns[LEARN_ROWS - 1] - recording.time_ns[0]) - MARGIN_NS
    models = [model.model_copy(update={"baseline_at_least_ns": span_ns}) for model in line.models]
    return line.model_copy(update={"models": models})


def blocks(recording: Recording, collector: CollectorConfig) -> Iterator[Block]:
    """Telemetry blocks of a recording, through the contract."""
    table = series_table(collector)
    nodes = [series.address.partition(";s=")[2] for series in collector.series]
    missing = [node for node in nodes if node not in recording.values]
    if missing:
        raise BadRecordingsError(f"{recording.path} has no column for {', '.join(missing)}")
    values = np.stack([recording.values[node] for node in nodes], axis=1)
    state = initial(table, int(recording.time_ns[0]))
    for number, start in enumerate(range(0, len(values), BLOCK_ROWS), 1):
        part = slice(start, start + BLOCK_ROWS)
        time_ns = np.repeat(recording.time_ns[part], len(nodes))
        series = np.tile(np.arange(len(nodes)), len(values[part]))
        raw = raw_batch(series, time_ns, values[part].reshape(-1), time_ns)
        state, checked = check(state, raw, table)
        for _, batch in checked.blocks(table):
            yield Block(Stage.TELEMETRY.stream, number, batch)


def alerts(recording: Recording, collector: CollectorConfig, line: LineConfig) -> list[AlertEvent]:
    """Alert events of a recording."""
    config = learning_from(line, recording)
    steps = (FeaturizeStep(config), ScoreStep(config), AlertStep(config))
    states = [step.initial(config) for step in steps]
    streams = (Stage.FEATURES.stream, Stage.SCORES.stream, Stage.EVENTS.stream)
    found: list[AlertEvent] = []
    counts = [0, 0, 0]
    for block in blocks(recording, collector):
        items = [block]
        for role, step in enumerate(steps):
            outputs = []
            for item in items:
                states[role], made = step.step(states[role], item)
                outputs += made
            if role == len(steps) - 1:
                found += outputs
            else:
                items = []
                for output in outputs:
                    counts[role] += 1
                    items.append(Block(streams[role], counts[role], output))
    return found


def found_rows(recording: Recording, events: list[AlertEvent]) -> np.ndarray:
    """Rows at whose time an alert is open."""
    inside = np.zeros(len(recording.time_ns), bool)
    opened: dict[str, int] = {}
    for event in events:
        moment = int(datetime.fromisoformat(event.time).timestamp()) * 10**9
        if event.data.state == "open":
            opened.setdefault(event.data.alert_id, moment)
        else:
            start = opened.pop(event.data.alert_id)
            inside |= (recording.time_ns >= start) & (recording.time_ns < moment)
    for start in opened.values():
        inside |= recording.time_ns >= start
    return inside


def measure(paths: list[Path], line: LineConfig | None = None) -> dict[str, float | int]:
    """Pooled figures of the recordings, under the example's line or another."""
    collector, example = rig()
    line = line or example
    found, truth, files = [], [], 0
    for path in paths:
        recording = read(path)
        if len(recording.time_ns) <= LEARN_ROWS:
            print(f"{path}: left out, it has no rows after the first {LEARN_ROWS}", file=sys.stderr)
            continue
        inside = found_rows(recording, alerts(recording, collector, line))
        found.append(inside[LEARN_ROWS:])
        truth.append(recording.anomaly[LEARN_ROWS:])
        files += 1
        print(f"{path}: {len(truth[-1])} rows", file=sys.stderr)
    if not files:
        raise BadRecordingsError("No recording has rows to score")
    return figures(np.concatenate(found), np.concatenate(truth), files)


def figures(found: np.ndarray, truth: np.ndarray, files: int) -> dict[str, float | int]:
    """far, mar, f1 and j of rows found against the truth; a share of nothing is 0."""
    hits, false = int((found & truth).sum()), int((found & ~truth).sum())
    missed, normal = int((~found & truth).sum()), int((~truth).sum())
    far, mar = false / max(normal, 1), missed / max(hits + missed, 1)
    f1 = 2 * hits / max(2 * hits + false + missed, 1)
    rounded = {name: round(value, 4) for name, value in {"far": far, "mar": mar, "f1": f1, "j": 1 - far - mar}.items()}
    return {"files": files, "rows": len(truth), **rounded}


def recordings(folder: Path, which: str) -> list[Path]:
    """Recordings of a folder, in the order of their numbers; ``even`` and ``odd`` are the halves for cross-checks."""
    found = sorted(folder.rglob("*.csv"), key=lambda path: (path.parent, len(path.stem), path.stem))
    if which != "all":
        found = [p for p in found if p.stem.isdecimal() and int(p.stem) % 2 == (which == "odd")]
    if not found:
        raise BadRecordingsError(f"There are no recordings (*.csv) in {folder}")
    return found


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.skab", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--select", choices=["all", "even", "odd"], default="all", help="by the number of the file")
    options = parser.parse_args()
    try:
        result = measure(recordings(options.folder, options.select))
    except (BadRecordingsError, OSError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
