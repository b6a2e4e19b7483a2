"""Names that the operator, its charts and other systems agree on."""

from __future__ import annotations

from typing import Final

from wheeltapper_api.fields import GROUP

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "wheeltapper"
MANAGED: Final = f"{MANAGED_BY}={MANAGER}"
"""Selector of everything the operator makes."""
TENANT: Final = f"{GROUP}/tenant"
"""Label of everything that is a tenant's, its namespace too: one without it is somebody else's."""

FINALIZER: Final = f"{GROUP}/in-use"
"""Keeps an object until nothing needs it any more."""

OBJECTS: Final = "wheeltapper-operator"
"""Field manager of the objects that the operator makes."""
STATUSES: Final = "wheeltapper-operator-status"
"""Field manager of the statuses that it writes."""

CREATED: Final = f"{GROUP}/created-for"
"""Annotation of a namespace that the operator made itself, and so may delete."""

LEASE: Final = "wheeltapper-operator"
"""Lease that the replica which acts holds."""
KEYS_SECRET: Final = "wheeltapper-backbone-keys"  # noqa: S105 - a name
"""In the release's namespace: what all keys of the backbone are derived from, and the servers' own configuration."""
RESOLVER_FILE: Final = "resolver.conf"
"""Key of that Secret which the servers of the backbone include."""
ACCOUNTS_FOLDER: Final = "/data/accounts"
"""Where a server of the backbone keeps the accounts, on its volume."""
BACKBONE_SERVICE: Final = "wheeltapper-nats"
"""Service at which the workers find the backbone."""
