"""What is remembered must not grow without end, and thousands of twins must not be looked through at every event."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.reconcile.objects import served, station, twin
from wheeltapper_operator import rest
from wheeltapper_operator.inventory import Inventory
from wheeltapper_operator.kube import statuses
from wheeltapper_operator.kube.statuses import StatusWriter
from wheeltapper_operator.names import FINALIZER
from wheeltapper_operator.objects import key_of
from wheeltapper_operator.reconcile.statuses import Said
from wheeltapper_operator.status.conditions import Verdict

NOW = "2026-01-01T00:00:00Z"


class Server:
    """Takes all that is written, in place of the API server."""

    def __init__(self):
        self.statuses = []
        self.patches = {}

    async def apply_status(self, body):
        self.statuses.append(key_of(body))

    async def merge(self, key, patch):
        self.patches[key.name] = patch["metadata"]["finalizers"]
        metadata = {"finalizers": self.patches[key.name]}
        return served(in_library(key.kind, key.name), uid=patch["metadata"]["uid"], **metadata)

    async def tell(self, _seen, _news):
        """No Event is of interest here."""

    async def write(self, said, _now):
        self.said = {seen.key.name: one.verdict for seen, one in said}


@pytest.fixture
def inventory():
    found = Inventory()
    for document in station():
        found.see(served(document))
    return found


async def test_statuses_of_objects_that_are_gone_are_forgotten(monkeypatch):
    monkeypatch.setattr(statuses, "_FEW", 10)
    inventory, server = Inventory(), Server()
    writer = StatusWriter(server, server, inventory, lambda: True)
    stays = served(twin("stays"))
    inventory.see(stays)
    for number in range(200):
        passing = served(twin(f"t-{number}"))
        inventory.see(passing)
        seen = [(one, Said(Verdict("waiting", "Applying", f"round {number}"))) for one in inventory.of("AssetTwin")]
        await writer.write(seen, NOW)
        inventory.forget(key_of(passing), passing["metadata"]["uid"])
        assert len(writer._written) <= 10
    before = len(server.statuses)
    await writer.write(
        [(one, Said(Verdict("waiting", "Applying", "round 199"))) for one in inventory.of("AssetTwin")], NOW
    )
    assert len(server.statuses) == before, "what is there is remembered, and not written again"


def in_library(kind, name):
    (found,) = [d for d in station() if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found | {"metadata": {"name": name, "namespace": "wheeltapper-library"}}


async def test_the_rest_is_checked_without_the_tenants_machines(inventory, monkeypatch):
    library = [in_library("AssetClass", "centrifugal-pump"), in_library("FailureModel", "bearing-wear")]
    for document in library:
        inventory.see(served(document, uid=f"library-{document['kind']}"))
    for number in range(50):
        inventory.see(served(twin(f"t-{number}")))
    looked_at = []
    check = rest.check

    def counted(resources):
        looked_at.extend(resources)
        return check(resources)

    monkeypatch.setattr(rest, "check", counted)
    server = Server()
    await rest.look_after_the_rest(SimpleNamespace(inventory=inventory, statuses=server, api=server))
    assert sorted(one.kind for one in looked_at) == ["AssetClass", "FailureModel", "TenantPolicy"]
    assert {name: (one.reason, one.message) for name, one in server.said.items()} == {
        "centrifugal-pump": ("Accepted", "Used by 56 AssetTwins"),
        "bearing-wear": ("Accepted", "Used by 56 AssetTwins"),
    }
    assert server.patches == {"centrifugal-pump": [FINALIZER]}, "of the library only what is used is held"


async def test_a_library_class_that_is_deleted_and_used_names_its_users(inventory):
    deleted = {"deletionTimestamp": NOW, "finalizers": [FINALIZER]}
    inventory.see(served(in_library("AssetClass", "centrifugal-pump"), uid="library", **deleted))
    server = Server()
    await rest.look_after_the_rest(SimpleNamespace(inventory=inventory, statuses=server, api=server))
    verdict = server.said["centrifugal-pump"]
    assert verdict.reason == "InUse"
    assert "AssetTwin northwater/p-101" in verdict.message
    assert not server.patches
