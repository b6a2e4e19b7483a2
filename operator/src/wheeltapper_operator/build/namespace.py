"""The namespace of a tenant."""

from __future__ import annotations

from typing import Any

from wheeltapper_operator.build.labels import labels


def namespace(tenant: str, name: str) -> dict[str, Any]:
    """Namespace in which pods run restricted."""
    secured = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels(tenant) | secured}}
