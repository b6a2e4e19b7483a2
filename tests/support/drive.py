"""Drives a step over batches as the runtime does, through the bytes of the wire."""

from __future__ import annotations

import pyarrow as pa

from wheeltapper_api.wire import Stage
from wheeltapper_workers.runtime.blocks import Block, from_bytes, to_bytes


def drive(step, state, batches, stage: Stage = Stage.TELEMETRY, first: int = 1):
    """State and outputs after the batches, which are given sequences from ``first`` on."""
    outputs = []
    for sequence, batch in enumerate(batches, first):
        block = Block(stage.stream, sequence, from_bytes(to_bytes(batch), stage))
        state, produced = step.step(state, block)
        outputs.extend(produced)
    return state, outputs


def rows(batches: list[pa.RecordBatch], without: tuple[str, ...] = ()) -> list[dict]:
    """All rows of the batches; NaN as text, so that rows compare."""
    return [
        {key: repr(value) for key, value in row.items() if key not in without}
        for batch in batches
        for row in batch.to_pylist()
    ]
