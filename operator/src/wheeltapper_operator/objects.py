"""The sorts of objects that the operator reads and makes, and where the API server has them.

A fixed table instead of discovery: what is not in it the operator cannot touch, and no start waits for a list of a
hundred API groups of which one is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from wheeltapper_api.fields import API_VERSION
from wheeltapper_api.kinds import KINDS


@dataclass(frozen=True, slots=True)
class ObjectType:
    """A sort of object."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", sub: str = "") -> str:
        """Path at the API server of one object or, without a name, of a list."""
        root = "/api" if "/" not in self.api_version else "/apis"
        parts = [root, self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts += [self.plural, quote(name, safe=""), sub]
        return "/".join(part for part in parts if part)


class Key(NamedTuple):
    """What identifies an object in a cluster; of an object of the whole cluster the namespace is empty."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


CUSTOM: Final[tuple[ObjectType, ...]] = tuple(
    ObjectType(API_VERSION, kind, cls.resource.plural, cls.resource.scope == "Namespaced")
    for kind, cls in KINDS.items()
)
"""The five kinds."""

CHILDREN: Final[tuple[ObjectType, ...]] = (
    ObjectType("v1", "ServiceAccount", "serviceaccounts"),
    ObjectType("v1", "Secret", "secrets"),
    ObjectType("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ObjectType("v1", "Service", "services"),
    ObjectType("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ObjectType("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    ObjectType("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ObjectType("apps/v1", "Deployment", "deployments"),
)
"""What a tenant's namespace is filled with, in the order in which it is made; it is taken away the other way round."""

NAMESPACE: Final = ObjectType("v1", "Namespace", "namespaces", namespaced=False)
POD: Final = ObjectType("v1", "Pod", "pods")
LEASE: Final = ObjectType("coordination.k8s.io/v1", "Lease", "leases")
EVENT: Final = ObjectType("events.k8s.io/v1", "Event", "events")
CLUSTER_BINDING: Final = ObjectType(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
CRD: Final = ObjectType(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)

TYPES: Final[Mapping[str, ObjectType]] = {
    one.kind: one for one in (*CUSTOM, *CHILDREN, NAMESPACE, POD, LEASE, EVENT, CLUSTER_BINDING, CRD)
}


def key_of(obj: Mapping[str, Any]) -> Key:
    """Key of an object as the API server or a builder writes it."""
    metadata = obj["metadata"]
    return Key(obj["kind"], metadata.get("namespace", ""), metadata["name"])
