"""An object that has changed between the look at it and the patch of its finalizers must not stay for good."""

from __future__ import annotations

import pytest

from tests.reconcile.objects import served, station
from wheeltapper_operator.inventory import Inventory
from wheeltapper_operator.kube.api import RefusedError
from wheeltapper_operator.kube.merge import merge
from wheeltapper_operator.names import FINALIZER
from wheeltapper_operator.reconcile.deletion import finalizers

DELETED = {"deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": [FINALIZER]}


class Server:
    """An API server with one object."""

    def __init__(self, there):
        self.there = there

    async def merge(self, _key, patch):
        if self.there is None:
            raise RefusedError(404, "NotFound", "not found")
        if patch["metadata"]["resourceVersion"] != self.there["metadata"]["resourceVersion"]:
            raise RefusedError(409, "Conflict", "the object has been modified")
        if "others" in self.there["metadata"].get("labels", {}):
            raise RefusedError(422, "Invalid", "a policy refuses it")
        self.there = self.there | {"metadata": self.there["metadata"] | patch["metadata"] | {"resourceVersion": "9999"}}
        return self.there

    async def get(self, _key):
        return self.there


def plant(**metadata):
    (found,) = [document for document in station() if document["kind"] == "Plant"]
    return served(found, **DELETED | metadata)


async def tried(known, there):
    """What a patch of what is known comes to; whether it was taken, and what is known afterwards."""
    inventory = Inventory()
    inventory.see(known)
    (seen,) = inventory.of("Plant")
    server = Server(there)
    return await merge(server, inventory, seen, finalizers(seen, needed=False)), server, inventory


async def test_a_status_that_was_written_meanwhile_is_seen_and_the_next_try_succeeds():
    known = plant(version=2000)
    there = known | {"metadata": known["metadata"] | {"resourceVersion": "2001"}, "status": {"observedGeneration": 1}}
    taken, server, inventory = await tried(known, there)
    assert not taken, "the caller has to try again"
    (seen,) = inventory.of("Plant")
    assert await merge(server, inventory, seen, finalizers(seen, needed=False))
    assert server.there["metadata"]["finalizers"] == []
    (seen,) = inventory.of("Plant")
    assert finalizers(seen, needed=False) is None, "it is known at once, and not done again"


async def test_one_that_is_gone_is_forgotten():
    taken, _, inventory = await tried(plant(), None)
    assert not taken
    assert not len(inventory)


async def test_what_is_refused_for_good_is_not_tried_without_a_pause():
    known = plant(labels={"others": "yes"})
    with pytest.raises(RefusedError, match="a policy refuses"):
        await tried(known, known)
