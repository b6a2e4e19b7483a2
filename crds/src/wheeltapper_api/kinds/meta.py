"""What every kind shares: object metadata, conditions, and the markers from which the CRDs are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from wheeltapper_api.fields import Model, Name

LabelValue = Annotated[str, StringConstraints(max_length=63)]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317)]


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule of the CRD with the message a person reads when it is broken."""

    rule: str
    message: str
    reason: str = "FieldValueInvalid"


@dataclass(frozen=True, slots=True)
class ListMap:
    """Marks a list as a map in Kubernetes' sense: entries are merged and unique by these keys."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListSet:
    """Marks a list of scalars as a set: no value twice."""


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of ``kubectl get``."""

    name: str
    path: str
    type: Literal["string", "integer", "date", "number", "boolean"] = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class CustomResource:
    """How a kind appears in Kubernetes."""

    plural: str
    singular: str
    scope: Literal["Namespaced", "Cluster"]
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]


class ObjectMeta(Model):
    """Metadata of an object. A person writes the first four; the rest is the API server's."""

    name: Name
    namespace: Name | None = None
    labels: dict[LabelKey, LabelValue] = {}
    annotations: dict[LabelKey, str] = {}
    generate_name: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    finalizers: list[str] = []
    owner_references: list[dict[str, Any]] = []
    managed_fields: list[dict[str, Any]] = []
    self_link: str | None = None


class Condition(Model):
    """A condition in the shape of Kubernetes' ``metav1.Condition``."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)]
    message: Annotated[str, StringConstraints(max_length=32768)] = ""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    observed_generation: Annotated[int, Field(ge=0)] = 0


class Status(Model):
    """What was last observed of an object."""

    conditions: Annotated[list[Condition], Field(max_length=16), ListMap(("type",))] = []
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec this status is about."""


class Resource(Model):
    """Base of the five kinds."""

    resource: ClassVar[CustomResource]
    rules: ClassVar[tuple[Rule, ...]] = ()

    api_version: Literal["wheeltapper.dev/v1alpha1"] = "wheeltapper.dev/v1alpha1"
    kind: str
    metadata: ObjectMeta

    @property
    def name(self) -> str:
        """Name within its namespace."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """Namespace, empty for a kind of the whole cluster or where a file leaves it out."""
        return self.metadata.namespace or ""

    @property
    def ref(self) -> str:
        """``Kind namespace/name``, the way messages name an object."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


READY_COLUMNS = (
    Column("Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether it does what its spec says"),
    Column(
        "Reason", '.status.conditions[?(@.type=="Ready")].reason', priority=1, description="Why it is or is not ready"
    ),
)
AGE_COLUMN = Column("Age", ".metadata.creationTimestamp", "date", description="Time since it was created")
