"""The config document of a worker: all that one process has to know, written by the compiler, read from the bucket.

Nothing in it is looked up again: names are resolved, contracts merged, units turned into a scale and an offset,
durations into nanoseconds. So a worker is a function of this one document and its input.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field

from wheeltapper_api.fields import Model
from wheeltapper_api.kinds.assetclass import Function, SignalKind
from wheeltapper_api.kinds.failuremodel import Detector, Direction
from wheeltapper_api.wire import Line, RecommendedAction, Severity


class Role(StrEnum):
    """What a worker does, in the order of the flow."""

    COLLECT = "collect"
    FEATURIZE = "featurize"
    SCORE = "score"
    ALERT = "alert"
    STORE = "store"


class SignalConfig(Model):
    """A signal of a line's class."""

    name: str
    title: str
    unit: str | None
    kind: SignalKind


class SeriesConfig(Model):
    """One signal of one asset: where it is read and what it has to look like."""

    line: Line
    asset: str
    signal: str
    kind: SignalKind
    address: str
    path: str | None = None
    time_path: str | None = None
    scale: float = 1.0
    """Source number times ``scale`` plus ``offset`` is the value in the class's unit."""
    offset: float = 0.0
    lowest: float | None = None
    highest: float | None = None
    max_rate: float | None = None
    """Largest believable change per second, in the class's unit."""
    interval_ns: int
    stale_after_ns: int
    states: dict[str, int] = {}
    sample_rate: float | None = None
    """Of a waveform, in Hz."""
    burst_samples: int | None = None
    """Samples in a waveform's burst."""


class CollectorConfig(Model):
    """One connection of a plant and the series read through it."""

    tenant: str
    plant: str
    name: str
    """The connection's name; blocks are published under it."""
    protocol: str
    endpoint: str
    options: dict[str, Any] = {}
    secret: str | None = None
    max_ahead_ns: int
    max_behind_ns: int
    series: list[SeriesConfig]


class SpectrumConfig(Model):
    """The part of a waveform's spectrum that a feature looks at; bands in Hz."""

    envelope: tuple[float, float] | None = None
    band: tuple[float, float] | None = None
    orders: list[float] = []
    speed: str | None = None
    """The signal with the rotational speed."""
    speed_scale: float = 1.0
    """Turns its unit into Hz."""
    tolerance: float = 0.02


class FeatureConfig(Model):
    """A feature of a line's pipeline."""

    name: str
    title: str
    unit: str
    of: str
    function: Function
    minus: str | None = None
    over: str | None = None
    other_scale: float = 1.0
    """Turns the second signal's unit into the first's."""
    other_offset: float = 0.0
    equals: float | str | None = None
    """Code of a state or text of a context, for ``share`` and ``changes``."""
    spectrum: SpectrumConfig | None = None
    window_ns: int
    resolution: float = 0.0


class ModeConditionConfig(Model):
    """A condition of a mode, by the feature's name or the other mode's."""

    feature: str | None = None
    below: float | None = None
    at_least: float | None = None
    since: str | None = None
    within_ns: int | None = None


class ModeConfig(Model):
    """An operating mode; ``edges`` divide it into load bands of the feature ``band_of``."""

    name: str
    title: str
    when: list[ModeConditionConfig]
    band_of: str | None = None
    band_unit: str = ""
    edges: list[float] = []


class PipelineConfig(Model):
    """How a line's telemetry becomes features and modes. Its digest is the version in every lineage."""

    every_ns: int
    lateness_ns: int
    signals: list[SignalConfig]
    features: list[FeatureConfig]
    modes: list[ModeConfig]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, so equal pipelines have equal versions wherever they are compiled."""
        return digest_of(self)


class InputConfig(Model):
    """An input of a failure model."""

    feature: str
    direction: Direction
    resolution: float


class SeverityConfig(Model):
    """A severity band."""

    name: Severity
    above: float
    hold_ns: int
    hold: str


class PolicyConfig(Model):
    """When scores become an alert, for one asset and failure model."""

    severities: list[SeverityConfig]
    clear_below: float
    clear_hold_ns: int

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return digest_of(self)


class ModelConfig(Model):
    """A failure model of a line."""

    name: str
    version: str
    failure_mode: str
    description: str
    inputs: list[InputConfig]
    modes: list[str]
    detector: Detector
    baseline_at_least_ns: int | None
    min_coverage: float
    policy: PolicyConfig
    action: RecommendedAction


class AssetModelConfig(Model):
    """What differs from the model for one asset."""

    name: str
    policy: PolicyConfig | None = None


class AssetConfig(Model):
    """An asset of a line."""

    name: str
    title: str
    criticality: str
    mode: str
    signals: dict[str, int]
    """Expected interval in nanoseconds of each signal it has."""
    stale_after_ns: dict[str, int]
    models: list[AssetModelConfig]
    maintenance: list[tuple[str, str]] = []

    @cached_property
    def samples_per_second(self) -> float:
        """What its signals' contracts promise."""
        return sum(1e9 / interval for interval in self.signals.values())


class LineConfig(Model):
    """The machines of one class at one plant, and all that is computed for them."""

    line: Line
    plant_title: str
    time_zone: str = "UTC"
    class_title: str
    pipeline: PipelineConfig
    assets: list[AssetConfig]
    models: list[ModelConfig]


class TablesConfig(Model):
    """Where a tenant's tables are, if not where the installation keeps them. The keys are in the Secret, never here."""

    url: str
    endpoint: str | None = None
    region: str
    secret: str | None = None


class RetentionConfig(Model):
    """How long the tables keep what; all in nanoseconds."""

    raw_ns: int
    features_ns: int
    scores_ns: int
    events_ns: int
    around_incidents_ns: int
    incident_margin_ns: int


class StoreConfig(Model):
    """What the historian keeps, where, and for how long; without retention, for ever."""

    tenant: str
    place: TablesConfig | None = None
    lines: list[LineConfig]
    commit_every_ns: int
    commit_rows: int
    retention: RetentionConfig | None = None


class WorkerConfig(Model):
    """The document of one worker process."""

    worker: str
    tenant: str
    roles: Annotated[list[Role], Field(min_length=1)]
    collectors: list[CollectorConfig] = []
    lines: list[LineConfig] = []
    store: StoreConfig | None = None

    @property
    def generation(self) -> str:
        """Short digest of the content: equal documents are the same generation."""
        return digest_of(self)[7:23]


def canonical_json(value: Model | dict[str, Any]) -> str:
    """JSON with sorted keys and no blanks: one text for one meaning."""
    data = value.model_dump(mode="json") if isinstance(value, Model) else value
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Model) -> str:
    """``sha256:`` and the hex digest of the canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical_json(value).encode()).hexdigest()
