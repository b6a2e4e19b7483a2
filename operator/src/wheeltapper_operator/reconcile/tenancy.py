"""What belongs to a tenant, of all that is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wheeltapper_api.fields import LIBRARY_NAMESPACE
from wheeltapper_api.kinds import AssetClass, AssetTwin, FailureModel, Plant, Resource, TenantPolicy
from wheeltapper_operator.inventory import Inventory, Seen
from wheeltapper_operator.objects import Key

_OF_NAMESPACE = (Plant.__name__, AssetClass.__name__, FailureModel.__name__, AssetTwin.__name__)
_OF_LIBRARY = (AssetClass.__name__, FailureModel.__name__)


@dataclass(frozen=True)
class View:
    """A tenant's policy, the objects of its namespace, and the library."""

    policy: Seen
    own: tuple[Seen, ...]
    library: tuple[Seen, ...]

    @property
    def tenant(self) -> str:
        """Name of the tenant."""
        return self.policy.key.name

    @property
    def namespace(self) -> str:
        """Namespace of the tenant."""
        return namespace_of(self.policy)

    @property
    def resources(self) -> list[Resource]:
        """All that can be understood, of a set that stands for itself."""
        everything = (self.policy, *self.own, *self.library)
        return [seen.resource for seen in everything if seen.resource is not None]

    def twins(self) -> list[AssetTwin]:
        """The tenant's twins."""
        return [seen.resource for seen in self.own if isinstance(seen.resource, AssetTwin)]


def namespace_of(policy: Seen) -> str:
    """Namespace that a policy names; one that is not understood keeps its own name's."""
    return policy.resource.tenant_namespace if isinstance(policy.resource, TenantPolicy) else policy.key.name


def tenants(inventory: Inventory) -> dict[str, str]:
    """Name of the tenant of each namespace; of two that claim one it is the older's."""
    found: dict[str, str] = {}
    for policy in sorted(inventory.of(TenantPolicy.__name__), key=age):
        found.setdefault(namespace_of(policy), policy.key.name)
    return found


def age(seen: Seen) -> tuple[str, str]:
    """Sorts objects by the time at which they were made, the oldest first."""
    return str(seen.raw["metadata"].get("creationTimestamp", "")), seen.key.name


def view(inventory: Inventory, tenant: str) -> View | None:
    """What belongs to a tenant; none if it has no policy any more."""
    policy = inventory.get(Key(TenantPolicy.__name__, "", tenant))
    if policy is None:
        return None
    return View(
        policy,
        tuple(_of(inventory, _OF_NAMESPACE, namespace_of(policy))),
        tuple(_of(inventory, _OF_LIBRARY, LIBRARY_NAMESPACE)),
    )


def _of(inventory: Inventory, kinds: Iterable[str], namespace: str) -> Iterable[Seen]:
    for kind in kinds:
        yield from inventory.of(kind, namespace)
