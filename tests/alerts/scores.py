"""Score blocks for the alerter's tests, as the scorer makes them, and what comes of them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import numpy as np

from tests.support.lines import MODEL, SECOND, START, line_config
from wheeltapper_api.config import AssetModelConfig, LineConfig
from wheeltapper_api.wire import AlertEvent, NoScore, Stage
from wheeltapper_workers.alerts.alerter import AlertStep
from wheeltapper_workers.runtime.blocks import (
    Block,
    encode_matrix,
    encode_names,
    encode_times,
    from_bytes,
    make_batch,
    to_bytes,
)

EVERY = 10 * SECOND
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
DIGEST = "sha256:one"
NAN = math.nan


@dataclass(frozen=True)
class Score:
    """A row; ``at`` is its window end in seconds from the start."""

    at: float
    score: float
    asset: str = "p-1"
    model: str = MODEL.name
    mode: str | None = "running"
    band: int = 1
    reason: str | None = None
    values: tuple[float, ...] | None = None
    expected: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    coverage: float = 1.0
    digest: str = DIGEST
    late: float = 0.2
    features: int = 7

    @property
    def end(self) -> int:
        return START + round(self.at * SECOND)

    @property
    def why(self) -> str:
        return self.reason if self.reason is not None else (NoScore.NO_DATA if math.isnan(self.score) else "")


def batch(rows, metadata=None):
    """Block of rows."""

    def named(values):
        names = sorted({value for value in values if value is not None})
        return encode_names(names, np.array([-1 if v is None else names.index(v) for v in values], np.int64))

    def matrix(values):
        return encode_matrix(np.array(values, np.float64).reshape(len(rows), -1 if rows else 1))

    first = 100 + np.array([row.features for row in rows], np.int64)
    columns = {
        "asset": named([row.asset for row in rows]),
        "failure_model": named([row.model for row in rows]),
        "window_end": encode_times(np.array([row.end for row in rows], np.int64)),
        "mode": named([row.mode for row in rows]),
        "band": np.array([row.band for row in rows], np.int8),
        "mode_since": encode_times(np.full(len(rows), START)),
        "score": np.array([row.score for row in rows], np.float64),
        "reason": named([row.why for row in rows]),
        "values": matrix([row.values or (2.0 * row.score,) for row in rows]),
        "expected": matrix([row.expected or (1.3,) for row in rows]),
        "deviation": matrix([row.deviation or (row.score,) for row in rows]),
        "coverage": np.array([row.coverage for row in rows], np.float64),
        "model_digest": named([row.digest for row in rows]),
        "baseline_digest": named(["sha256:base"] * len(rows)),
        "features_sequence": np.array([row.features for row in rows], np.uint64),
        "telemetry_first": first.astype(np.uint64),
        "telemetry_last": (first + 3).astype(np.uint64),
        "received_last": encode_times(np.array([row.end + round(row.late * SECOND) for row in rows], np.int64)),
    }
    known = {"pipeline_digest": "sha256:pipe", "software": json.dumps({"numpy": "2", "cpu": "x"})}
    return make_batch(Stage.SCORES, columns, known | (metadata or {}))


def block(rows, sequence=1, metadata=None):
    """Block as a stream holds it, through the bytes of the wire."""
    data = from_bytes(to_bytes(batch(rows, metadata)), Stage.SCORES)
    return Block(Stage.SCORES.stream, sequence, data, TRACE, "g1")


def series(scores, start=0.0, **fields):
    """Rows of one pair, a window apart."""
    return [Score(start + 10.0 * i, score, **fields) for i, score in enumerate(scores)]


def groups(rows):
    """Rows by window, in order of time."""
    ends = sorted({row.at for row in rows})
    return [[row for row in rows if row.at == end] for end in ends]


@dataclass
class Alerter:
    """A step with its state; it counts the blocks."""

    config: LineConfig = field(default_factory=line_config)
    sequence: int = 0

    def __post_init__(self) -> None:
        self.step = AlertStep(self.config)
        self.state = self.step.initial(self.config)

    def feed(self, rows, metadata=None) -> list[AlertEvent]:
        """Events of the rows as one block."""
        self.sequence += 1
        self.state, events = self.step.step(self.state, block(rows, self.sequence, metadata))
        return events

    def play(self, rows) -> list[AlertEvent]:
        """Events of the rows, a block a window."""
        return [event for window in groups(rows) for event in self.feed(window)]

    def reconfigure(self, config: LineConfig) -> None:
        self.config = config
        self.state = self.step.reconfigure(self.state, config)

    def shown(self, asset="p-1", model=MODEL.name):
        return self.step.summary(self.state)["assets"][asset]["models"][model]


def told(events):
    """What happened, in short: kind, asset, severity, seconds from the start."""
    kinds = [event.type.split(".")[-2] for event in events]
    return [
        f"{kind} {event.data.asset} {event.data.severity} {seconds(event.time):g}"
        for kind, event in zip(kinds, events, strict=True)
    ]


def seconds(time):
    return (np.datetime64(time.rstrip("Z"), "ns").astype(np.int64).item() - START) / SECOND


def with_asset(config, name="p-1", **update):
    """Config with one asset changed."""
    assets = [asset.model_copy(update=update) if asset.name == name else asset for asset in config.assets]
    return config.model_copy(update={"assets": assets})


def with_policy(config, **update):
    """Config with the first model's policy changed."""
    model = config.models[0]
    model = model.model_copy(update={"policy": model.policy.model_copy(update=update)})
    return config.model_copy(update={"models": [model, *config.models[1:]]})


def with_model(config, **update):
    """Config with a second model, like the first but for what is given, on all assets."""
    model = config.models[0].model_copy(update=update)
    entry = AssetModelConfig(name=model.name)
    assets = [asset.model_copy(update={"models": [*asset.models, entry]}) for asset in config.assets]
    return config.model_copy(update={"models": [*config.models, model], "assets": assets})
