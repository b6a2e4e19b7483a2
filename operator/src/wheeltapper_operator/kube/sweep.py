"""A listing of everything at the start and every minute, so that no lost event is lost for good.

Kopf begins a watch anew where it has to, and lists what is there; what was deleted meanwhile nobody tells.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from wheeltapper_operator.inventory import Inventory
from wheeltapper_operator.kube.api import Api, RefusedError, UnreachableError
from wheeltapper_operator.names import MANAGED, TENANT
from wheeltapper_operator.objects import CUSTOM, NAMESPACE, TYPES, ObjectType, key_of

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
_SWEPT: Final[tuple[tuple[ObjectType, str], ...]] = (
    *((one, "") for one in CUSTOM),
    (NAMESPACE, TENANT),
    (TYPES["Deployment"], MANAGED),
)


async def sweep(api: Api, inventory: Inventory) -> None:
    """Bring the inventory up to the present.

    Raises
    ------
    UnreachableError, RefusedError
        If something cannot be listed; then nothing is forgotten.
    """
    for of, selector in _SWEPT:
        await _sweep(api, inventory, of, selector)


async def keep_sweeping(api: Api, inventory: Inventory) -> None:
    """Sweep every minute until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await sweep(api, inventory)
        except (UnreachableError, RefusedError) as error:
            log.warning("The objects cannot be listed: %s", error)


async def _sweep(api: Api, inventory: Inventory, of: ObjectType, selector: str) -> None:
    """Only what is newer than what is known is read in full; a first time everything is."""
    known = inventory.versions(of.kind)
    listing = await api.list(of, labels=selector, metadata_only=bool(known))
    present = [key_of(item) for item in listing.items]
    for key, item in zip(present, listing.items, strict=True):
        if not known:
            inventory.see(item)
        elif _is_news(known.get(key), item):
            found = await api.get(key)
            if found is not None:
                inventory.see(found)
    inventory.forget_absent(of.kind, present, int(listing.resource_version))


def _is_news(known: tuple[str, int] | None, item: dict[str, object]) -> bool:
    metadata = item["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101 - said by the API
    return known is None or known[0] != metadata["uid"] or known[1] < int(metadata["resourceVersion"])
