"""What the steps of a line were told while they worked: each config, and the tick at which it took effect.

Blocks alone do not say under which config they were worked through. With these two small tables the whole computation
can be done again. Both are written before the rows that follow, and once: the position is in the commit itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

from wheeltapper_api.config import LineConfig, canonical_json
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_TICK, Line, Stage
from wheeltapper_workers.history.rows import line_of
from wheeltapper_workers.history.tables import CONFIGS, SCHEMAS, TICKS, Store

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 5
_US_PER_DAY: Final = 86_400 * 10**6
_LATEST_US: Final = 253_402_300_799 * 10**6
"""The end of the year 9999, beyond which no table can tell a time."""
_GENERATION_LENGTH: Final = 64
_CONFIGS_ID: Final = f"wheeltapper-historian/{CONFIGS}"
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=3)


@dataclass(frozen=True, slots=True)
class ToldTick:
    """A tick that tells a config generation."""

    line: Line
    sequence: int
    time_ns: int
    generation: str
    learned: bytes = b""


def read_tick(sequence: int, subject: str, headers: Mapping[str, str], learned: bytes = b"") -> ToldTick | None:
    """Tick of a message; None if no step would change its config for it."""
    told, generation = headers.get(HEADER_TICK, ""), headers.get(HEADER_GENERATION, "")
    if not told.isdecimal() or len(told) > 19 or not generation or len(generation) > _GENERATION_LENGTH:
        return None
    try:
        line = line_of(subject)
    except ValueError:
        return None
    return ToldTick(line, sequence, int(told), generation, learned)


class Announcements:
    """Writes both tables of a tenant. It blocks, and belongs in the thread that commits."""

    def __init__(self, store: Store, tenant: str) -> None:
        self.store, self._tenant = store, tenant
        self._waiting: dict[str, LineConfig] = {}
        self._kept: set[str] = set()

    def want(self, configs: Iterable[LineConfig], generation_of: Callable[[LineConfig], str]) -> None:
        """Keep configs at the next ``keep_configs``; does no I/O."""
        for config in configs:
            generation = generation_of(config)
            if generation not in self._kept:
                self._waiting[generation] = config

    def keep_configs(self) -> None:
        """Append the configs whose generation is not there yet.

        Raises
        ------
        DeltaError, OSError
            If the table cannot be written; they wait for the next time.
        """
        waiting = dict(self._waiting)
        if not waiting:
            return

        def rows(table: DeltaTable, version: int) -> tuple[pa.Table, int]:
            there = set(table.to_pyarrow_table(columns=["generation"])["generation"].to_pylist())
            missing = {generation: config for generation, config in waiting.items() if generation not in there}
            return _config_rows(missing, time.time_ns() // 1000), version + 1

        self._append(CONFIGS, _CONFIGS_ID, rows)
        self._kept |= set(waiting)
        for generation in waiting:
            self._waiting.pop(generation, None)

    def keep_ticks(self, stage: Stage, ticks: list[ToldTick], last: int) -> None:
        """Append those of the ticks, in their order, that change the generation of their line.

        Parameters
        ----------
        last
            Sequence of the stream up to which ``ticks`` are all that there were.

        Raises
        ------
        DeltaError, OSError
            If the table cannot be written.
        """

        def rows(table: DeltaTable, version: int) -> tuple[pa.Table, int]:
            present = _present(table, stage)
            changes = []
            for tick in ticks:
                if tick.sequence > version and present.get(tick.line) != tick.generation:
                    present[tick.line] = tick.generation
                    changes.append(tick)
            return _tick_rows(stage, changes), last

        self._append(TICKS, _ticks_id(stage), rows)

    def _append(self, name: str, app_id: str, make: Callable[[DeltaTable, int], tuple[pa.Table, int]]) -> None:
        """Append what ``make`` says on a snapshot, together with a version of the application; nothing if no rows."""
        for _ in range(_ATTEMPTS):
            table = self.store.create(self._tenant, name)
            rows, version = make(table, table.transaction_version(app_id) or 0)
            if not rows.num_rows:
                return
            properties = CommitProperties(app_transactions=[Transaction(app_id, version)])
            try:
                write_deltalake(
                    table,
                    rows,
                    mode="append",
                    schema_mode="merge",  # a table may be older than a column
                    writer_properties=_WRITER,
                    commit_properties=properties,
                )
            except CommitFailedError as error:
                log.info("Wrote %s at the same time as another: %s", name, error)
                continue
            return
        raise CommitFailedError(
            f"others wrote {name} {_ATTEMPTS} times in between; only one historian may serve a tenant"
        )


def writers(name: str) -> list[str]:
    """Names under which one of the two tables is committed to."""
    return [_CONFIGS_ID] if name == CONFIGS else [_ticks_id(stage) for stage in Stage]


def _ticks_id(stage: Stage) -> str:
    return f"wheeltapper-historian/{TICKS}/{stage.stream}"


def _present(table: DeltaTable, stage: Stage) -> dict[Line, str]:
    """Generation of each line at a stage, after the last tick that is stored."""
    rows = table.to_pyarrow_dataset().to_table(filter=pc.field("stage") == stage.value).sort_by("block_sequence")
    tenant = table.table_uri.rstrip("/").split("/")[-2]
    return {
        Line(tenant=tenant, plant=row["plant"], asset_class=row["class"], shard=row["shard"]): row["generation"]
        for row in rows.select(["plant", "class", "shard", "generation"]).to_pylist()
    }


def _config_rows(configs: Mapping[str, LineConfig], now_us: int) -> pa.Table:
    return _table(
        CONFIGS,
        [
            {**_place(config.line, now_us), "generation": generation, "document": canonical_json(config)}
            for generation, config in configs.items()
        ],
    )


def _tick_rows(stage: Stage, ticks: list[ToldTick]) -> pa.Table:
    return _table(
        TICKS,
        [
            {
                **_place(tick.line, min(tick.time_ns // 1000, _LATEST_US)),
                "stage": stage.value,
                "block_sequence": tick.sequence,
                "generation": tick.generation,
                "learned": tick.learned or None,
            }
            for tick in ticks
        ],
    )


def _place(line: Line, time_us: int) -> dict[str, Any]:
    return {
        "plant": line.plant,
        "class": line.asset_class,
        "shard": line.shard,
        "day": time_us // _US_PER_DAY,
        "time": time_us,
    }


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows in the table's types; times are microseconds, days count from 1970."""
    schema = SCHEMAS[name]
    arrays = []
    for field in schema:
        values = [row[field.name] for row in rows]
        if pa.types.is_date32(field.type):
            arrays.append(pa.array(values, pa.int32()).view(field.type))
        elif pa.types.is_timestamp(field.type):
            arrays.append(pa.array(values, pa.int64()).view(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
