"""Contracts on the wire: subjects, headers, the columns of blocks, quality flags, and alerts as CloudEvents 1.0.

Streams carry blocks: Arrow IPC streams with one record batch each. The columns are declared here by name and Arrow
type; the workers make schemas of them. A block's identity is its stream and stream sequence.
"""

from __future__ import annotations

from enum import IntFlag, StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from wheeltapper_api.fields import Model

EVENT_TYPE_PREFIX: Final = "dev.wheeltapper."
CONFIG_BUCKET: Final = "config"
STATUS_BUCKET: Final = "status"

HEADER_INPUT: Final = "Wheeltapper-Input"
"""``<stream sequence>:<part>`` of the message of which this one was made; by it a restart knows its own output."""
HEADER_TICK: Final = "Wheeltapper-Tick"
"""Present on a tick: its time in nanoseconds since 1970 (UTC). A tick has no body."""
HEADER_GENERATION: Final = "Wheeltapper-Generation"
"""Config generation: on a block the one it was made with, on a tick the one that holds from here on."""
HEADER_PLACE: Final = "Wheeltapper-Place"
"""On the last block of what a source delivered at once: what the source calls it, for the run after a restart."""
HEADER_TRACE: Final = "traceparent"
"""W3C trace context."""


class Stage(StrEnum):
    """The streams of a tenant, in the order of the flow. A stage's name is the first token of its subjects."""

    TELEMETRY = "telemetry"
    FEATURES = "features"
    SCORES = "scores"
    EVENTS = "events"
    GAPS = "gaps"
    """Beside the flow: what a source did not deliver."""

    @property
    def stream(self) -> str:
        """Name of the JetStream stream."""
        return self.value.upper()


class Line(Model):
    """The machines of one class at one plant that are worked on together: the unit of order, state and fencing."""

    tenant: str
    plant: str
    asset_class: str
    shard: str = "s0"

    @property
    def key(self) -> str:
        """Subject tokens after the stage; every part is a DNS label, so nothing needs escaping."""
        return f"{self.tenant}.{self.plant}.{self.asset_class}.{self.shard}"

    def subject(self, stage: Stage, writer: str) -> str:
        """Subject on which ``writer`` alone publishes."""
        return f"{stage.value}.{self.key}.{writer}"

    def filter(self, stage: Stage) -> str:
        """Subjects of all writers of this line at a stage."""
        return f"{stage.value}.{self.key}.*"

    @classmethod
    def of_subject(cls, subject: str) -> Line:
        """Line of a subject.

        Raises
        ------
        ValueError
            If the subject does not have six tokens.
        """
        _, tenant, plant, asset_class, shard, _ = subject.split(".")
        return cls(tenant=tenant, plant=plant, asset_class=asset_class, shard=shard)


class Quality(IntFlag):
    """What is wrong with a sample. 0 is good. A sample is never dropped for its quality, only left out of features."""

    GOOD = 0
    BAD = 1
    """The source itself calls it bad."""
    UNCERTAIN = 2
    """The source itself calls it uncertain. Such a sample still counts."""
    NOT_A_NUMBER = 4
    """NaN or infinite."""
    WRONG_TYPE = 8
    """Text or a structure where a number belongs, or a code that is no declared state."""
    OUT_OF_RANGE = 16
    """Outside the range of the contract."""
    STEP = 32
    """Changed faster than the contract believes."""
    CLOCK = 64
    """The source's timestamp cannot be true."""
    LATE = 128
    """Out of order beyond the declared lateness: it corrects history and makes no live feature."""


UNUSABLE: Final = int(~Quality.UNCERTAIN & 0xFFFF)
"""Mask of the flags that keep a sample out of features."""

Columns = tuple[tuple[str, str], ...]

TELEMETRY_COLUMNS: Final[Columns] = (
    ("asset", "dictionary"),
    ("signal", "dictionary"),
    ("source_time", "timestamp"),
    ("ordinal", "uint32"),
    ("value", "float64"),
    ("text", "dictionary"),
    ("quality", "uint16"),
    ("status", "uint32"),
    ("received_time", "timestamp"),
)
"""One row a sample. ``ordinal`` counts samples of one series with equal source time; ``value`` is in the class's unit;
``status`` is the protocol's own code; identity is asset, signal, source_time, ordinal."""

WAVEFORM_COLUMNS: Final[Columns] = (
    ("asset", "dictionary"),
    ("signal", "dictionary"),
    ("source_time", "timestamp"),
    ("ordinal", "uint32"),
    ("sample_rate", "float64"),
    ("samples", "floats"),
    ("quality", "uint16"),
    ("status", "uint32"),
    ("received_time", "timestamp"),
)
"""One row a burst, in blocks of their own on the same subjects, so that plain samples do not carry empty columns.
``source_time`` is that of the first sample, ``sample_rate`` is in Hz, ``samples`` are in the class's unit."""

FEATURE_COLUMNS: Final[Columns] = (
    ("asset", "dictionary"),
    ("window_end", "timestamp"),
    ("mode", "dictionary"),
    ("band", "int8"),
    ("mode_since", "timestamp"),
    ("values", "floats"),
    ("coverage", "floats"),
    ("quality", "uint16s"),
    ("telemetry_first", "uint64"),
    ("telemetry_last", "uint64"),
    ("received_last", "timestamp"),
)
"""One row an asset and window end. ``values`` has one entry a feature, NaN where no good sample was; ``coverage`` is
the share of expected samples that were good; ``quality`` gathers the flags of those that were not; ``telemetry_first``
and ``telemetry_last`` are the stream sequences of the blocks that hold the window's samples; ``received_last`` is when
the newest of them reached its collector. The schema's metadata has feature names, units and the pipeline's digest."""

SCORE_COLUMNS: Final[Columns] = (
    ("asset", "dictionary"),
    ("failure_model", "dictionary"),
    ("window_end", "timestamp"),
    ("mode", "dictionary"),
    ("band", "int8"),
    ("mode_since", "timestamp"),
    ("score", "float64"),
    ("reason", "dictionary"),
    ("values", "floats"),
    ("expected", "floats"),
    ("deviation", "floats"),
    ("coverage", "float64"),
    ("model_digest", "dictionary"),
    ("baseline_digest", "dictionary"),
    ("features_sequence", "uint64"),
    ("telemetry_first", "uint64"),
    ("telemetry_last", "uint64"),
    ("received_last", "timestamp"),
)
"""One row an asset, failure model and window end. ``score`` is 1.0 at the limit and NaN where there is none, and then
``reason`` says why; ``values``, ``expected`` and ``deviation`` have one entry for each of the model's inputs."""


GAP_COLUMNS: Final[Columns] = (
    ("asset", "dictionary"),
    ("signal", "dictionary"),
    ("since", "timestamp"),
    ("until", "timestamp"),
    ("cause", "dictionary"),
    ("recovered", "bool"),
    ("samples", "uint32"),
)
"""One row a stretch of a series that its source did not deliver as it came. ``since`` is the last sample before and
``until`` the first one after; ``recovered`` says that the source had kept all of it and gave it when asked, and
``samples`` how many it gave. The same asset, signal and ``since`` again is the newer word on the same gap."""


class NoScore(StrEnum):
    """Why there is no score."""

    NONE = ""
    MODE = "mode"
    """The machine is in a mode in which this model does not answer."""
    NO_DATA = "no-data"
    """Too few good samples in the window."""
    LEARNING = "learning"
    """The baseline of this mode is not learned yet."""


Severity = Literal["watch", "warn", "act"]
SEVERITIES: Final[tuple[Severity, ...]] = ("watch", "warn", "act")


class Contribution(Model):
    """What one input adds to an alert."""

    feature: str
    title: str
    unit: str
    value: float
    expected: float
    deviation: float
    """1.0 at the limit, signed."""
    signals: list[str]


class AlertRule(Model):
    """The rule that decided."""

    severity: Severity
    above: float
    hold: str
    score: float


class BlockRange(Model):
    """Blocks of a stream, by sequence."""

    stream: str
    first: int
    last: int


class Lineage(Model):
    """From what an alert was made: enough to find every sample and to do the computation again."""

    signals: list[str]
    telemetry: BlockRange
    features: BlockRange
    scores: BlockRange
    pipeline_digest: str
    model_digest: str
    baseline_digest: str
    policy_digest: str
    failure_model: str
    failure_model_version: str
    generation: str
    window_end: str
    rule: AlertRule
    trace_id: str
    software: dict[str, str]
    """Versions of the parts that decide the bits, and the processor's level."""


class RecommendedAction(Model):
    """What to do: at once, then at the machine, and with which parts."""

    recommend: str
    when: str
    inspect: list[str] = []
    capture: list[str] = []
    if_clears: str = ""
    parts: list[str] = []


class Alert(Model):
    """An alert: what is wrong, how far from normal, since when, how sure, what to do, and all it rests on."""

    alert_id: str
    asset: str
    asset_title: str
    plant: str
    asset_class: Annotated[str, Field(alias="class")]
    criticality: str
    failure_model: str
    failure_mode: str
    severity: Severity
    state: Literal["open", "cleared"]
    score: float
    peak_score: float
    since: str
    """Event time of the first window above the lowest bound."""
    opened: str
    updated: str
    cleared: str | None = None
    confidence: float
    """0 to 1; how it is formed is told in ``confidence_because``."""
    confidence_because: str
    delayed: bool
    """The values reached the collector long after they were measured."""
    twin_mode: str
    operating_mode: str
    summary: str
    contributions: list[Contribution]
    action: RecommendedAction
    lineage: Lineage


class AlertEvent(Model):
    """CloudEvents 1.0 envelope of an alert, in the JSON format of structured mode."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: Literal[
        "dev.wheeltapper.alert.opened.v1",
        "dev.wheeltapper.alert.changed.v1",
        "dev.wheeltapper.alert.cleared.v1",
    ]
    subject: str
    time: str
    datacontenttype: Literal["application/json"] = "application/json"
    data: Alert
