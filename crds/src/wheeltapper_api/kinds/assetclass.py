"""``AssetClass``: what all machines of one class have in common: signals, operating modes, features."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wheeltapper_api.fields import (
    Duration,
    Identifier,
    Model,
    Name,
    Number,
    Positive,
    SemanticVersion,
    Text,
    Title,
    Unit,
)
from wheeltapper_api.kinds.meta import (
    AGE_COLUMN,
    READY_COLUMNS,
    Column,
    CustomResource,
    ListMap,
    Resource,
    Rule,
    Status,
)


class SignalKind(StrEnum):
    """What sort of thing a signal delivers."""

    GAUGE = "gauge"
    """A number at a time."""
    WAVEFORM = "waveform"
    """A burst of equidistant samples."""
    COUNTER = "counter"
    """A number that only grows: cycles, running hours."""
    STATE = "state"
    """One of a few declared states."""
    ALARM = "alarm"
    """A condition the source raises and clears."""
    CONTEXT = "context"
    """What the machine is doing: recipe, product, shift, batch."""


class Quantity(StrEnum):
    """The physical quantity a number measures."""

    ACCELERATION = "acceleration"
    ANGLE = "angle"
    CONCENTRATION = "concentration"
    CONDUCTIVITY = "conductivity"
    COUNT = "count"
    CURRENT = "current"
    DENSITY = "density"
    DISPLACEMENT = "displacement"
    DURATION = "duration"
    ENERGY = "energy"
    FLOW = "flow"
    FORCE = "force"
    FREQUENCY = "frequency"
    HUMIDITY = "humidity"
    LEVEL = "level"
    MASS = "mass"
    MASS_FLOW = "mass-flow"
    POWER = "power"
    PRESSURE = "pressure"
    RATIO = "ratio"
    ROTATIONAL_SPEED = "rotational-speed"
    SOUND_PRESSURE = "sound-pressure"
    TEMPERATURE = "temperature"
    TORQUE = "torque"
    VELOCITY = "velocity"
    VISCOSITY = "viscosity"
    VOLTAGE = "voltage"
    VOLUME = "volume"


class SignalStatistic(StrEnum):
    """How the source formed a number from what the sensor felt."""

    INSTANT = "instant"
    MEAN = "mean"
    RMS = "rms"
    PEAK = "peak"
    PEAK_TO_PEAK = "peak-to-peak"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    DERIVED = "derived"


class Position(StrEnum):
    """Where on the machine a sensor sits (ISO 13373-1 speaks of drive end and non-drive end)."""

    DRIVE_END = "drive-end"
    NON_DRIVE_END = "non-drive-end"
    GEARBOX_INPUT = "gearbox-input"
    GEARBOX_OUTPUT = "gearbox-output"
    WINDING = "winding"
    CASING = "casing"
    SUCTION = "suction"
    DISCHARGE = "discharge"
    FOUNDATION = "foundation"


class FrequencyBand(Model):
    """Frequency band in which a vibration value was formed, in Hz."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.lowest < self.highest", "The lowest frequency must be below the highest"),
    )
    lowest: Annotated[float, Field(ge=0, le=1e6)]
    highest: Annotated[float, Field(gt=0, le=1e6)]


class Mounting(Model):
    """Where and how a sensor is mounted."""

    position: Position
    axis: Literal["radial", "horizontal", "vertical", "axial", "triaxial"] | None = None
    band: FrequencyBand | None = None


class ValueRange(Model):
    """The values a healthy sensor can deliver, in the signal's unit. A sample outside is kept and marked."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.min) || !has(self.max) || self.min < self.max",
            "The lowest value, min, must be below the highest, max",
        ),
    )
    min: Number | None = None
    max: Number | None = None


class Contract(Model):
    """What a source promises about a signal. A sample that breaks it is kept, marked, and left out of features."""

    interval: Duration
    """Time between two samples."""
    stale_after: Duration
    """Silence after which the signal counts as stale."""
    range: ValueRange | None = None
    max_rate: Positive | None = None
    """Largest believable change, in the signal's unit per second."""


class DeclaredState(Model):
    """A state or alarm code and its name."""

    value: Annotated[int, Field(ge=-(2**31), lt=2**31)]
    name: Name


class Waveform(Model):
    """The shape of a waveform's bursts: equidistant samples, taken together once an interval of the contract."""

    sample_rate: Annotated[float, Field(gt=0, le=1e6)]
    """Samples per second within a burst, in Hz."""
    samples: Annotated[int, Field(ge=64, le=262144)]
    """Samples in a burst. One of another length is of the wrong type."""


class Signal(Model):
    """One thing a machine of this class tells about itself."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.kind == 'waveform') == has(self.waveform)",
            "A waveform signal, and only that, has a shape, such as waveform: {sampleRate: 16384, samples: 8192}",
        ),
        Rule(
            "!(self.kind in ['gauge', 'waveform', 'counter']) || (has(self.unit) && has(self.quantity))",
            "A gauge, waveform or counter needs a quantity and a unit; add both, such as velocity and mm/s",
        ),
        Rule(
            "self.kind in ['state', 'alarm'] || !has(self.states)",
            "Only a state or alarm signal has states; remove them or change the kind",
        ),
        Rule(
            "self.kind != 'state' || has(self.states)",
            "A state signal needs its states, such as - {value: 1, name: running}",
        ),
    )
    name: Name
    title: Title | None = None
    kind: SignalKind
    quantity: Quantity | None = None
    statistic: SignalStatistic = SignalStatistic.INSTANT
    mounting: Mounting | None = None
    unit: Unit | None = None
    """UCUM code of the canonical unit; values in other units are converted to it."""
    waveform: Waveform | None = None
    contract: Contract
    states: Annotated[list[DeclaredState], Field(min_length=1, max_length=64), ListMap(("value",))] | None = None
    required: bool = False
    """A twin must bind a required signal."""


class Function(StrEnum):
    """Statistic of the samples in a window, or of each burst of a waveform; then the window has the bursts' mean."""

    MEAN = "mean"
    STD = "std"
    RMS = "rms"
    KURTOSIS = "kurtosis"
    SKEWNESS = "skewness"
    CREST_FACTOR = "crest-factor"
    PEAK_TO_PEAK = "peak-to-peak"
    SLOPE = "slope"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    COUNT = "count"
    INCREASE = "increase"
    """What a counter grew by, through its resets."""
    SHARE = "share"
    """Share of the time in which a state, alarm or context is what ``equals`` says."""
    CHANGES = "changes"
    """How often a state, alarm or context changed; with ``equals``, how often it became that."""
    PEAK_AMPLITUDE = "peak-amplitude"
    """Amplitude of the largest line of a waveform's spectrum."""
    PEAK_FREQUENCY = "peak-frequency"
    """Frequency of the largest line, in Hz."""
    ORDER_AMPLITUDE = "order-amplitude"
    """Amplitude at multiples of the running speed."""


class Spectrum(Model):
    """The part of a waveform's spectrum that a feature looks at."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!(has(self.band) && has(self.orders))", "Give band or orders, not both"),
        Rule(
            "has(self.orders) == has(self.speed)",
            "The fields orders and speed go together: an order is a multiple of that signal's rotational speed",
        ),
    )
    envelope: FrequencyBand | None = None
    """Band around a resonance that is demodulated first: impacts of a bearing's defect show in the envelope."""
    band: FrequencyBand | None = None
    orders: Annotated[list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=1, max_length=16)] | None = None
    """Multiples of the running speed: 1 for unbalance, 2 for misalignment, a bearing's defect orders."""
    speed: Name | None = None
    """The signal with the rotational speed."""
    tolerance: Annotated[float, Field(ge=0, le=0.2)] | None = None
    """Half width around each order as a share of it; 0.02 where nothing is said."""


class Feature(Model):
    """A number computed from the samples of a window: a function of one signal, alone or compared with a second one."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!(has(self.minus) && has(self.over))", "Give minus or over, not both"),
        Rule(
            "self.__function__ != 'share' || has(self.equals)",
            "A share needs equals, the state or text whose share of the time is meant, such as equals: running",
        ),
        Rule(
            "!has(self.equals) || self.__function__ in ['share', 'changes']",
            "Only share and changes look for what equals says; remove it or change the function",
        ),
        Rule(
            "self.__function__ != 'order-amplitude' || (has(self.spectrum) && has(self.spectrum.orders))",
            "The function order-amplitude needs spectrum with orders and speed",
        ),
    )
    name: Name
    title: Title | None = None
    of: Name
    """The signal."""
    function: Function
    minus: Name | None = None
    """A second signal whose same function is subtracted."""
    over: Name | None = None
    """A second signal by whose same function is divided."""
    equals: Title | None = None
    """Name of a state, ``active`` or ``clear`` of an alarm without states, or text of a context."""
    spectrum: Spectrum | None = None
    window: Duration
    resolution: Positive | None = None
    """Smallest difference that means anything, in the feature's unit; a baseline's spread is never taken smaller."""


class Pipeline(Model):
    """The features of a class. Windows are cut on event time; one row an asset is formed at the end of every step."""

    every: Duration
    """Time between two rows."""
    lateness: Duration
    """How far out of order a sample may arrive and still count."""
    features: Annotated[list[Feature], Field(min_length=1, max_length=200), ListMap(("name",))]


class ModeCondition(Model):
    """One condition of a mode: on a feature, or on the time since another mode ended."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.feature) != has(self.since)", "Give exactly one of feature and since"),
        Rule(
            "!has(self.feature) || has(self.below) || has(self.atLeast)",
            "A condition on a feature needs below or atLeast",
        ),
        Rule("has(self.since) == has(self.within)", "The fields since and within go together, such as within: 2m"),
        Rule(
            "!has(self.since) || !(has(self.below) || has(self.atLeast))", "The bounds below and atLeast need a feature"
        ),
        Rule(
            "!(has(self.below) && has(self.atLeast)) || self.atLeast < self.below",
            "The bound atLeast must be under the bound below, or the condition never holds",
        ),
    )
    feature: Name | None = None
    below: Number | None = None
    at_least: Number | None = None
    since: Name | None = None
    """Holds while the named mode ended less than ``within`` ago."""
    within: Duration | None = None


class LoadBands(Model):
    """Divides a mode by load, so that a baseline compares like with like."""

    of: Name
    """The feature that is the load."""
    edges: Annotated[list[Number], Field(min_length=1, max_length=9)]
    """Rising bounds between the bands, in the feature's unit."""


class Mode(Model):
    """An operating mode. The first mode of the list whose conditions all hold is the one a machine is in."""

    name: Name
    title: Title | None = None
    when: Annotated[list[ModeCondition], Field(max_length=8)] = []
    """All must hold; none at all always holds, which suits the last mode."""
    bands: LoadBands | None = None


class AssetClassSpec(Model):
    """Spec of an ``AssetClass``."""

    title: Title
    version: SemanticVersion
    description: Text | None = None
    iso14224: Identifier | None = None
    """Equipment class code of ISO 14224, such as PU for pumps."""
    signals: Annotated[list[Signal], Field(min_length=1, max_length=200), ListMap(("name",))]
    modes: Annotated[list[Mode], Field(min_length=1, max_length=16), ListMap(("name",))]
    pipeline: Pipeline
    sources: Annotated[list[Text], Field(max_length=32)] = []
    """Where the numbers come from: standards, books, makers' data."""


class AssetClass(Resource):
    """A class of machines: the signals they have, the modes they run in, the features that describe them."""

    resource: ClassVar[CustomResource] = CustomResource(
        plural="assetclasses",
        singular="assetclass",
        scope="Namespaced",
        short_names=("acl",),
        columns=(Column("Version", ".spec.version"), *READY_COLUMNS, AGE_COLUMN),
    )
    kind: Literal["AssetClass"] = "AssetClass"
    spec: AssetClassSpec
    status: Status | None = None
