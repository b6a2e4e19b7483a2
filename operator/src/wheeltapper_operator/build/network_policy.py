"""The NetworkPolicy of a tenant: nobody calls a worker; a worker calls machines, the backbone and object stores."""

from __future__ import annotations

from typing import Any

from wheeltapper_operator.build.labels import metadata


def network_policy(tenant: str, namespace: str) -> dict[str, Any]:
    """Deny what comes in to a tenant's workers. Where plants and their machines are, only the network knows."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata("wheeltapper-workers", tenant, namespace),
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "wheeltapper-worker"}},
            "policyTypes": ["Ingress"],
            "ingress": [],  # said, so that it is ours: what somebody lets in goes again
        },
    }
