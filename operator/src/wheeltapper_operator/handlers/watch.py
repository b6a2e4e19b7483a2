"""Watches, by Kopf, that feed the inventory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import kopf

from wheeltapper_api.fields import GROUP
from wheeltapper_operator.inventory import Inventory
from wheeltapper_operator.names import MANAGED, TENANT
from wheeltapper_operator.objects import CHILDREN, CUSTOM, NAMESPACE, ObjectType, key_of

_DEPLOYMENT: Final = next(one for one in CHILDREN if one.kind == "Deployment")
_SELECTORS: Final[Mapping[ObjectType, str]] = {_DEPLOYMENT: MANAGED, NAMESPACE: TENANT}
_BACKOFFS_S: Final = (0.5, 1, 2, 5)


class _Patiently:
    """An API server that is away for an hour is no reason to give up."""

    def __iter__(self) -> Iterator[float]:
        yield from _BACKOFFS_S
        while True:
            yield _BACKOFFS_S[-1]


def registry(inventory: Inventory) -> kopf.OperatorRegistry:
    """Handlers of the five kinds, and of what is watched of the objects that the operator makes.

    They are the low-level ones: no annotation, no finalizer and no state of Kopf's is written anywhere.
    """
    found = kopf.OperatorRegistry()

    async def see(event: kopf.RawEvent, **_: Any) -> None:
        raw = event["object"]
        if event["type"] == "DELETED":
            inventory.forget(key_of(raw), raw["metadata"]["uid"])
        else:
            inventory.see(raw)

    for watched in (*CUSTOM, NAMESPACE, _DEPLOYMENT):
        *group, version = watched.api_version.split("/")
        kopf.on.event("".join(group), version, watched.plural, registry=found)(see)
    kopf.on.login(registry=found)(_login)
    return found


def _login(**kwargs: Any) -> Any:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def settings() -> kopf.OperatorSettings:
    """Settings of Kopf: it only watches. A watch that has fallen silent is begun again after 70 s, its default."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.peering.standalone = True  # the Lease decides who acts
    found.persistence.finalizer = f"{GROUP}/kopf"  # never written; none of another operator's is mistaken for ours
    found.networking.error_backoffs = _Patiently()
    found.networking.request_timeout = 30
    found.watching.connect_timeout = 5
    for watched, selector in _SELECTORS.items():
        *group, version = watched.api_version.split("/")
        found.watching.label_selectors["".join(group), version, watched.plural] = selector
    return found
