"""An hour of a plant as its historian keeps it: telemetry, and what the real steps made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from tests.support.lines import LINE, SECOND
from wheeltapper_api.config import (
    AssetConfig,
    AssetModelConfig,
    FeatureConfig,
    InputConfig,
    LineConfig,
    ModeConditionConfig,
    ModeConfig,
    ModelConfig,
    PipelineConfig,
    PolicyConfig,
    SeverityConfig,
    SignalConfig,
    StoreConfig,
)
from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_api.kinds.failuremodel import Detector, Direction, EwmaDetector
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_INPUT, HEADER_TICK, RecommendedAction, Stage
from wheeltapper_workers.alerts.alerter import AlertStep
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.again import OUTPUT_OF
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.runtime.blocks import Block, encode_names, encode_times, make_batch
from wheeltapper_workers.runtime.line import line_generation
from wheeltapper_workers.runtime.step import Output
from wheeltapper_workers.scoring.scorer import ScoreStep

_MINUTE: Final = 60 * SECOND
_START: Final = 1_700_000_000 * SECOND // _MINUTE * _MINUTE
_KURTOSES: Final = 6
_INPUTS: Final = 4
_STEPS: Final = {Stage.TELEMETRY: FeaturizeStep, Stage.FEATURES: ScoreStep, Stage.SCORES: AlertStep}
_COMPACT_COMMITS: Final = 50


@dataclass(frozen=True, slots=True)
class Plant:
    """How much there is; a block a second with one sample of every series."""

    assets: int = 1_000
    signals: int = 24
    seconds: int = 3_600

    @property
    def series(self) -> int:
        """Signals of all assets."""
        return self.assets * self.signals

    @property
    def worn(self) -> slice:
        """Series of the one asset that wears out: the inputs of its model."""
        asset = min(7, self.assets - 1)
        return slice(asset * self.signals, asset * self.signals + _INPUTS)


def config(plant: Plant) -> LineConfig:
    """A mean of a minute of every signal, kurtoses of five minutes of some; a model that learns half the time."""
    signals = [f"signal-{number}" for number in range(plant.signals)]
    features = [_feature(f"level-{at}", name, Function.MEAN, _MINUTE) for at, name in enumerate(signals)]
    features += [
        _feature(f"kurtosis-{at}", name, Function.KURTOSIS, 5 * _MINUTE) for at, name in enumerate(signals[:_KURTOSES])
    ]
    modes = [
        ModeConfig(name="off", title="Off", when=[ModeConditionConfig(feature="level-0", below=0.5)]),
        ModeConfig(name="running", title="Running", when=[]),
    ]
    wear = _model(plant)
    own = {"signals": dict.fromkeys(signals, SECOND), "stale_after_ns": dict.fromkeys(signals, 30 * SECOND)}
    return LineConfig(
        line=LINE,
        plant_title="Plant",
        class_title="Machine",
        pipeline=PipelineConfig(
            every_ns=_MINUTE,
            lateness_ns=2 * SECOND,
            signals=[SignalConfig(name=name, title=name, unit="1", kind="gauge") for name in signals],
            features=features,
            modes=modes,
        ),
        assets=[
            AssetConfig(
                name=f"a-{number:04}",
                title=f"Machine {number}",
                criticality="A",
                mode="review",
                models=[AssetModelConfig(name=wear.name)],
                **own,
            )
            for number in range(plant.assets)
        ],
        models=[wear],
    )


def _feature(name: str, of: str, function: Function, window_ns: int) -> FeatureConfig:
    return FeatureConfig(name=name, title=name, unit="1", of=of, function=function, window_ns=window_ns)


def _model(plant: Plant) -> ModelConfig:
    return ModelConfig(
        name="wear",
        version="1.0.0",
        failure_mode="Wear",
        description="What is compared with its own past",
        inputs=[
            InputConfig(feature=f"level-{number}", direction=Direction.UP, resolution=0.01) for number in range(_INPUTS)
        ],
        modes=["running"],
        detector=Detector(ewma=EwmaDetector(smoothing=0.5, limit=10)),
        baseline_at_least_ns=plant.seconds // 2 * SECOND,
        min_coverage=0.5,
        policy=PolicyConfig(
            severities=[SeverityConfig(name="warn", above=1.0, hold_ns=2 * _MINUTE, hold="2m")],
            clear_below=0.8,
            clear_hold_ns=2 * _MINUTE,
        ),
        action=RecommendedAction(recommend="Look at it", when="next-shift", parts=[]),
    )


class Recording:
    """Blocks through the steps and everything into the tables under a folder."""

    def __init__(self, root: str, plant: Plant) -> None:
        self._plant = plant
        self._config = config(plant)
        self._generation = line_generation(self._config)
        store = StoreConfig(tenant=LINE.tenant, lines=[self._config], commit_every_ns=10 * SECOND, commit_rows=100_000)
        self._historian = Historian(root, store)
        self._steps = {stage: step(self._config) for stage, step in _STEPS.items()}
        self._states = {stage: step.initial(self._config) for stage, step in self._steps.items()}
        self._sequence = dict.fromkeys(Stage, 0)
        self._random = np.random.default_rng(1)

    def make(self) -> None:
        """Record everything."""
        for stage in _STEPS:
            self._keep(stage, b"", {HEADER_TICK: "1"}, _START)
        commits = 0
        for second in range(self._plant.seconds):
            now_ns = _START + (second + 1) * SECOND
            self._take(Stage.TELEMETRY, self._telemetry(second), "", now_ns)
            if self._historian.due(0):
                self._historian.commit()
                commits += 1
                if commits % _COMPACT_COMMITS == 0:
                    self._historian.compact()
        self._historian.commit()

    def _telemetry(self, second: int) -> pa.RecordBatch:
        """Values of a 12-bit converter, times with a jitter of microseconds."""
        plant, count = self._plant, self._plant.series
        value = np.round(self._random.normal(100, 1, count) * 40.96) / 40.96
        if second > plant.seconds * 9 // 10:
            value[plant.worn] += 30
        jitter = self._random.integers(0, SECOND // 1000, count) * 1000
        time = _START + second * SECOND + jitter
        columns = {
            "asset": encode_names(
                [asset.name for asset in self._config.assets], np.repeat(np.arange(plant.assets), plant.signals)
            ),
            "signal": encode_names(
                [signal.name for signal in self._config.pipeline.signals],
                np.tile(np.arange(plant.signals), plant.assets),
            ),
            "source_time": encode_times(time),
            "ordinal": np.zeros(count, np.uint32),
            "value": value,
            "text": encode_names([], np.full(count, -1)),
            "quality": np.zeros(count, np.uint16),
            "status": np.zeros(count, np.uint32),
            "received_time": encode_times(time + SECOND - jitter * 6 // 7),
        }
        return make_batch(Stage.TELEMETRY, columns)

    def _take(self, stage: Stage, output: Output, made_of: str, now_ns: int) -> None:
        """Keep what was made, and all that is made of it."""
        payload = output if isinstance(output, pa.RecordBatch) else output.model_dump_json().encode()
        number = self._keep(stage, payload, {HEADER_INPUT: made_of}, now_ns)
        if not isinstance(output, pa.RecordBatch):
            return
        block = Block(stage.stream, number, output, "", self._generation)
        self._states[stage], made = self._steps[stage].step(self._states[stage], block)
        for part, one in enumerate(made):
            self._take(OUTPUT_OF[stage], one, f"{number}:{part}", now_ns)

    def _keep(self, stage: Stage, payload: bytes | pa.RecordBatch, headers: dict[str, str], now_ns: int) -> int:
        self._sequence[stage] += 1
        number, writer = self._sequence[stage], "tick" if HEADER_TICK in headers else "writer"
        told = headers | {HEADER_GENERATION: self._generation}
        refused = self._historian.add(stage, number, now_ns, LINE.subject(stage, writer), payload, told)
        assert refused is None, refused
        return number
