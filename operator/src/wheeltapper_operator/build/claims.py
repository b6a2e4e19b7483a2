"""PersistentVolumeClaims: of a worker for its checkpoints, and of a tenant for its tables."""

from __future__ import annotations

from typing import Any, Final

from wheeltapper_api.plan import SYMBOL_STORAGE_CLASS
from wheeltapper_operator.build.labels import metadata

CLAIM: Final = "PersistentVolumeClaim"
TABLES: Final = "tables"
"""Claim with a tenant's tables."""
_STATE_SIZE: Final = "1Gi"


def state_claim_name(worker: str) -> str:
    """Name of the claim for a worker's checkpoints."""
    return f"state-{worker}"


def state_claim(tenant: str, namespace: str, worker: str) -> dict[str, Any]:
    """Claim for a worker's checkpoints; it goes with the worker."""
    return _claim(state_claim_name(worker), tenant, namespace, _STATE_SIZE, worker)


def tables_claim(tenant: str, namespace: str, size: str) -> dict[str, Any]:
    """Claim for a tenant's tables; ``size`` as Kubernetes writes it."""
    return _claim(TABLES, tenant, namespace, size)


def _claim(name: str, tenant: str, namespace: str, size: str, worker: str = "") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": CLAIM,
        "metadata": metadata(name, tenant, namespace, worker),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": SYMBOL_STORAGE_CLASS,
            "resources": {"requests": {"storage": size}},
        },
    }
