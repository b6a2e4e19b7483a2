"""A failure model of a line, ready to run: its graph, the features it reads, the modes it answers in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import LineConfig, ModelConfig
from wheeltapper_workers.detectors import graphs
from wheeltapper_workers.scoring.session import Session, SessionCache

I64 = npt.NDArray[np.int64]

MIN_WINDOWS: Final = 30
"""Windows a mode needs in its baseline: the median of 30 has a standard error of a quarter of the spread."""

_sessions = SessionCache()


@dataclass(frozen=True, slots=True)
class Regimes:
    """Modes divided by their load bands, numbered through: ``offset[mode] + band``."""

    offset: I64
    count: int

    @classmethod
    def of(cls, config: LineConfig) -> Regimes:
        """Regimes of a line's pipeline."""
        sizes = [len(mode.edges) + 1 if mode.band_of else 1 for mode in config.pipeline.modes]
        return cls(np.cumsum([0, *sizes[:-1]]).astype(np.int64), sum(sizes))

    def number(self, mode: I64, band: I64) -> I64:
        """Number of each (mode, band); -1 where either is unknown."""
        return np.where((mode < 0) | (band < 0), -1, self.offset[mode] + band)


@dataclass(frozen=True, slots=True)
class Model:
    """A failure model bound to positions."""

    config: ModelConfig
    session: Session
    inputs: I64
    """Positions of the inputs among the pipeline's features."""
    modes: I64
    """Positions of the modes it answers in."""
    assets: npt.NDArray[np.bool_]
    """Assets it is used for."""
    resolution: npt.NDArray[np.float64]

    @property
    def learns(self) -> bool:
        """Whether it compares with a baseline."""
        return self.config.detector.fixed_limit is None

    @property
    def at_least_ns(self) -> int:
        """Healthy operation it has to see."""
        return self.config.baseline_at_least_ns or 0


def bind(config: LineConfig, model: ModelConfig) -> Model:
    """Bind a failure model to its line."""
    features = {feature.name: position for position, feature in enumerate(config.pipeline.features)}
    modes = {mode.name: position for position, mode in enumerate(config.pipeline.modes)}
    return Model(
        model,
        _sessions.get(graph(model)),
        np.array([features[entry.feature] for entry in model.inputs], np.int64),
        np.array([modes[name] for name in model.modes if name in modes], np.int64),
        np.array([any(used.name == model.name for used in asset.models) for asset in config.assets], bool),
        np.array([entry.resolution for entry in model.inputs]),
    )


def graph(model: ModelConfig) -> bytes:
    """ONNX graph of a failure model's detector."""
    directions = [entry.direction for entry in model.inputs]
    detector = model.detector
    if detector.fixed_limit is not None:
        limits = {limit.feature: limit for limit in detector.fixed_limit.limits}
        chosen = [limits[entry.feature] for entry in model.inputs]
        normal, limit = [c.normal for c in chosen], [c.limit for c in chosen]
        return graphs.fixed_limit(normal, limit, detector.fixed_limit.combine)
    if detector.robust_z_score is not None:
        return graphs.robust_z(detector.robust_z_score.limit, directions, detector.robust_z_score.combine)
    if detector.ewma is not None:
        return graphs.ewma(detector.ewma.smoothing, detector.ewma.limit, directions, detector.ewma.combine)
    raise ValueError(f"Failure model {model.name} has no detector")
