"""Patches of metadata that hold only for an object as it was seen."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from wheeltapper_operator.inventory import Inventory, Seen
from wheeltapper_operator.kube.api import Api, RefusedError

log = logging.getLogger(__name__)


async def merge(api: Api, inventory: Inventory, seen: Seen, patch: Mapping[str, Any]) -> bool:
    """Patch the metadata of an object, if it is as it was seen.

    If not, the newest is known afterwards, and the caller decides again. To wait for the watch is not enough: where
    only a status has changed, as the operator itself writes it, there is no news that begins another round.

    Raises
    ------
    RefusedError
        If it is as it was seen, and the patch is refused.
    """
    try:
        inventory.see(await api.merge(seen.key, patch))
    except RefusedError as error:
        newest = await api.get(seen.key)
        if newest is None:
            inventory.forget(seen.key, seen.uid)
        elif newest["metadata"]["resourceVersion"] == str(seen.version):
            raise
        else:
            inventory.see(newest)
            log.debug("%s has changed meanwhile: %s", seen.key, error)
        return False
    return True
