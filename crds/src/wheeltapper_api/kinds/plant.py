"""``Plant``: one site, its connections to machines, and where its workers run."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from wheeltapper_api.fields import Address, Duration, Model, Name, Size, Title
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


class OpcUaSecurity(Model):
    """Security of an OPC UA session (part 7 profiles)."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("(self.policy == 'None') == (self.mode == 'None')", "Policy and mode are both None or neither is"),
    )
    policy: Literal["None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]
    mode: Literal["None", "Sign", "SignAndEncrypt"]


class OpcUaConnection(Model):
    """An OPC UA server."""

    endpoint: Annotated[str, StringConstraints(pattern=r"^opc\.tcp://[^\s]+$", max_length=512)]
    security: OpcUaSecurity = OpcUaSecurity(policy="None", mode="None")
    credentials_ref: Name | None = None
    """Secret with the keys username and password, or certificate and privateKey."""
    publishing_interval: Duration = "500ms"
    queue_size: Annotated[int, Field(ge=1, le=100000)] = 100
    """Samples the server keeps for a node between two publications."""


class MqttConnection(Model):
    """An MQTT broker."""

    url: Annotated[str, StringConstraints(pattern=r"^mqtts?://[^\s]+$", max_length=512)]
    version: Literal["3.1.1", "5"] = "5"
    max_payload: Size = "4Mi"
    """Largest message; a broker of version 5 does not even send a larger one."""
    credentials_ref: Name | None = None
    """Secret with the keys username and password, or certificate and privateKey."""


class ModbusConnection(Model):
    """A Modbus TCP server."""

    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]+$", min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    poll: Duration = "1s"


class SourceClock(Model):
    """How far a source's clock may be off before its timestamps are not believed."""

    max_ahead: Duration = "1m"
    max_behind: Duration = "90d"
    """Longest time a source may deliver late, such as after an outage."""


class Connection(Model):
    """A named way to reach machines. Exactly one protocol is given."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.opcua) ? 1 : 0) + (has(self.mqtt) ? 1 : 0) + (has(self.modbus) ? 1 : 0) == 1",
            "Give exactly one of opcua, mqtt and modbus",
        ),
    )
    name: Name
    opcua: OpcUaConnection | None = None
    mqtt: MqttConnection | None = None
    modbus: ModbusConnection | None = None
    clock: SourceClock = SourceClock()


class AddressedSignal(Model):
    """Address of one signal, with ``{tag}`` standing for the twin's tag."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.node) ? 1 : 0) + (has(self.topic) ? 1 : 0) + (has(self.register) ? 1 : 0) == 1",
            "Give exactly one of node, topic and register",
        ),
        Rule("!has(self.path) || has(self.topic)", "A path goes with a topic: it points into the topic's JSON"),
        Rule("!has(self.timePath) || has(self.path)", "A timePath goes with a path: both point into the topic's JSON"),
    )
    name: Name
    node: Address | None = None
    topic: Address | None = None
    path: Address | None = None
    """Where in a JSON payload the value is, such as $.value."""
    time_path: Address | None = None
    """Where in a JSON payload the time of the measurement is, as RFC 3339 text or as a number since 1970; without it a
    sample has the time at which it was received."""
    register_: Annotated[Address | None, Field(alias="register")] = None
    shared: bool = False
    """One sensor serves all machines of the class; its address has no ``{tag}``."""


class Addressing(Model):
    """How the tags of one class are formed at this plant, so that a twin needs to say only its tag."""

    asset_class: Annotated[Name, Field(alias="class")]
    source: Annotated[Name, Field(alias="from")]
    """The connection."""
    signals: Annotated[list[AddressedSignal], Field(min_length=1, max_length=200), ListMap(("name",))]


class PlantSpec(Model):
    """Spec of a ``Plant``."""

    title: Title
    time_zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]+$", min_length=1, max_length=64)] = "UTC"
    """IANA name, such as Europe/Amsterdam."""
    hosting: Literal["cloud", "edge", "hybrid", "private"]
    ring: Name = "general"
    """Rollout ring: new models reach the rings one after the other."""
    readiness_gates: Annotated[list[Name], Field(max_length=16), ListSet()] = []
    """Conditions others must set before a rollout touches this plant."""
    connections: Annotated[list[Connection], Field(max_length=64), ListMap(("name",))] = []
    addressing: Annotated[list[Addressing], Field(max_length=64), ListMap(("class", "from"))] = []


class Plant(Resource):
    """One site: its connections, the way its tags are named, and where its workers run."""

    resource: ClassVar[CustomResource] = CustomResource(
        plural="plants",
        singular="plant",
        scope="Namespaced",
        short_names=("plt",),
        columns=(Column("Hosting", ".spec.hosting"), Column("Ring", ".spec.ring"), *READY_COLUMNS, AGE_COLUMN),
    )
    kind: Literal["Plant"] = "Plant"
    spec: PlantSpec
    status: Status | None = None
