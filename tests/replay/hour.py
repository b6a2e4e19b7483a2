"""An hour of a works in which machines fail: its streams, kept by a historian in small files, and all its alerts.

The machines are those of the simulated fleet, with the classes and the failure models of the library. These wait for
days and weeks, so all their lengths are divided by ``Orders.faster``, and baselines learn for ``Orders.learn_s`` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from typing import Any, Final
from unittest import mock

import pyarrow.fs as pafs

from tests.bench.plant import NS, START_S, batches, chunks, configs
from tests.replay.conftest import STEPS, Live, Message, Streams, store_config
from wheeltapper_api.config import LineConfig, PipelineConfig, PolicyConfig
from wheeltapper_api.fields import duration_text
from wheeltapper_api.wire import Stage
from wheeltapper_workers.contracts.check import check
from wheeltapper_workers.contracts.state import initial
from wheeltapper_workers.contracts.table import series_table
from wheeltapper_workers.history import historian as module
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.query import alerts
from wheeltapper_workers.history.replay import Replay, replay
from wheeltapper_workers.history.sweeping import sweep
from wheeltapper_workers.history.tables import TABLES, Store
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.line import line_generation
from wheeltapper_workers.simulator.fleet.fleet import Fleet
from wheeltapper_workers.simulator.fleet.scenario import FleetScenario

TENANT: Final = "bench"
FAULTS: Final = {
    "centrifugal-pump-001": "seal-leakage",
    "centrifugal-pump-002": "cavitation",
    "injection-molding-machine-001": "seal-leakage",
    "fan-001": "unbalance",
    "conveyor-001": "misalignment",
}
"""Faults of the machines, all of which are found while they grow."""


@dataclass(frozen=True)
class Orders:
    """Which recording to make."""

    seed: int
    minutes: int = 60
    classes: tuple[str, ...] = ("centrifugal-pump", "fan", "conveyor", "injection-molding-machine")
    """Each with two machines."""
    faster: int = 20
    learn_s: int = 900
    onset_s: int = 1200
    growth_s: int = 1800
    block_s: int = 5
    """What one telemetry block holds."""
    commit_s: int = 30
    """What one file holds."""

    @property
    def seconds(self) -> int:
        """Length of the recording."""
        return self.minutes * 60

    def fleet(self) -> Fleet:
        """Machines that fail, sensors that are wrong, and a clock that is behind, so that its samples are late."""
        faults = [
            {"asset": asset, "kind": kind, "at": f"{self.onset_s}s", "growth": f"{self.growth_s}s"}
            for asset, kind in FAULTS.items()
            if asset.rpartition("-")[0] in self.classes
        ]
        pump, half = "centrifugal-pump-002", f"{self.seconds // 2}s"
        troubles = [
            {"asset": pump, "signal": "vibration-nde", "kind": "clock", "at": "60s", "for": half, "size": -20},
            {"asset": pump, "signal": "flow", "kind": "dropout", "at": half, "for": "40s"},
        ]
        machines = [{"class": kind, "count": 2} for kind in self.classes]
        scenario = {
            "seed": self.seed,
            "areas": [{"name": "hall", "serve": "opcua", "machines": machines}],
            "faults": faults,
            "sensorFaults": troubles,
            "bursts": "2m",
        }
        return FleetScenario.model_validate(scenario).fleet(START_S, START_S + self.seconds, 1)


class Recording:
    """The streams of all lines over the time of the recording."""

    def __init__(self, orders: Orders) -> None:
        self.orders, self.streams, self.samples = orders, Streams(), 0
        fleet = orders.fleet()
        lines = [_Line(fleet, kind, orders, self.streams) for kind in fleet.members]
        for number, blocks in enumerate(zip(*(line.blocks() for line in lines), strict=True)):
            now_ns = (START_S + (number + 1) * orders.block_s) * NS
            for line, found in zip(lines, blocks, strict=True):
                if now_ns == (START_S + orders.seconds // 2) * NS:
                    line.tighten(now_ns)
                for block in found:
                    self.samples += block.num_rows
                    line.live.take(Stage.TELEMETRY, now_ns, to_bytes(block))
        self.configs = [config for line in lines for config in line.live.configs]

    def keep(self, root: str) -> Historian:
        """Have a historian store it, with a commit every so many seconds."""
        historian = Historian(root, store_config(self.configs).model_copy(update={"tenant": TENANT}))
        due_ns = 0
        for message in self._in_order():
            if message.published_ns >= due_ns:
                historian.commit()
                due_ns = message.published_ns + self.orders.commit_s * NS
            message.add_to(historian)
        historian.commit()
        return historian

    def _in_order(self) -> Iterator[Message]:
        return merge(*self.streams.messages.values(), key=attrgetter("published_ns"))


class _Line:
    """A class of machines, from what its sensors send to what its roles publish."""

    def __init__(self, fleet: Fleet, kind: str, orders: Orders, streams: Streams) -> None:
        self._fleet, self._kind, self._orders = fleet, kind, orders
        self._collector, config = configs(fleet, kind)
        self._config = shorter(config, orders.faster, orders.learn_s)
        self.live = Live(self._config, streams)
        for stage in STEPS:
            self.live.tick(stage, START_S * NS, line_generation(self._config))

    def blocks(self) -> Iterator[list[Any]]:
        """Telemetry blocks of each few seconds."""
        table = series_table(self._collector)
        state = initial(table, START_S * NS)
        for chunk in chunks(self._fleet, self._kind, self._orders.seconds):
            assets = self._fleet.members[self._kind]
            for raw in batches(chunk, self._collector, self._kind, assets, self._orders.block_s):
                state, checked = check(state, raw, table)
                yield [block for _, block in checked.blocks(table)]

    def tighten(self, now_ns: int) -> None:
        """Have the alerts come at lower scores from now on."""
        models = []
        for model in self._config.models:
            bands = [band.model_copy(update={"above": band.above * 0.9}) for band in model.policy.severities]
            policy = model.policy.model_copy(
                update={"severities": bands, "clear_below": model.policy.clear_below * 0.9}
            )
            models.append(model.model_copy(update={"policy": policy}))
        self.live.configure(self._config.model_copy(update={"models": models}), now_ns)


def shorter(config: LineConfig, faster: int, learn_s: int) -> LineConfig:
    """The line with all lengths divided."""
    models = []
    for model in config.models:
        learn_ns = None if model.baseline_at_least_ns is None else learn_s * NS
        policy = _shorter_policy(model.policy, faster)
        models.append(model.model_copy(update={"policy": policy, "baseline_at_least_ns": learn_ns}))
    return config.model_copy(update={"pipeline": _shorter_pipeline(config.pipeline, faster), "models": models})


def _shorter_pipeline(pipeline: PipelineConfig, faster: int) -> PipelineConfig:
    features = [one.model_copy(update={"window_ns": one.window_ns // faster}) for one in pipeline.features]
    modes = []
    for mode in pipeline.modes:
        when = [
            one.model_copy(update={"within_ns": None if one.within_ns is None else one.within_ns // faster})
            for one in mode.when
        ]
        modes.append(mode.model_copy(update={"when": when}))
    every = {"every_ns": pipeline.every_ns // faster, "lateness_ns": pipeline.lateness_ns // faster}
    return pipeline.model_copy(update={**every, "features": features, "modes": modes})


def _shorter_policy(policy: PolicyConfig, faster: int) -> PolicyConfig:
    bands = [
        one.model_copy(update={"hold_ns": one.hold_ns // faster, "hold": duration_text(one.hold_ns // faster)})
        for one in policy.severities
    ]
    return policy.model_copy(update={"severities": bands, "clear_hold_ns": policy.clear_hold_ns // faster})


def replays(root: str) -> dict[str, Replay]:
    """Every alert that is stored, done again."""
    names = [event.data.alert_id for event in alerts(root, TENANT)]
    return {name: replay(root, TENANT, name) for name in names}


def merged_and_swept(root: str, historian: Historian) -> None:
    """Merge the small files of every table, and remove them."""
    with mock.patch.object(module, "COMPACT_FILES", 0):
        while historian.compact():
            pass
    for name in TABLES:
        sweep(Store(root), TENANT, name, module._writers(name), kept_hours=0)


def files(root: str, table: str) -> int:
    """Data files that are there, whether or not the table has them."""
    found = Store(root).files(TENANT, table).get_file_info(pafs.FileSelector("", recursive=True))
    return sum(info.is_file and "_delta_log" not in info.path for info in found)
