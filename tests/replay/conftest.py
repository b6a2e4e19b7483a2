"""A line whose streams are made by the real steps, with ticks and changes of config, and kept by a historian."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.support import lines
from tests.support.lines import LINE, SECOND, START, healthy
from wheeltapper_api.config import LineConfig, StoreConfig
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_INPUT, HEADER_TICK, Stage
from wheeltapper_workers.alerts.alerter import AlertStep
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.query import alerts
from wheeltapper_workers.history.tables import PARTITIONS, Store
from wheeltapper_workers.runtime.blocks import Block, Tick, from_bytes, to_bytes
from wheeltapper_workers.runtime.configs import line_generation
from wheeltapper_workers.scoring.scorer import ScoreStep

BLOCK_SECONDS = 5
SECONDS = 800
FAULT_AT = 500
MODEL = lines.MODEL.model_copy(update={"baseline_at_least_ns": 300 * SECOND})
"""Learns quickly, so that a test need not be long."""
STEPS = {Stage.TELEMETRY: FeaturizeStep, Stage.FEATURES: ScoreStep, Stage.SCORES: AlertStep}
OUTPUT = {Stage.TELEMETRY: Stage.FEATURES, Stage.FEATURES: Stage.SCORES, Stage.SCORES: Stage.EVENTS}


@dataclass
class Message:
    """As a stream holds it."""

    stage: Stage
    sequence: int
    published_ns: int
    payload: bytes
    headers: dict[str, str]

    def add_to(self, historian: Historian) -> None:
        writer = "tick" if HEADER_TICK in self.headers else "writer"
        subject = LINE.subject(self.stage, writer)
        arguments = (self.stage, self.sequence, self.published_ns, subject, self.payload, self.headers)
        assert historian.add(*arguments) is None


@dataclass
class Streams:
    """What one live line would have published, in the order in which it was."""

    messages: dict[Stage, list[Message]] = field(default_factory=lambda: {stage: [] for stage in Stage})
    _gaps: int = 0

    def publish(self, stage: Stage, now_ns: int, payload: bytes, headers: dict[str, str]) -> Message:
        # Other lines publish in the same streams: the numbers of one line have gaps.
        self._gaps = (self._gaps * 7 + 3) % 5
        before = self.messages[stage][-1].sequence if self.messages[stage] else 0
        message = Message(stage, before + 1 + self._gaps, now_ns, payload, headers)
        self.messages[stage].append(message)
        return message


def line_config(**options) -> LineConfig:
    return lines.line_config(**{"model": MODEL, **options})


class Live:
    """The three roles of a line, as the runtime drives them."""

    def __init__(self, config: LineConfig) -> None:
        self.streams = Streams()
        self._wanted = config
        self._configs = {line_generation(config): config}
        self._steps = {stage: step(config) for stage, step in STEPS.items()}
        self._states = {stage: step.initial(config) for stage, step in self._steps.items()}
        self._generations = dict.fromkeys(STEPS, line_generation(config))

    def configure(self, config: LineConfig, now_ns: int, stages: Iterable[Stage] = STEPS, learned: bytes = b"") -> None:
        """Tell the steps of some stages another config, through their streams."""
        self._configs[line_generation(config)] = config
        for stage in stages:
            self.tick(stage, now_ns, line_generation(config), b"" if stage is Stage.SCORES else learned)

    def tick(self, stage: Stage, now_ns: int, generation: str, learned: bytes = b"") -> None:
        told = {HEADER_TICK: str(now_ns), HEADER_GENERATION: generation}
        message = self.streams.publish(stage, now_ns, learned, told)
        if generation and generation != self._generations[stage]:
            config = self._configs[generation]
            self._states[stage] = self._steps[stage].reconfigure(self._states[stage], config)
            self._generations[stage] = generation
        tick = Tick(stage.stream, message.sequence, now_ns, generation, learned)
        self._states[stage], outputs = self._steps[stage].step(self._states[stage], tick)
        assert not outputs

    def take(self, stage: Stage, now_ns: int, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish a message, and all that comes of it."""
        message = self.streams.publish(stage, now_ns, payload, headers or {})
        if stage is Stage.EVENTS:
            return
        batch, generation = from_bytes(payload, stage), message.headers.get(HEADER_GENERATION, "")
        block = Block(stage.stream, message.sequence, batch, "", generation)
        self._states[stage], outputs = self._steps[stage].step(self._states[stage], block)
        for part, output in enumerate(outputs):
            told = {HEADER_INPUT: f"{message.sequence}:{part}", HEADER_GENERATION: self._generations[stage]}
            data = output.model_dump_json().encode() if stage is Stage.SCORES else to_bytes(output)
            self.take(OUTPUT[stage], now_ns + 10**7, data, told)

    @property
    def configs(self) -> list[LineConfig]:
        return list(self._configs.values())


def faulty(seconds: int = SECONDS, fault_at: int = FAULT_AT, until: int | None = None):
    """Three pumps, of which the second has a worn bearing from a time on."""
    samples = healthy(seconds)
    samples.received = samples.time + 20_000_007
    at = (samples.time - START) // SECOND
    worn = (samples.asset == 1) & (samples.signal == 0) & (at >= fault_at) & (at < (until or seconds))
    samples.value = np.where(worn, samples.value * 4, samples.value)
    return samples


def blocks_of(samples, block_seconds: int = BLOCK_SECONDS):
    """Samples as blocks, by the time they were received, with the time of each."""
    number = (samples.received - START) // (block_seconds * SECOND)
    for one in np.unique(number):
        part = samples.take(np.flatnonzero(number == one))
        yield int(part.received.max()) + 30_000_000, part


def run(samples, changes: Callable[[Live, int], None] = lambda _live, _number: None, config=None) -> Live:
    """Live line over samples; ``changes`` is called before every block."""
    live = Live(config or line_config())
    for stage in STEPS:
        live.tick(stage, START, line_generation(config or line_config()))
    for number, (now_ns, part) in enumerate(blocks_of(samples)):
        changes(live, number)
        live.take(Stage.TELEMETRY, now_ns, to_bytes(part.batch()))
        if number % 7 == 0:
            live.tick(Stage.SCORES, now_ns, live._generations[Stage.SCORES])
    return live


def store_config(configs) -> StoreConfig:
    return StoreConfig(tenant=LINE.tenant, lines=list(configs), commit_every_ns=10 * SECOND, commit_rows=100_000)


def keep(live: Live, root: str, every: int = 100, messages=None, storage_options=None) -> Historian:
    """Keep the streams, committing after so many messages."""
    historian = Historian(root, store_config(live.configs), storage_options=storage_options)
    for stage, found in (messages or live.streams.messages).items():
        del stage
        for number, message in enumerate(found, 1):
            message.add_to(historian)
            if number % every == 0:
                historian.commit()
    historian.commit()
    return historian


@pytest.fixture(scope="session")
def live() -> Live:
    """Twelve minutes with a fault and its alert, which ends as the fault does."""
    return run(faulty(until=530))


@pytest.fixture(scope="session")
def root(live, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("replay"))
    keep(live, folder)
    return folder


@pytest.fixture
def copy(root, tmp_path) -> str:
    """The tables, to be spoilt."""
    folder = tmp_path / "tables"
    shutil.copytree(root, folder)
    return str(folder)


def the_alert(root: str, storage_options=None) -> str:
    """Id of the only alert there is."""
    (event,) = alerts(root, LINE.tenant, storage_options=storage_options)
    return event.data.alert_id


def rewrite(root: str, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace a table by what is made of its rows."""
    path = Store(root).path(LINE.tenant, table)
    rows = DeltaTable(path).to_pyarrow_table()
    write_deltalake(path, change(rows), mode="overwrite", partition_by=list(PARTITIONS))


def edit(root: str, table: str, where: pc.Expression, column: str, make: Callable[[Any], Any]) -> None:
    """Change the value of a column in the one row that a filter finds."""

    def change(rows: pa.Table) -> pa.Table:
        rows = rows.append_column("number", pa.array(range(rows.num_rows)))
        (found,) = rows.filter(where)["number"].to_pylist()
        values = rows[column].to_pylist()
        values[found] = make(values[found])
        position = rows.column_names.index(column)
        return rows.set_column(position, column, pa.array(values, rows[column].type)).drop_columns("number")

    rewrite(root, table, change)


def flip(value: float, bit: int = 0) -> float:
    """The number with one of its bits turned over."""
    return float((np.array([value]).view(np.int64) ^ (1 << bit)).view(np.float64)[0])
