"""What is deleted may go only when nothing needs it any more.

Twins and failure models go at once: who is gone is not watched, and what is gone does not judge. A plant and a class go
after their twins, a tenant after its twins and plants.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from wheeltapper_api.conditions import IN_USE
from wheeltapper_api.kinds import AssetClass, AssetTwin, Plant, TenantPolicy
from wheeltapper_operator.inventory import Seen
from wheeltapper_operator.names import FINALIZER
from wheeltapper_operator.status.conditions import Verdict

_HELD: Final = (Plant, AssetClass, TenantPolicy)
_NAMED: Final = 3


def users(seen: Seen, others: Iterable[Seen]) -> list[str]:
    """Names of the objects among ``others``, those of its namespace or of all its users', that need this one."""
    found = []
    for other in others:
        if other.key == seen.key:
            continue
        resource = other.resource
        match seen.resource:
            case TenantPolicy():
                needs = other.key.kind in {AssetTwin.__name__, Plant.__name__}
            case Plant():
                needs = isinstance(resource, AssetTwin) and resource.spec.plant == seen.key.name
            case AssetClass():
                needs = isinstance(resource, AssetTwin) and resource.spec.asset_class == seen.key.name
            case _:
                needs = False
        if needs:
            found.append(str(other.key))
    return found


def in_use(by: list[str]) -> Verdict:
    """Verdict on an object that is deleted and still needed."""
    named = ", ".join(by[:_NAMED]) + (f" and {len(by) - _NAMED} more" if len(by) > _NAMED else "")
    return Verdict("stalled", IN_USE, f"Deleted, and still needed by {named}. It goes as soon as they are gone.")


def held(seen: Seen) -> bool:
    """Whether objects of this kind are held back while they are needed."""
    return isinstance(seen.resource, _HELD)


def finalizers(seen: Seen, *, needed: bool) -> dict[str, Any] | None:
    """Patch of an object's finalizers, or none where they are right.

    What nothing needs is not held: it can be deleted, and the charts uninstalled, without an operator. A tenant always
    is, since something has to be done before it goes. The patch has the version it was made for, so that somebody
    else's finalizer is never lost.
    """
    ours = FINALIZER in seen.finalizers
    wanted = held(seen) and (needed or (isinstance(seen.resource, TenantPolicy) and not seen.deleting))
    if wanted == ours or (wanted and seen.deleting):  # one that is going takes no finalizer any more
        return None
    others = [name for name in seen.finalizers if name != FINALIZER]
    names = [*others, FINALIZER] if wanted else others
    return {"metadata": {"finalizers": names, "resourceVersion": str(seen.version), "uid": seen.uid}}
