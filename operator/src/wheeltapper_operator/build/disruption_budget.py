"""The PodDisruptionBudget of a tenant: a drained node takes its workers one after the other."""

from __future__ import annotations

from typing import Any

from wheeltapper_operator.build.labels import metadata


def disruption_budget(tenant: str, namespace: str) -> dict[str, Any]:
    """Budget of all workers of a tenant. None of them has a second instance, so one has to be allowed to go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata("wheeltapper-workers", tenant, namespace),
        "spec": {
            "maxUnavailable": 1,
            "selector": {
                "matchLabels": {"app.kubernetes.io/name": "wheeltapper-worker", "app.kubernetes.io/part-of": tenant}
            },
        },
    }
