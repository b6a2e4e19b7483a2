"""Names that the chart and the operator share; a test holds the chart's output against them."""

from __future__ import annotations

from typing import Final

OPERATOR: Final = "wheeltapper-operator"
"""Deployment and service account of the operator, and the Lease by which one of its pods leads."""
NATS: Final = "wheeltapper-nats"
"""StatefulSet of the backbone, and the Service that its clients use."""
NATS_PEERS: Final = "wheeltapper-nats-peers"
"""Headless Service by which the servers of the backbone find one another."""
NATS_PORT: Final = 4222
GATEWAY_ROLE: Final = "wheeltapper-gateway"
"""ClusterRole with what a tenant's gateway asks the API server about its callers."""
TENANT_LABEL: Final = "wheeltapper.dev/tenant"
"""On everything that is made for a tenant, its namespace first."""
KEYS_SECRET: Final = "wheeltapper-backbone-keys"  # noqa: S105 - a name
"""In the release's namespace: what all keys of the backbone are derived from, and the servers' own configuration."""
RESOLVER_FILE: Final = "resolver.conf"
"""Key of that Secret which the servers of the backbone include."""
ACCOUNTS_FOLDER: Final = "/data/accounts"
"""Where a server of the backbone keeps the accounts, on its volume."""
