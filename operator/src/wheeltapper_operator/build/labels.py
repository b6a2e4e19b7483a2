"""Labels and annotations of everything the operator makes."""

from __future__ import annotations

from typing import Any, Final

from wheeltapper_api.fields import GROUP
from wheeltapper_operator.names import MANAGED_BY, MANAGER, TENANT

STOP_ORDER: Final = f"{GROUP}/stop-order"
"""Annotation: workers with the lowest number stop first, so that what is on its way still arrives."""
INSTANCE: Final = "app.kubernetes.io/instance"


def labels(tenant: str, worker: str = "") -> dict[str, str]:
    """Recommended labels of Kubernetes for a tenant's objects, or for those of one of its workers."""
    own = {"app.kubernetes.io/name": "wheeltapper-worker", INSTANCE: worker} if worker else {}
    return own | {"app.kubernetes.io/part-of": tenant, MANAGED_BY: MANAGER, TENANT: tenant}


def metadata(name: str, tenant: str, namespace: str, worker: str = "") -> dict[str, Any]:
    """Metadata of an object in a tenant's namespace."""
    return {"name": name, "namespace": namespace, "labels": labels(tenant, worker)}
