"""``TenantPolicy``: one tenant: its namespace, limits, retention, freshness objectives and alert routing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, StringConstraints

from wheeltapper_api.fields import Duration, Model, Name, Size, Title
from wheeltapper_api.kinds.meta import AGE_COLUMN, READY_COLUMNS, Column, CustomResource, ListSet, Resource, Status

Criticality = Literal["A", "B", "C"]


class WhenFull(StrEnum):
    """What gives way when a stream has reached its limit."""

    HOLD_SOURCES = "holdSources"
    """The newest: nothing more is taken until every reader has made room, back to the machines and brokers."""
    DROP_OLDEST = "dropOldest"
    """The oldest: the machines stay watched, and what no reader had read is told and entered into the ledger."""


_STREAM_DEFAULTS: Final[Mapping[str, tuple[int, str, WhenFull]]] = {
    "telemetry": (30, "7d", WhenFull.DROP_OLDEST),
    "features": (5, "14d", WhenFull.HOLD_SOURCES),
    "scores": (5, "14d", WhenFull.HOLD_SOURCES),
    "events": (2, "400d", WhenFull.DROP_OLDEST),
    "gaps": (1, "400d", WhenFull.DROP_OLDEST),
}


class Limits(Model):
    """What the tenant may use."""

    twins: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    signals: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000
    samples_per_second: Annotated[int, Field(ge=1, le=100_000_000)] = 20_000
    storage: Size = "20Gi"


class Retention(Model):
    """How long each sort of record is kept."""

    raw: Duration = "30d"
    features: Duration = "400d"
    scores: Duration = "400d"
    events: Duration = "3650d"
    around_incidents: Duration = "1825d"
    """Everything around an alert, however old the rest may get; counted from the alert's end."""
    incident_margin: Duration = "1d"
    """Time before and after an alert that belongs to it."""


class TableStorage(Model):
    """An object store that speaks S3, where the tenant's tables are."""

    url: Annotated[
        str,
        StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=-]+)*$", max_length=512),
    ]
    """Bucket and prefix, such as s3://plant-data/tables. The tenant's tables lie in a folder of its name there."""
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@?#]+$", max_length=253)] | None = None
    """Address of the server, such as https://s3.example.com; left out, AWS's own for the region. Over http:// anyone
    on the way can read the data."""
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", min_length=1, max_length=64)] = "us-east-1"
    """Region of the bucket; a server of your own mostly has none, and takes any."""
    credentials_ref: Name | None = None
    """Secret with the keys accessKeyId and secretAccessKey, and where they are needed sessionToken and ca, the
    certificate of the authority that the endpoint's own certificate is signed by. Without a Secret the process's own
    identity counts, such as a service account's."""


class StreamLimits(Model):
    """How large a stream may grow on disk while its readers are away."""

    share: Annotated[int, Field(ge=1, le=90)] | None = None
    """Percent of ``limits.storage``; left out, telemetry has 30, features and scores 5, events 2, gaps 1."""
    keep: Duration | None = None
    """What is older gives way; left out, telemetry has 7d, features and scores 14d, events and gaps 400d."""


class FlowLimits(StreamLimits):
    """Limits of a stream that blocks flow through, and what happens at them."""

    when_full: WhenFull | None = None
    """What gives way at the limit; left out, dropOldest for telemetry and holdSources for features and scores."""


class Streams(Model):
    """How large the streams may grow and what happens then. Tables take what storage the streams leave."""

    telemetry: FlowLimits = FlowLimits()
    """Samples on their way to features and tables."""
    features: FlowLimits = FlowLimits()
    """Features on their way to scores and tables."""
    scores: FlowLimits = FlowLimits()
    """Scores on their way to alerts and tables."""
    events: StreamLimits = StreamLimits()
    """Alerts. The oldest give way; the tables have them."""
    gaps: StreamLimits = StreamLimits()
    """The ledger of gaps. The oldest entries give way; the tables have them."""

    def limits(self, stream: str) -> tuple[int, str, WhenFull]:
        """Share in percent, time kept, and what gives way of a stream, by its field; what is left out is filled in."""
        said: StreamLimits = getattr(self, stream)
        share, keep, when_full = _STREAM_DEFAULTS[stream]
        chosen = said.when_full if isinstance(said, FlowLimits) else None
        return said.share or share, said.keep or keep, chosen or when_full


class Freshness(Model):
    """The freshness objective: how recent values must be, in what share of the time."""

    objective: Annotated[float, Field(gt=0, lt=100)] = 99.9
    """Percent of the window."""
    window: Duration = "28d"
    telemetry: Duration = "60s"
    features: Duration = "5m"
    acknowledge: Duration = "15m"
    criticality: Annotated[list[Criticality], Field(min_length=1, max_length=3), ListSet()] = ["A", "B"]
    """Twins it applies to."""


class RouteMatch(Model):
    """Which alerts a route takes; what is left out matches all."""

    criticality: Annotated[list[Criticality], Field(max_length=3), ListSet()] = []
    severity: Annotated[list[Literal["watch", "warn", "act"]], Field(max_length=3), ListSet()] = []
    plants: Annotated[list[Name], Field(max_length=64), ListSet()] = []


class Route(Model):
    """Who hears of an alert, and who next when nobody answers."""

    match: RouteMatch = RouteMatch()
    to: Name
    escalate_after: Duration | None = None


class Alerting(Model):
    """Alert routing."""

    routes: Annotated[list[Route], Field(max_length=64)] = []


class Library(Model):
    """What the tenant takes from the shared library."""

    failure_models: Annotated[list[Name], Field(max_length=1000), ListSet()] | None = None
    """Names it may use; left out, all of them."""


class TenantPolicySpec(Model):
    """Spec of a ``TenantPolicy``."""

    title: Title | None = None
    namespace: Name | None = None
    """The tenant's namespace; left out, it has the policy's name."""
    limits: Limits = Limits()
    streams: Streams = Streams()
    retention: Retention = Retention()
    storage: TableStorage | None = None
    """Where the tables are; left out, where the installation keeps them."""
    freshness: Freshness = Freshness()
    alerting: Alerting = Alerting()
    library: Library = Library()
    deletion_policy: Literal["retain", "delete"] = "retain"
    """What becomes of streams, tables and checkpoints when the policy is deleted."""


class TenantPolicy(Resource):
    """One tenant: namespace, limits, retention, freshness objectives, alert routing."""

    resource: ClassVar[CustomResource] = CustomResource(
        plural="tenantpolicies",
        singular="tenantpolicy",
        scope="Cluster",
        short_names=("tpol",),
        columns=(Column("Namespace", ".spec.namespace"), *READY_COLUMNS, AGE_COLUMN),
    )
    kind: Literal["TenantPolicy"] = "TenantPolicy"
    spec: TenantPolicySpec = TenantPolicySpec()
    status: Status | None = None

    @property
    def tenant_namespace(self) -> str:
        """Namespace that belongs to the tenant."""
        return self.spec.namespace or self.name
