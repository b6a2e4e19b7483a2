"""The whole computation of an alert, done again from stored blocks and held against what was stored then.

Telemetry goes through the featurizer, its rows through the scorer, and their scores through the alerter, under the
configs that held at each block. Every row that any of them ever made for the line is compared, up to the alert.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.fields import Model
from wheeltapper_api.wire import Alert, AlertEvent, Line, Stage
from wheeltapper_workers.history.again import OUTPUT_OF, Check, Runner
from wheeltapper_workers.history.compare import Difference
from wheeltapper_workers.history.query import QueryError, alert_history, open_store
from wheeltapper_workers.history.restored import feature_blocks, score_blocks
from wheeltapper_workers.history.stored import first_sequence, in_order, of_line
from wheeltapper_workers.history.stored_telemetry import telemetry_in_order
from wheeltapper_workers.history.tables import TABLE_OF, Store
from wheeltapper_workers.history.told import Told, lines, told
from wheeltapper_workers.runtime.blocks import Block
from wheeltapper_workers.software import SOFTWARE

Which = Literal["opened", "last"]
Progress = Callable[[int, int], None]
"""Called with the sequence of the last block that was worked through, and that of the last one to be."""

_TELL_BLOCKS: Final = 200
_INPUT_COLUMN: Final = {"features": "input_sequence", "scores": "features_sequence"}


class Hop(Model):
    """What a step makes: as it was stored, and as it is made again."""

    name: str
    """Of what it makes: features, scores or events."""
    rows: int
    equal: int
    first: Difference | None = None
    """Its first difference, in the order of the stream."""


class Replay(Model):
    """What came of it."""

    alert_id: str
    event: str
    """Id of the event up to which it was done again."""
    plant: str
    asset_class: str
    hops: list[Hop]
    """Those that were done again, in the order of the flow."""
    same: bool
    differs: str
    """Name of the first hop that differs; empty if none does."""
    exact: bool
    """Compared bit by bit, and not within a tolerance."""
    notes: list[str]
    """What limits what the result says."""
    blocks: int
    rows: int
    """Of the first hop's input."""
    configs: list[str]
    """Generations that were in force."""
    span_s: float
    """From the first to the last window end that was made again."""
    seconds: float
    """How long it took."""


def replay(
    root: str,
    tenant: str,
    alert_id: str,
    *,
    which: Which = "last",
    storage_options: Mapping[str, str] | None = None,
    progress: Progress = lambda _done, _last: None,
) -> Replay:
    """Do the computation of the one alert whose id is or begins with ``alert_id`` again.

    Raises
    ------
    QueryError
        If there is no such alert or more than one, or what it was made of is not kept.
    """
    began = time.perf_counter()
    store = open_store(root, tenant, storage_options)
    job = _job(store, tenant, alert_history(store, tenant, alert_id), which)
    work = _Work(store, job)
    work.run(progress)
    hops = work.hops()
    return Replay(
        alert_id=job.alert.alert_id,
        event=job.event.id,
        plant=job.line.plant,
        asset_class=job.line.asset_class,
        hops=hops,
        same=all(hop.first is None for hop in hops),
        differs=next((hop.name for hop in hops if hop.first is not None), ""),
        exact=job.exact,
        notes=job.notes,
        blocks=work.blocks,
        rows=work.rows,
        configs=work.configs,
        span_s=work.span_s,
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done: up to which block of which input, and against which software the bits were made."""

    line: Line
    event: AlertEvent
    start: Stage
    """Input of the first step that is done again."""
    last: int
    """Its last block."""
    told: Told
    exact: bool
    notes: list[str]

    @property
    def alert(self) -> Alert:
        return self.event.data


def _job(store: Store, tenant: str, history: pa.Table, which: Which) -> _Job:
    rows = history.slice(0, 1) if which == "opened" else history.slice(history.num_rows - 1)
    event = AlertEvent.model_validate_json(rows["document"][0].as_py())
    line = _line(store, tenant, event.data)
    last = _lasts(store, line, rows["input_sequence"][0].as_py(), event.data)
    start, notes = _start(store, line, event.data)
    made_with = [json.loads(text)["data"]["lineage"]["software"] for text in history["document"].to_pylist()]
    other = next((software for software in made_with if software != SOFTWARE), None)
    if other is not None:
        notes.append(_software_note(other))
    return _Job(line, event, start, last[start], told(store, line), other is None, notes)


def _line(store: Store, tenant: str, alert: Alert) -> Line:
    """Line of the alert's asset; where the class is divided, the part that has the asset."""
    found = lines(store, tenant, alert.plant, alert.asset_class)
    for line in found:
        if any(one.name == alert.asset for config in told(store, line).configs.values() for one in config.assets):
            return line
    return found[0] if found else Line(tenant=tenant, plant=alert.plant, asset_class=alert.asset_class)


def _lasts(store: Store, line: Line, scores: int | None, alert: Alert) -> dict[Stage, int]:
    """Last block of each stream that the event rests on."""
    lineage = alert.lineage
    scores = scores or lineage.scores.last
    features = _made_of(store, line, "scores", scores) or lineage.features.last
    telemetry = _made_of(store, line, "features", features) or lineage.telemetry.last
    return {Stage.SCORES: scores, Stage.FEATURES: features, Stage.TELEMETRY: telemetry}


def _made_of(store: Store, line: Line, table: str, number: int) -> int | None:
    dataset = store.dataset(line.tenant, table)
    if dataset is None:
        return None
    column = _INPUT_COLUMN[table]
    rows = dataset.to_table(columns=[column], filter=of_line(line) & (pc.field("block_sequence") == number))
    found: int | None = pc.max(rows[column]).as_py()
    return found


def _start(store: Store, line: Line, alert: Alert) -> tuple[Stage, list[str]]:
    """Input that is kept from its beginning, the earliest there is; and why it is none before it."""
    notes: list[str] = []
    features, scores = _first_block(store, line, "features"), _first_block(store, line, "scores")
    raw = first_sequence(store, line, "raw")
    if features is None or scores is None:
        raise QueryError(f"No {'features' if features is None else 'scores'} of {alert.asset_class} are stored")
    windows = np.asarray(features["telemetry_first"])
    begin = int(windows[windows > 0].min(initial=np.iinfo(np.int64).max))
    if raw is not None and raw <= begin:
        return Stage.TELEMETRY, notes
    kept = f"from {_published(store, line, raw)} (block {raw}) on" if raw is not None else "no more"
    notes.append(f"Telemetry is stored {kept}, later than the features begin: they cannot be made again")
    first = int(features["block_sequence"][0].as_py())
    learned = any(scores["baseline_digest"].to_pylist())
    if first <= int(scores["features_sequence"][0].as_py()) and not learned:
        return Stage.FEATURES, notes
    notes.append("Features are stored from a time on when the baselines were learned: scores cannot be made again")
    if int(scores["block_sequence"][0].as_py()) > alert.lineage.scores.first:
        raise QueryError(f"{'. '.join(notes)}. The scores of {alert.alert_id} are not all stored either")
    return Stage.SCORES, notes


def _first_block(store: Store, line: Line, table: str) -> pa.Table | None:
    """Rows of the first block that is stored."""
    rows = next(in_order(store, line, table), None)
    return None if rows is None else rows.filter(pc.equal(rows["block_sequence"], pc.min(rows["block_sequence"])))


def _published(store: Store, line: Line, number: int) -> str:
    dataset = store.dataset(line.tenant, "raw")
    where = of_line(line) & (pc.field("block_sequence") == number)
    found = dataset.head(1, columns=["published_time"], filter=where)["published_time"] if dataset else []
    return str(found[0].as_py().isoformat(timespec="seconds")) if len(found) else "an unknown time"


def _software_note(other: Mapping[str, str]) -> str:
    names = sorted({*other, *SOFTWARE})
    pairs = [(name, other.get(name, "none"), SOFTWARE.get(name, "none")) for name in names]
    told_apart = ", ".join(f"{name} {old} there and {new} here" for name, old, new in pairs if old != new)
    return (
        f"The alert was made with other software ({told_apart}), so numbers are compared within 1e-9 of their size "
        "instead of bit by bit"
    )


class _Work:
    """The steps, one behind the other, each with what it has to agree with."""

    def __init__(self, store: Store, job: _Job) -> None:
        self._store, self._job = store, job
        stages = list(OUTPUT_OF)
        self._stages = stages[stages.index(job.start) :]
        self._runners: dict[Stage, Runner] = {}
        self._checks: dict[Stage, Check] = {}
        for stage in self._stages:
            output = OUTPUT_OF[stage]
            otherwise = _generation(store, job.line, TABLE_OF[output])
            self._runners[stage] = Runner(stage, job.told, otherwise)
            stored = in_order(store, job.line, TABLE_OF[output])
            self._checks[output] = Check(output, job.line, stored, exact=job.exact)
        self._last = dict.fromkeys(self._stages, 0)
        self._ends: tuple[int, int] | None = None
        self.blocks = self.rows = 0
        self.configs: list[str] = []

    @property
    def span_s(self) -> float:
        """Seconds between the first and the last window end."""
        return (self._ends[1] - self._ends[0]) / 1e9 if self._ends else 0.0

    def run(self, progress: Progress) -> None:
        """Work through all blocks."""
        job = self._job
        for block in self._input():
            if block.sequence > job.last:
                break
            self._take(job.start, block)
            self.blocks += 1
            self.rows += block.batch.num_rows
            if self.blocks % _TELL_BLOCKS == 0:
                progress(block.sequence, job.last)

    def hops(self) -> list[Hop]:
        """What is compared, after the last block."""
        found = []
        last = self._job.last
        for stage in self._stages:
            output = OUTPUT_OF[stage]
            tally = self._checks[output].finish(last)
            found.append(Hop(name=output.value, rows=tally.compared, equal=tally.equal, first=tally.first))
            last = self._last.get(output, 0)
        return found

    def _input(self) -> Iterator[Block]:
        job = self._job
        if job.start is Stage.TELEMETRY:
            return telemetry_in_order(self._store, job.line, job.last)
        lineage = job.alert.lineage
        known = {"software": json.dumps(lineage.software), "pipeline_digest": lineage.pipeline_digest}
        make = feature_blocks if job.start is Stage.FEATURES else score_blocks
        return make(self._store, job.line, told=known)

    def _take(self, stage: Stage, block: Block) -> None:
        runner, output = self._runners[stage], OUTPUT_OF[stage]
        outputs = runner.take(block)
        if runner.generation not in self.configs:
            self.configs.append(runner.generation)
        if not outputs:
            return
        check = self._checks[output]
        numbers = iter(check.numbers(block.sequence))
        for made in outputs:
            if isinstance(made, pa.RecordBatch) and not made.num_rows:
                continue  # a block without rows leaves nothing in a table, and moves nothing in a step
            number = next(numbers, 0) if isinstance(made, pa.RecordBatch) else 0
            check.add(block.sequence, number, made, runner.generation)
            if isinstance(made, pa.RecordBatch):
                self._note_ends(made)
                self._last[output] = max(self._last[output], number)
                self._take(output, Block(output.stream, number, made, "", runner.generation))

    def _note_ends(self, made: pa.RecordBatch) -> None:
        ends = np.asarray(made.column("window_end").view(pa.int64()))
        low, high = int(ends.min()), int(ends.max())
        self._ends = (min(low, self._ends[0]), max(high, self._ends[1])) if self._ends else (low, high)


def _generation(store: Store, line: Line, table: str) -> str:
    """Generation of the first row of a table, for a line whose first ticks are not stored."""
    rows: Any = _first_block(store, line, table)
    return "" if rows is None else str(rows["generation"][0].as_py())
