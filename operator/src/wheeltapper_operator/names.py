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

LEASE: Final = "wheeltapper-operator"
"""Lease that the replica which acts holds."""
BACKBONE_KEYS: Final = "wheeltapper-backbone-keys"
"""Secret with the root of all keys of the backbone, and what its servers read at their start."""
BACKBONE_SERVICE: Final = "wheeltapper-nats"
"""Service at which the workers find the backbone."""
