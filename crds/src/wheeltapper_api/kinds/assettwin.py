"""``AssetTwin``: one machine."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from wheeltapper_api.fields import Address, Date, Duration, Identifier, Model, Name, Number, Positive, Text, Title, Unit
from wheeltapper_api.kinds.assetclass import ValueRange
from wheeltapper_api.kinds.failuremodel import Clear, SeverityBand
from wheeltapper_api.kinds.meta import (
    AGE_COLUMN,
    READY_COLUMNS,
    Column,
    CustomResource,
    ListMap,
    ListSet,
    Resource,
    Rule,
    Status,
)


class Place(Model):
    """Where the machine stands, in the levels of ISA-95 below the plant."""

    area: Name | None = None
    line: Name | None = None
    cell: Name | None = None


class Identity(Model):
    """Which machine it is."""

    manufacturer: Identifier | None = None
    model: Identifier | None = None
    serial: Identifier | None = None
    commissioned: Date | None = None


class Alias(Model):
    """The machine's name in another system."""

    system: Name
    id: Identifier


class Relation(Model):
    """How this machine relates to another twin. Exactly one is given."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.partOf) ? 1 : 0) + (has(self.drives) ? 1 : 0) + (has(self.feeds) ? 1 : 0) "
            "+ (has(self.standbyFor) ? 1 : 0) == 1",
            "Give exactly one of partOf, drives, feeds and standbyFor",
        ),
    )
    part_of: Name | None = None
    drives: Name | None = None
    feeds: Name | None = None
    standby_for: Name | None = None


class Sensor(Model):
    """The physical sensor behind a signal."""

    serial: Identifier | None = None
    type: Identifier | None = None
    calibration_due: Date | None = None
    installed: Date | None = None
    replaced: Date | None = None


class ContractOverride(Model):
    """Fields of the class's contract that differ on this machine."""

    interval: Duration | None = None
    stale_after: Duration | None = None
    range: ValueRange | None = None
    max_rate: Positive | None = None


class SignalBinding(Model):
    """Where one signal of this machine comes from."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.node) ? 1 : 0) + (has(self.topic) ? 1 : 0) + (has(self.register) ? 1 : 0) <= 1",
            "Give at most one of node, topic and register",
        ),
        Rule(
            "!(has(self.node) || has(self.topic) || has(self.register)) || has(self.from)",
            "An address needs from, the name of one of the plant's connections",
        ),
        Rule(
            "!has(self.from) || has(self.node) || has(self.topic) || has(self.register)",
            "The connection in from needs an address: node, topic or register",
        ),
        Rule("!has(self.path) || has(self.topic)", "A path goes with a topic: it points into the topic's JSON"),
        Rule("!has(self.timePath) || has(self.path)", "A timePath goes with a path: both point into the topic's JSON"),
    )
    name: Name
    source: Annotated[Name | None, Field(alias="from")] = None
    """The plant's connection."""
    node: Address | None = None
    """OPC UA node id, such as ns=2;s=P101.VibrationDE."""
    topic: Address | None = None
    """MQTT topic."""
    path: Address | None = None
    """Where in a JSON payload the value is, such as $.value."""
    time_path: Address | None = None
    """Where in a JSON payload the time of the measurement is, as RFC 3339 text or as a number since 1970; without it a
    sample has the time at which it was received."""
    register_: Annotated[Address | None, Field(alias="register")] = None
    """Modbus register."""
    unit: Unit | None = None
    """UCUM code of the unit the source delivers, where it is not the class's."""
    scale: Number | None = None
    """Factor that turns the source's raw number into ``unit``."""
    offset: Number | None = None
    """Added after ``scale``."""
    contract: ContractOverride | None = None
    sensor: Sensor | None = None


class ModelOverride(Model):
    """A failure model as it applies to this machine."""

    name: Name
    enabled: bool = True
    severity: Annotated[list[SeverityBand], Field(max_length=3), ListMap(("name",))] = []
    """Replaces the model's severities where given."""
    clear: Clear | None = None


class MaintenanceWindow(Model):
    """A time in which alerts of this machine are held back."""

    start: Annotated[
        str, StringConstraints(min_length=20, max_length=35), Field(json_schema_extra={"format": "date-time"})
    ]
    end: Annotated[
        str, StringConstraints(min_length=20, max_length=35), Field(json_schema_extra={"format": "date-time"})
    ]
    reason: Text | None = None


class AssetTwinSpec(Model):
    """Spec of an ``AssetTwin``."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.from) || has(self.tag)", "The connection in from needs a tag, which is read there"),
    )
    title: Title | None = None
    asset_class: Annotated[Name, Field(alias="class")]
    plant: Name
    place: Place | None = None
    identity: Identity | None = None
    criticality: Literal["A", "B", "C"] = "B"
    mode: Literal["observe", "review", "automatic"] = "observe"
    """observe: scores only. review: a person confirms each alert. automatic: alerts become work orders."""
    tag: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", min_length=1, max_length=120)] | None = None
    """Stands for ``{tag}`` in the plant's addressing."""
    source: Annotated[Name | None, Field(alias="from")] = None
    """The plant's connection at which the tag is read, where several serve machines of this class; left out, each
    signal comes from the first that has it."""
    aliases: Annotated[list[Alias], Field(max_length=32), ListMap(("system", "id"))] = []
    relations: Annotated[list[Relation], Field(max_length=64)] = []
    signals: Annotated[list[SignalBinding], Field(max_length=200), ListMap(("name",))] = []
    failure_models: Annotated[list[ModelOverride], Field(max_length=64), ListMap(("name",))] = []
    owners: Annotated[list[Identifier], Field(max_length=16), ListSet()] = []
    maintenance: Annotated[list[MaintenanceWindow], Field(max_length=64)] = []


class AssetTwinStatus(Status):
    """Status of an ``AssetTwin``."""

    mode: Name | None = None
    """Operating mode the machine is in."""
    health: Literal["good", "watch", "warn", "act", "unknown"] | None = None
    open_alerts: Annotated[int, Field(ge=0)] | None = None


class AssetTwin(Resource):
    """One machine: what it is, where it stands, and where its signals come from."""

    resource: ClassVar[CustomResource] = CustomResource(
        plural="assettwins",
        singular="assettwin",
        scope="Namespaced",
        short_names=("twin", "twins"),
        columns=(
            Column("Class", ".spec.class"),
            Column("Plant", ".spec.plant"),
            *READY_COLUMNS,
            Column(
                "Fresh", '.status.conditions[?(@.type=="Fresh")].status', description="Whether its values are recent"
            ),
            Column("Mode", ".status.mode", description="Operating mode"),
            Column("Health", ".status.health", description="Worst severity of its open alerts"),
            Column("Alerts", ".status.openAlerts", "integer", description="Open alerts"),
            AGE_COLUMN,
        ),
    )
    kind: Literal["AssetTwin"] = "AssetTwin"
    spec: AssetTwinSpec
    status: AssetTwinStatus | None = None
