"""A step done again over stored blocks, and what it makes held against what is stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from wheeltapper_api.config import LineConfig
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_INPUT, Line, Stage
from wheeltapper_workers.alerts.alerter import AlertStep
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.compare import Tally, compare_events, compare_rows
from wheeltapper_workers.history.rows import Entry, read_entry, rows_of
from wheeltapper_workers.history.told import Told
from wheeltapper_workers.runtime.blocks import Block
from wheeltapper_workers.runtime.checkpoint import Checkpoint
from wheeltapper_workers.runtime.step import Output
from wheeltapper_workers.scoring.scorer import ScoreStep

OUTPUT_OF: Final = {Stage.TELEMETRY: Stage.FEATURES, Stage.FEATURES: Stage.SCORES, Stage.SCORES: Stage.EVENTS}
_STEP: Final[dict[Stage, Callable[[LineConfig], Any]]] = {
    Stage.TELEMETRY: FeaturizeStep,
    Stage.FEATURES: ScoreStep,
    Stage.SCORES: AlertStep,
}
_KEYS: Final = {
    Stage.FEATURES: ("block_sequence", "asset", "window_end"),
    Stage.SCORES: ("block_sequence", "asset", "failure_model", "window_end"),
}
_INPUT: Final = {Stage.FEATURES: "input_sequence", Stage.SCORES: "features_sequence", Stage.EVENTS: "input_sequence"}


class Runner:
    """A step, taken from its first block, or from a state at rest, through every config it was told.

    Parameters
    ----------
    otherwise
        Generation to begin with where no tick is stored.
    rest
        State after the block of its position; None begins at the beginning.

    Raises
    ------
    ValueError
        If the state at rest does not fit the step.
    """

    def __init__(self, stage: Stage, told: Told, otherwise: str, rest: Checkpoint | None = None) -> None:
        self._stage, self._told = stage, told
        position = rest.position if rest else 0
        self._changes = deque(change for change in told.changes.get(stage, ()) if change.sequence > position)
        self.generation = rest.generation if rest else told.first(stage, otherwise)
        config = told.config(self.generation)
        self._step = _STEP[stage](config)
        if rest and rest.version != self._step.version:
            raise ValueError(f"The state of {stage.value} is of layout {rest.version}, not {self._step.version}")
        self._state: Any = self._step.restore(rest.snapshot, config) if rest else self._step.initial(config)

    def rest(self, position: int) -> Checkpoint:
        """State at rest, after the block of a position."""
        return Checkpoint(position, self.generation, self._step.version, self._step.snapshot(self._state))

    def take(self, block: Block) -> list[Output]:
        """Outputs of a block, under the config that held when it came."""
        while self._changes and self._changes[0].sequence < block.sequence:
            change = self._changes.popleft()
            if change.generation != self.generation:
                self._state = self._step.reconfigure(self._state, self._told.config(change.generation))
                if change.learned:
                    self._state, _ = self._step.step(self._state, change.tick(self._stage))
                self.generation = change.generation
        made: tuple[Any, list[Output]] = self._step.step(self._state, block)
        self._state, outputs = made
        return outputs


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Stored rows of whole blocks, and the last input they were made of."""

    rows: pa.Table
    last_input: int


class Check:
    """Holds what a step makes against what is stored, chunk by chunk.

    Parameters
    ----------
    stored
        Rows of the stage in the order of their blocks, in tables of whole blocks.
    """

    def __init__(self, stage: Stage, line: Line, stored: Iterator[pa.Table], *, exact: bool) -> None:
        self._stage, self._line, self._stored, self._exact = stage, line, stored, exact
        self._chunks: deque[_Chunk] = deque()
        self._numbers: dict[int, list[int]] = {}
        self._made: dict[int, list[Entry | str]] = {}
        self.tally = Tally()

    def numbers(self, source: int) -> list[int]:
        """Stream sequences of the stored blocks that were made of a message."""
        while self._chunks and self._chunks[0].last_input < source:
            self._compare(self._chunks.popleft())
        while not self._chunks or self._chunks[-1].last_input <= source:
            if not self._pull():
                break
        return self._numbers.pop(source, [])

    def add(self, source: int, number: int, output: Output, generation: str) -> None:
        """Take what was made again of a message, as the stored block of a number."""
        made = self._made.setdefault(source, [])
        if not isinstance(output, pa.RecordBatch):
            made.append(output.model_dump_json())
        elif output.num_rows:
            headers = {HEADER_INPUT: f"{source}:0", HEADER_GENERATION: generation}
            subject = self._line.subject(self._stage, "replay")
            made.append(read_entry(self._stage, number, 0, subject, output, headers))

    def finish(self, last: int) -> Tally:
        """Compare what is left of everything made of messages up to ``last``."""
        while self._chunks or self._pull():
            chunk = self._chunks.popleft()
            source = _numbers(chunk.rows, _INPUT[self._stage])
            rows = chunk.rows.filter(pa.array(source <= last))
            if rows.num_rows:
                self._compare(_Chunk(rows, last))
            if int(source.max()) > last:
                break
        if self._made:
            self._compare(_Chunk(pa.table({}), last))
        return self.tally

    def _pull(self) -> bool:
        rows = next(self._stored, None)
        if rows is None:
            return False
        source, number = _numbers(rows, _INPUT[self._stage]), _numbers(rows, "block_sequence")
        self._chunks.append(_Chunk(rows, int(source.max())))
        for pair in np.unique(np.stack((source, number), axis=1), axis=0).tolist():
            self._numbers.setdefault(pair[0], []).append(pair[1])
        return True

    def _compare(self, chunk: _Chunk) -> None:
        made = [one for source in sorted(self._made) if source <= chunk.last_input for one in self._made[source]]
        self._made = {source: one for source, one in self._made.items() if source > chunk.last_input}
        self._numbers = {source: found for source, found in self._numbers.items() if source > chunk.last_input}
        if self._stage is Stage.EVENTS:
            rows = chunk.rows
            stored = zip(rows["block_sequence"].to_pylist(), rows["document"].to_pylist(), strict=True) if rows else ()
            self.tally.add(compare_events(stored, [str(one) for one in made], exact=self._exact))
            return
        again = rows_of(self._stage, [one for one in made if isinstance(one, Entry)])
        stored = chunk.rows if chunk.rows.num_rows else again.slice(0, 0)
        self.tally.add(compare_rows(stored, again, _KEYS[self._stage], exact=self._exact))


def _numbers(rows: pa.Table, name: str) -> Any:
    return np.asarray(rows[name].fill_null(0))
