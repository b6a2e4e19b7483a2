"""The ServiceAccount of a tenant's workers: a name for policies to go by, without a token."""

from __future__ import annotations

from typing import Any, Final

from wheeltapper_operator.build.labels import metadata

WORKER_ACCOUNT: Final = "wheeltapper-worker"


def service_account(tenant: str, namespace: str) -> dict[str, Any]:
    """ServiceAccount of all workers of a tenant."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(WORKER_ACCOUNT, tenant, namespace),
        "automountServiceAccountToken": False,
    }
