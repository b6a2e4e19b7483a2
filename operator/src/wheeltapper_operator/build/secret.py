"""The Secret with which a tenant's workers speak to the backbone."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from wheeltapper_operator.build.labels import metadata


def backbone_secret(tenant: str, namespace: str, credentials: str) -> dict[str, Any]:
    """Secret with a credentials file as NATS' own tools write and read it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata(f"backbone-{tenant}", tenant, namespace),
        "data": {"user.creds": b64encode(credentials.encode()).decode()},
    }
