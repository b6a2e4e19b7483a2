"""``TenantPolicy``: one tenant: its namespace, limits, retention, freshness objectives and alert routing."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wheeltapper_api.fields import Duration, Model, Name, Size, Title
from wheeltapper_api.kinds.meta import AGE_COLUMN, READY_COLUMNS, Column, CustomResource, ListSet, Resource, Status

Criticality = Literal["A", "B", "C"]


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
    retention: Retention = Retention()
    freshness: Freshness = Freshness()
    alerting: Alerting = Alerting()
    library: Library = Library()


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
