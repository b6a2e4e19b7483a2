"""Drives steps over batches as the runtime does."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from wheeltapper_api.config import CollectorConfig, LineConfig
from wheeltapper_api.wire import AlertEvent, Stage
from wheeltapper_workers.alerts.alerter import AlertStep
from wheeltapper_workers.contracts.check import check
from wheeltapper_workers.contracts.raw import RawBatch
from wheeltapper_workers.contracts.state import initial
from wheeltapper_workers.contracts.table import series_table
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime.blocks import Block, from_bytes, to_bytes
from wheeltapper_workers.scoring.scorer import ScoreStep


def drive(step, state, batches, stage: Stage = Stage.TELEMETRY, first: int = 1):
    """State and outputs after the batches, which go through the bytes of the wire, with sequences from ``first`` on."""
    outputs = []
    for sequence, batch in enumerate(batches, first):
        block = Block(stage.stream, sequence, from_bytes(to_bytes(batch), stage))
        state, produced = step.step(state, block)
        outputs.extend(produced)
    return state, outputs


class WholeLine:
    """Contract, features, models and policy of one line in one process, without streams between them."""

    def __init__(self, collector: CollectorConfig, line: LineConfig, start_ns: int = 0) -> None:
        self._table = series_table(collector)
        self._contract = initial(self._table, start_ns)
        self._steps: list[Any] = [FeaturizeStep(line), ScoreStep(line), AlertStep(line)]
        self._states = [step.initial(line) for step in self._steps]
        self._sequences = [0, 0, 0]
        self.samples = 0
        self.rows = [0, 0, 0]
        """Of features and of scores, and events."""

    def take(self, raw: RawBatch) -> list[AlertEvent]:
        """Events of a batch."""
        self._contract, checked = check(self._contract, raw, self._table)
        self.samples += len(checked)
        items: list[Any] = [batch for _, batch in checked.blocks(self._table)]
        for level, step in enumerate(self._steps):
            made: list[Any] = []
            for batch in items:
                self._sequences[level] += 1
                block = Block(
                    (Stage.TELEMETRY, Stage.FEATURES, Stage.SCORES)[level].stream, self._sequences[level], batch
                )
                self._states[level], outputs = step.step(self._states[level], block)
                made += outputs
            items = made
            self.rows[level] += len(made) if level == 2 else sum(batch.num_rows for batch in made)
        return items


def rows(batches: list[pa.RecordBatch], without: tuple[str, ...] = ()) -> list[dict]:
    """All rows of the batches; NaN as text, so that rows compare."""
    return [
        {key: repr(value) for key, value in row.items() if key not in without}
        for batch in batches
        for row in batch.to_pylist()
    ]
