"""What a name refers to: tenants, classes, plants, failure models, and where each signal of a twin comes from.

A tenant sees the objects of its own namespace and of the library; its own come first. Pure: resources in, answers out;
an answer that does not exist is None, and :mod:`wheeltapper_api.checks` makes a sentence of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TypeVar

from wheeltapper_api.fields import LIBRARY_NAMESPACE
from wheeltapper_api.kinds import AssetClass, AssetTwin, FailureModel, Plant, Resource, TenantPolicy
from wheeltapper_api.kinds.assetclass import Contract, Signal
from wheeltapper_api.kinds.assettwin import ModelOverride, SignalBinding
from wheeltapper_api.kinds.plant import AddressedSignal, Connection

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and its namespace."""

    name: str
    namespace: str
    policy: TenantPolicy


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a signal of a twin comes from, with everything merged: class, plant's addressing, twin."""

    signal: Signal
    connection: str
    """Name as it was written; it need not exist."""
    address: str
    protocol: str
    """``opcua``, ``mqtt`` or ``modbus``, by the sort of address."""
    path: str | None
    time_path: str | None
    unit: str | None
    """Unit the source delivers."""
    scale: float
    offset: float
    contract: Contract
    own: bool
    """Bound by the twin itself, not by the plant's addressing."""


class Resolver:
    """Lookups over one set of resources."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._kinds: dict[type[Resource], list[Resource]] = {}
        for resource in resources:
            self._kinds.setdefault(type(resource), []).append(resource)
        policies = sorted(self.of_kind(TenantPolicy), key=lambda policy: policy.name)
        self._tenants = {p.tenant_namespace: Tenant(p.name, p.tenant_namespace, p) for p in policies}
        only = next(iter(self._tenants)) if len(self._tenants) == 1 else ""
        self._default_namespace = only
        self._by_name = {
            (kind, r.metadata.namespace or self._default(kind), r.metadata.name): r
            for kind, resources in self._kinds.items()
            for r in resources
        }
        self._models: dict[tuple[str, str], list[FailureModel]] = {}
        for model in self.of_kind(FailureModel):
            self._models.setdefault((self.namespace(model), model.spec.asset_class), []).append(model)
        self._addressing = {(self.namespace(plant), plant.name): _addressing(plant) for plant in self.of_kind(Plant)}

    def of_kind(self, kind: type[R]) -> Iterator[R]:
        """Resources of a kind, in the order given."""
        return (resource for resource in self._kinds.get(kind, ()) if isinstance(resource, kind))

    def namespace(self, resource: Resource) -> str:
        """Namespace of a resource; one without belongs to the only tenant, if there is only one."""
        return resource.metadata.namespace or self._default(type(resource))

    def _default(self, kind: type[Resource]) -> str:
        return "" if kind is TenantPolicy else self._default_namespace

    @cached_property
    def _names(self) -> dict[tuple[type[Resource], str], list[str]]:
        found: dict[tuple[type[Resource], str], list[str]] = {}
        for kind, namespace, name in sorted(self._by_name, key=itemgetter(2)):
            found.setdefault((kind, namespace), []).append(name)
        return found

    def tenants(self) -> list[Tenant]:
        """Tenants by name."""
        return sorted(self._tenants.values(), key=lambda tenant: tenant.name)

    def tenant_of(self, resource: Resource) -> Tenant | None:
        """Tenant to whose namespace a resource belongs."""
        return self._tenants.get(self.namespace(resource))

    def find(self, kind: type[R], namespace: str, name: str) -> R | None:
        """Object of a kind in a namespace."""
        found = self._by_name.get((kind, namespace, name))
        return found if isinstance(found, kind) else None

    def visible(self, kind: type[R], namespace: str, name: str) -> R | None:
        """Object of a kind that a namespace sees: its own, else the library's."""
        return self.find(kind, namespace, name) or self.find(kind, LIBRARY_NAMESPACE, name)

    def names(self, kind: type[Resource], namespace: str) -> list[str]:
        """Names of a kind's objects in a namespace."""
        return self._names.get((kind, namespace), [])

    def visible_names(self, kind: type[Resource], namespace: str) -> list[str]:
        """Names of a kind's objects that a namespace sees."""
        return sorted({*self.names(kind, namespace), *self.names(kind, LIBRARY_NAMESPACE)})

    def asset_class(self, twin: AssetTwin) -> AssetClass | None:
        """Class of a twin."""
        return self.visible(AssetClass, self.namespace(twin), twin.spec.asset_class)

    def plant(self, twin: AssetTwin) -> Plant | None:
        """Plant of a twin."""
        return self.find(Plant, self.namespace(twin), twin.spec.plant)

    def class_models(self, namespace: str, asset_class: str) -> list[FailureModel]:
        """Failure models of a class that a namespace may use, by name."""
        tenant = self._tenants.get(namespace)
        allowed = tenant.policy.spec.library.failure_models if tenant else None
        found: dict[str, FailureModel] = {}
        for model in self._models.get((LIBRARY_NAMESPACE, asset_class), []):
            if allowed is None or model.name in allowed:
                found[model.name] = model
        found |= {model.name: model for model in self._models.get((namespace, asset_class), [])}
        return [found[name] for name in sorted(found)]

    def failure_models(self, twin: AssetTwin) -> list[tuple[FailureModel, ModelOverride | None]]:
        """Failure models of a twin that are not switched off, with the twin's override."""
        overrides = {override.name: override for override in twin.spec.failure_models}
        models = self.class_models(self.namespace(twin), twin.spec.asset_class)
        pairs = [(model, overrides.get(model.name)) for model in models]
        return [(model, override) for model, override in pairs if override is None or override.enabled]

    def connection(self, twin: AssetTwin, name: str) -> Connection | None:
        """Connection of the twin's plant."""
        plant = self.plant(twin)
        return next((c for c in plant.spec.connections if c.name == name), None) if plant else None

    def tag_source(self, twin: AssetTwin) -> str | None:
        """Connection at which the twin's tag is read; none if its plant has no addressing of its class."""
        return next((connection for connection, _ in self._addressed(twin).values()), None)

    def _addressed(self, twin: AssetTwin) -> Mapping[str, Addressed]:
        of_plant = self._addressing.get((self.namespace(twin), twin.spec.plant), {})
        return of_plant.get((twin.spec.asset_class, twin.spec.source), {})

    def bindings(self, twin: AssetTwin) -> list[Binding]:
        """Bound signals of a twin in the order of its class; what the twin says comes before the plant's addressing."""
        asset_class = self.asset_class(twin)
        if asset_class is None:
            return []
        own = {binding.name: binding for binding in twin.spec.signals}
        addressed = self._addressed(twin)
        found = (_bind(twin, s, own.get(s.name), addressed.get(s.name)) for s in asset_class.spec.signals)
        return [binding for binding in found if binding is not None]


Addressed = tuple[str, AddressedSignal]


def _addressing(plant: Plant) -> Mapping[tuple[str, str | None], Mapping[str, Addressed]]:
    """Connection and address pattern of each signal, by class and connection.

    Without a connection it is that of all of them together, of which the first entry of the list counts.
    """
    found: dict[tuple[str, str | None], dict[str, Addressed]] = {}
    for entry in plant.spec.addressing:
        for connection in (entry.source, None):
            signals = found.setdefault((entry.asset_class, connection), {})
            for signal in entry.signals:
                signals.setdefault(signal.name, (entry.source, signal))
    return found


def _bind(twin: AssetTwin, signal: Signal, own: SignalBinding | None, addressed: Addressed | None) -> Binding | None:
    source: SignalBinding | AddressedSignal
    if own is not None and own.source is not None:
        connection, source, tag = own.source, own, ""
    elif addressed is not None and twin.spec.tag is not None:
        connection, source, tag = addressed[0], addressed[1], twin.spec.tag
    else:
        return None
    protocol, address = address_of(source)
    if address is None:
        return None
    return Binding(
        signal=signal,
        connection=connection,
        address=address.replace("{tag}", tag) if tag else address,
        protocol=protocol,
        path=source.path,
        time_path=source.time_path,
        unit=(own.unit if own else None) or signal.unit,
        scale=own.scale if own and own.scale is not None else 1.0,
        offset=own.offset if own and own.offset is not None else 0.0,
        contract=merged_contract(signal.contract, own),
        own=tag == "",
    )


def address_of(source: SignalBinding | AddressedSignal) -> tuple[str, str | None]:
    """Protocol of a source, by the sort of its address, and the address."""
    if source.node is not None:
        return "opcua", source.node
    if source.topic is not None:
        return "mqtt", source.topic
    return "modbus", source.register_


def merged_contract(contract: Contract, own: SignalBinding | None) -> Contract:
    """The class's contract with what a twin says differently."""
    if own is None or own.contract is None:
        return contract
    given = {name: value for name, value in own.contract if value is not None}
    return contract.model_copy(update=given)
