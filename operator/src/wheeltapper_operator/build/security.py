"""What no container of a tenant may do."""

from __future__ import annotations

from typing import Any, Final

CONTAINER: Final[dict[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""Security context; with that of the pod it is what Pod Security calls restricted."""
