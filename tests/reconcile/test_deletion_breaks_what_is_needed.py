"""A class or plant in use, or a tenant with twins, must not go; what nothing needs must not stay."""

from __future__ import annotations

import pytest

from tests.reconcile.objects import seen_in, served, station
from wheeltapper_operator.inventory import Inventory
from wheeltapper_operator.names import FINALIZER
from wheeltapper_operator.reconcile.deletion import finalizers, in_use, users

DELETED = {"deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": [FINALIZER, "foregroundDeletion"]}


@pytest.fixture
def inventory():
    found = Inventory()
    for document in station():
        found.see(served(document))
    return found


def everything(inventory):
    return list(inventory.custom())


@pytest.mark.parametrize(
    ("kind", "name", "needed_by"),
    [("Plant", "riverside", 6), ("AssetClass", "centrifugal-pump", 6), ("TenantPolicy", "northwater", 7)],
)
def test_what_twins_need_stays_and_says_for_whom(inventory, kind, name, needed_by):
    by = users(seen_in(inventory, kind, name), everything(inventory))
    assert len(by) == needed_by
    verdict = in_use(by)
    assert verdict.state == "stalled"
    assert "AssetTwin northwater/p-101" in verdict.message or "Plant" in verdict.message
    assert f"{needed_by - 3} more" in verdict.message


@pytest.mark.parametrize(("kind", "name"), [("AssetTwin", "p-101"), ("FailureModel", "bearing-wear")])
def test_twins_and_models_go_at_once(inventory, kind, name):
    seen = seen_in(inventory, kind, name)
    assert finalizers(seen, needed=True) is None


def test_what_nothing_needs_is_not_held(inventory):
    assert finalizers(seen_in(inventory, "AssetClass", "centrifugal-pump"), needed=False) is None
    assert finalizers(seen_in(inventory, "TenantPolicy", "northwater"), needed=False) is not None


def test_one_that_is_no_longer_needed_is_let_go(inventory):
    seen = seen_in(inventory, "Plant", "riverside")
    held = {"finalizers": [FINALIZER, "other"], "resourceVersion": "9999"}
    inventory.see(seen.raw | {"metadata": seen.raw["metadata"] | held})
    assert finalizers(seen_in(inventory, "Plant", "riverside"), needed=False)["metadata"]["finalizers"] == ["other"]


def test_a_finalizer_is_put_on_once(inventory):
    seen = seen_in(inventory, "Plant", "riverside")
    patch = finalizers(seen, needed=True)
    assert patch["metadata"] == {"finalizers": [FINALIZER], "resourceVersion": str(seen.version), "uid": seen.uid}
    inventory.see(
        seen.raw | {"metadata": seen.raw["metadata"] | {"finalizers": [FINALIZER], "resourceVersion": "9999"}}
    )
    assert finalizers(seen_in(inventory, "Plant", "riverside"), needed=True) is None


def test_only_our_own_finalizer_is_taken_off_and_only_when_nothing_needs_it(inventory):
    seen = seen_in(inventory, "Plant", "riverside")
    inventory.see(seen.raw | {"metadata": seen.raw["metadata"] | DELETED | {"resourceVersion": "9999"}})
    deleted = seen_in(inventory, "Plant", "riverside")
    assert finalizers(deleted, needed=True) is None
    assert finalizers(deleted, needed=False)["metadata"]["finalizers"] == ["foregroundDeletion"]


def test_one_that_is_going_is_not_held_anew(inventory):
    seen = seen_in(inventory, "Plant", "riverside")
    metadata = seen.raw["metadata"] | {"deletionTimestamp": "2026-01-02T00:00:00Z", "resourceVersion": "9999"}
    inventory.see(seen.raw | {"metadata": metadata})
    assert finalizers(seen_in(inventory, "Plant", "riverside"), needed=True) is None
