"""Labels and annotations of everything the operator makes."""

from __future__ import annotations

from typing import Final

STOP_ORDER: Final = "wheeltapper.dev/stop-order"
"""Annotation: workers with the lowest number stop first, so that what is on its way still arrives."""


def labels(tenant: str, worker: str) -> dict[str, str]:
    """Recommended labels of Kubernetes for a worker's objects."""
    return {
        "app.kubernetes.io/name": "wheeltapper-worker",
        "app.kubernetes.io/instance": worker,
        "app.kubernetes.io/part-of": tenant,
        "app.kubernetes.io/managed-by": "wheeltapper",
    }
