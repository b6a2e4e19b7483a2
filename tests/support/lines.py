"""A small line for tests: two signals, three features, modes with load bands, one learned model."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

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
)
from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_api.kinds.failuremodel import Detector, Direction, EwmaDetector
from wheeltapper_api.wire import Line, RecommendedAction, Stage
from wheeltapper_workers.runtime.blocks import encode_names, encode_times, make_batch

SECOND = 10**9
START = 1_700_000_000 * SECOND
LINE = Line(tenant="northwater", plant="riverside", asset_class="pump")
ASSETS = ["p-1", "p-2", "p-3"]
SIGNALS = ["vibration", "speed"]

PIPELINE = PipelineConfig(
    every_ns=10 * SECOND,
    lateness_ns=2 * SECOND,
    signals=[
        SignalConfig(name="vibration", title="Vibration", unit="mm/s", kind="gauge"),
        SignalConfig(name="speed", title="Speed", unit="/min", kind="gauge"),
    ],
    features=[
        FeatureConfig(
            name="vibration-level",
            title="Vibration",
            unit="mm/s",
            of="vibration",
            function=Function.MEAN,
            window_ns=30 * SECOND,
            resolution=0.01,
        ),
        FeatureConfig(
            name="vibration-kurtosis",
            title="Kurtosis of the vibration",
            unit="1",
            of="vibration",
            function=Function.KURTOSIS,
            window_ns=60 * SECOND,
        ),
        FeatureConfig(
            name="speed-level", title="Speed", unit="/min", of="speed", function=Function.MEAN, window_ns=10 * SECOND
        ),
    ],
    modes=[
        ModeConfig(name="off", title="Off", when=[ModeConditionConfig(feature="speed-level", below=50)]),
        ModeConfig(name="start-up", title="Start-up", when=[ModeConditionConfig(since="off", within_ns=60 * SECOND)]),
        ModeConfig(name="running", title="Running", when=[], band_of="speed-level", band_unit="/min", edges=[1000.0]),
    ],
)

POLICY = PolicyConfig(
    severities=[SeverityConfig(name="warn", above=1.0, hold_ns=20 * SECOND, hold="20s")],
    clear_below=0.8,
    clear_hold_ns=30 * SECOND,
)

MODEL = ModelConfig(
    name="wear",
    version="1.0.0",
    failure_mode="Bearing wear",
    description="Rolling elements and races pit.",
    inputs=[InputConfig(feature="vibration-level", direction=Direction.UP, resolution=0.01)],
    modes=["running"],
    detector=Detector(ewma=EwmaDetector(smoothing=0.2, limit=10)),
    baseline_at_least_ns=1800 * SECOND,
    min_coverage=0.5,
    policy=POLICY,
    action=RecommendedAction(recommend="Grease the bearing", when="next-shift", parts=[]),
)


def line_config(
    assets: list[str] = ASSETS, pipeline: PipelineConfig = PIPELINE, model: ModelConfig = MODEL
) -> LineConfig:
    return LineConfig(
        line=LINE,
        plant_title="Riverside",
        class_title="Pump",
        pipeline=pipeline,
        assets=[
            AssetConfig(
                name=name,
                title=name.upper(),
                criticality="A",
                mode="review",
                signals=dict.fromkeys(SIGNALS, SECOND),
                stale_after_ns=dict.fromkeys(SIGNALS, 30 * SECOND),
                models=[AssetModelConfig(name=model.name)],
            )
            for name in assets
        ],
        models=[model],
    )


class Samples:
    """Samples as columns, in the order in which they arrive."""

    def __init__(self, asset, signal, time_ns, value, quality=None, ordinal=None, received=None) -> None:
        self.asset, self.signal = np.asarray(asset), np.asarray(signal)
        self.time, self.value = np.asarray(time_ns, np.int64), np.asarray(value, np.float64)
        count = len(self.asset)
        self.quality = np.zeros(count, np.uint16) if quality is None else np.asarray(quality, np.uint16)
        self.ordinal = np.zeros(count, np.uint32) if ordinal is None else np.asarray(ordinal, np.uint32)
        self.received = self.time if received is None else np.asarray(received, np.int64)

    def __len__(self) -> int:
        return len(self.asset)

    def take(self, rows) -> Samples:
        return Samples(
            self.asset[rows],
            self.signal[rows],
            self.time[rows],
            self.value[rows],
            self.quality[rows],
            self.ordinal[rows],
            self.received[rows],
        )

    def batch(self, assets: list[str] = ASSETS) -> pa.RecordBatch:
        count = len(self)
        return make_batch(
            Stage.TELEMETRY,
            {
                "asset": encode_names(assets, self.asset),
                "signal": encode_names(SIGNALS, self.signal),
                "source_time": encode_times(self.time),
                "ordinal": self.ordinal,
                "value": self.value,
                "text": encode_names([], np.full(count, -1)),
                "quality": self.quality,
                "status": np.zeros(count, np.uint32),
                "received_time": encode_times(self.received),
            },
        )


def healthy(seconds: int, seed: int = 1, assets: int = len(ASSETS), start: int = START) -> Samples:
    """Every asset running at 1,480/min with a quiet bearing, one sample a second and signal, in order of time."""
    random = np.random.default_rng(seed)
    time = np.repeat(start + np.arange(seconds) * SECOND, assets * 2)
    asset = np.tile(np.repeat(np.arange(assets), 2), seconds)
    signal = np.tile(np.arange(2), seconds * assets)
    value = np.where(signal == 0, random.normal(2.0, 0.1, len(time)), random.normal(1480, 3, len(time)))
    return Samples(asset, signal, time, value)
