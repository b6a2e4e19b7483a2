"""Watches and listings bring news late, twice or never; what is known must not go back in time."""

from __future__ import annotations

import random

import pytest

from tests.reconcile.objects import served, station, twin
from wheeltapper_operator.inventory import EVERYBODY, Inventory
from wheeltapper_operator.objects import Key, key_of

P101 = Key("AssetTwin", "northwater", "p-101")


@pytest.fixture
def told():
    return []


@pytest.fixture
def inventory(told):
    return Inventory(told.append)


def test_older_news_change_nothing(inventory, told):
    inventory.see(served(twin(criticality="A"), version=20, generation=2))
    inventory.see(served(twin(criticality="B"), version=10))
    assert inventory.get(P101).resource.spec.criticality == "A"
    assert told == ["northwater"]


def test_news_of_one_that_is_gone_do_not_bring_it_back(inventory):
    inventory.see(served(twin(), uid="one", version=10))
    inventory.forget(P101, "one")
    inventory.see(served(twin(), uid="one", version=11))
    assert inventory.get(P101) is None
    inventory.see(served(twin(), uid="two", version=12))
    assert inventory.get(P101).uid == "two"


def test_the_end_of_a_namesake_is_not_the_end_of_its_successor(inventory):
    inventory.see(served(twin(), uid="two", version=12))
    inventory.forget(P101, "one")
    assert inventory.get(P101).uid == "two"


def test_one_that_is_newer_than_a_listing_is_not_forgotten_for_not_being_in_it(inventory):
    inventory.see(served(twin("p-101"), version=10))
    inventory.see(served(twin("p-102"), version=30))
    inventory.forget_absent("AssetTwin", [], version=20)
    assert [seen.key.name for seen in inventory.of("AssetTwin")] == ["p-102"]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_the_same_news_ends_alike(seed):
    chance = random.Random(seed)
    history = [served(twin(owners=[f"o{v}"]), uid="one", version=v, generation=v) for v in range(1, 8)]
    news = [("see", one) for one in history] + [("gone", None)] * chance.randrange(2)
    chance.shuffle(news)
    inventory = Inventory()
    for sort, raw in news:
        if sort == "see":
            inventory.see(raw)
        else:
            inventory.forget(P101, "one")
    if ("gone", None) in news:
        assert inventory.get(P101) is None
    else:
        assert inventory.get(P101).resource.spec.owners == ["o7"]


def test_a_status_that_was_written_is_no_reason_to_look_again(inventory, told):
    inventory.see(served(twin(), version=10))
    before = inventory.get(P101).resource
    inventory.see(served(twin() | {"status": {"observedGeneration": 1}}, version=11))
    assert told == ["northwater"]
    assert inventory.get(P101).resource is before, "what rests on it would be compiled again"
    assert inventory.get(P101).status == {"observedGeneration": 1}


def test_a_deployments_status_is_a_reason_to_look_again(inventory, told):
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "northwater"}}
    inventory.see(served(deployment, version=10))
    inventory.see(served(deployment | {"status": {"availableReplicas": 1}}, version=11))
    assert told == ["northwater", "northwater"]


def test_a_policy_and_the_library_concern_everybody(inventory, told):
    for document in station():
        inventory.see(served(document))
        expected = EVERYBODY if document["kind"] == "TenantPolicy" else "northwater"
        assert told.pop() == expected, key_of(document)
    library = {"metadata": {"name": "c", "namespace": "wheeltapper-library"}}
    inventory.see(served({"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "AssetClass", "spec": {}} | library))
    assert told == [EVERYBODY]


def test_an_object_of_another_version_is_kept_with_what_is_wrong(inventory):
    inventory.see(served(twin(newField=1), version=10))
    seen = inventory.get(P101)
    assert seen.resource is None
    assert "newField" in seen.mistake
