"""The steps of a line, one behind the other, each held against what is stored of its output.

Work begins with the first block that there is, or with states at rest and the block after them; on its way it can put
the states of all steps at rest between two blocks of its input, so that somebody else can begin there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.fields import Model
from wheeltapper_api.wire import Alert, AlertEvent, Line, Stage
from wheeltapper_workers.history.again import OUTPUT_OF, Check, Runner
from wheeltapper_workers.history.compare import Difference
from wheeltapper_workers.history.restored import feature_blocks, score_blocks
from wheeltapper_workers.history.stored import in_order
from wheeltapper_workers.history.stored_telemetry import telemetry_in_order
from wheeltapper_workers.history.tables import TABLE_OF, Store
from wheeltapper_workers.history.told import Told
from wheeltapper_workers.runtime.blocks import Block
from wheeltapper_workers.runtime.checkpoint import Checkpoint, decode, encode

Progress = Callable[[int, int], None]
"""Called with the sequence of the last block that was worked through, and that of the last one to be."""

_TELL_BLOCKS: Final = 200


class Hop(Model):
    """What a step makes: as it was stored, and as it is made again."""

    name: str
    """Of what it makes: features, scores or events."""
    rows: int
    equal: int
    first: Difference | None = None
    """Its first difference, in the order of the stream."""


@dataclass(frozen=True, slots=True)
class Job:
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
    rests: Mapping[Stage, Checkpoint] = field(default_factory=dict)
    """States to begin with, by the input of their step; none begins at the beginning."""
    anchor: int = 0
    """Block of the input before which the states are put at rest; 0 does not."""

    @property
    def alert(self) -> Alert:
        """Alert as the event tells it."""
        return self.event.data


class Work:
    """The steps, one behind the other, each with what it has to agree with."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store, self._job = store, job
        stages = list(OUTPUT_OF)
        self.stages = stages[stages.index(job.start) :]
        """Inputs of the steps that are done again."""
        self._runners: dict[Stage, Runner] = {}
        self._checks: dict[Stage, Check] = {}
        for stage in self.stages:
            output = OUTPUT_OF[stage]
            otherwise = _generation(store, job.line, TABLE_OF[output])
            self._runners[stage] = Runner(stage, job.told, otherwise, job.rests.get(stage))
            stored = in_order(store, job.line, TABLE_OF[output])
            self._checks[output] = Check(output, job.line, stored, exact=job.exact)
        self._last = dict.fromkeys(self.stages, 0)
        self._ends: tuple[int, int] | None = None
        self.blocks = self.rows = 0
        self.configs: list[str] = []
        self.rests: dict[Stage, Checkpoint] = {}
        """States before the anchor, by the input of their step; empty where there was no block before it."""

    @property
    def span_s(self) -> float:
        """Seconds between the first and the last window end."""
        return (self._ends[1] - self._ends[0]) / 1e9 if self._ends else 0.0

    def last(self, stage: Stage) -> int:
        """Last block of an input that was worked through; 0 before the first."""
        return self._last[stage]

    def run(self, progress: Progress) -> None:
        """Work through all blocks."""
        job = self._job
        for block in self._input():
            if block.sequence > job.last:
                break
            if job.anchor and not self.rests and self.blocks and block.sequence >= job.anchor:
                self._put_at_rest()
            self._last[job.start] = block.sequence
            self._take(job.start, block)
            self.blocks += 1
            self.rows += block.batch.num_rows
            if self.blocks % _TELL_BLOCKS == 0:
                progress(block.sequence, job.last)

    def _put_at_rest(self) -> None:
        # By way of bytes: a step takes arrays of its state over, and would change those of a snapshot.
        self.rests = {stage: decode(encode(runner.rest(self._last[stage]))) for stage, runner in self._runners.items()}

    def hops(self) -> list[Hop]:
        """What is compared, after the last block."""
        found = []
        last = self._job.last
        for stage in self.stages:
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
    rows: Any = first_block(store, line, table)
    return "" if rows is None else str(rows["generation"][0].as_py())


def first_block(store: Store, line: Line, table: str) -> pa.Table | None:
    """Rows of the first block of a line that is stored in a table."""
    rows = next(in_order(store, line, table), None)
    return None if rows is None else rows.filter(pc.equal(rows["block_sequence"], pc.min(rows["block_sequence"])))
