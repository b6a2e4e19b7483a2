"""What a line's steps were told, read back: its configs, and the tick at which each took effect at a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from wheeltapper_api.config import LineConfig
from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.stored import of_line
from wheeltapper_workers.history.tables import CONFIGS, TICKS, Store
from wheeltapper_workers.runtime.blocks import Tick
from wheeltapper_workers.runtime.configs import line_generation


@dataclass(frozen=True, slots=True)
class Change:
    """A generation, and the stream sequence from which on it holds."""

    sequence: int
    generation: str
    learned: bytes = b""
    """Baselines that came with it."""

    def tick(self, stage: Stage) -> Tick:
        """The tick that told it."""
        return Tick(stage.stream, self.sequence, 0, self.generation, self.learned)


@dataclass(frozen=True, slots=True)
class Told:
    """Configs of a line by generation, and the changes at each stage in their order."""

    configs: Mapping[str, LineConfig]
    changes: Mapping[Stage, tuple[Change, ...]]

    def config(self, generation: str) -> LineConfig:
        """Config of a generation.

        Raises
        ------
        QueryError
            If it is not kept, or not what it was.
        """
        config = self.configs.get(generation)
        if config is None:
            raise QueryError(
                f"The config {generation or '(unnamed)'} is not kept: the historian did not run, or did not keep "
                "configs yet, while it was in force. What was computed under it cannot be computed again"
            )
        if line_generation(config) != generation:
            raise QueryError(f"The stored config {generation} is damaged; restore the table {CONFIGS} from a backup")
        return config

    def first(self, stage: Stage, otherwise: str) -> str:
        """Generation under which a stage began; ``otherwise`` where no tick is stored."""
        changes = self.changes.get(stage, ())
        return changes[0].generation if changes else otherwise

    def at(self, stage: Stage, sequence: int, otherwise: str) -> str:
        """Generation that a block of a stage ran under."""
        changes = self.changes.get(stage, ())
        found = self.first(stage, otherwise)
        for change in changes:
            if change.sequence < sequence:
                found = change.generation
        return found


def told(store: Store, line: Line) -> Told:
    """What the tables have of a line.

    Raises
    ------
    QueryError
        If a stored config cannot be read.
    """
    configs = {}
    for row in _rows(store, line, CONFIGS, ["generation", "document"]):
        try:
            configs[row["generation"]] = LineConfig.model_validate_json(row["document"])
        except ValueError as error:
            raise QueryError(f"The stored config {row['generation']} cannot be read: {error}") from error
    changes: dict[Stage, list[Change]] = {}
    ticks = _rows(store, line, TICKS, ["stage", "block_sequence", "generation", "learned"])
    for row in sorted(ticks, key=lambda row: int(row["block_sequence"])):
        change = Change(int(row["block_sequence"]), row["generation"], row.get("learned") or b"")
        changes.setdefault(Stage(row["stage"]), []).append(change)
    return Told(configs, {stage: tuple(found) for stage, found in changes.items()})


def lines(store: Store, tenant: str, plant: str, asset_class: str) -> list[Line]:
    """Lines of a class at a plant that have a stored config."""
    line = Line(tenant=tenant, plant=plant, asset_class=asset_class)
    shards = sorted({row["shard"] for row in _rows(store, line, CONFIGS, ["shard"])})
    return [line.model_copy(update={"shard": shard}) for shard in shards]


def _rows(store: Store, line: Line, table: str, columns: list[str]) -> list[dict[str, Any]]:
    dataset = store.dataset(line.tenant, table)
    if dataset is None:
        return []
    where = of_line(line)
    if "shard" not in columns:
        where &= pc.field("shard") == line.shard
    there = [name for name in columns if name in dataset.schema.names]  # a table may be older than a column
    rows: list[dict[str, Any]] = dataset.to_table(columns=there, filter=where).to_pylist()
    return rows
