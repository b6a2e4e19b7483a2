"""Of two policies that claim one namespace only the older is in force; the other says so, whichever was seen first."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from wheeltapper_operator.inventory import Inventory
from wheeltapper_operator.reconcile.tenancy import tenants
from wheeltapper_operator.rest import look_after_the_rest


def policy(name, made):
    metadata = {"name": name, "uid": name, "resourceVersion": "1", "generation": 1, "creationTimestamp": made}
    spec = {"namespace": "shared"}
    return {"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "TenantPolicy", "metadata": metadata, "spec": spec}


class Writes:
    """Takes what is written, in place of the API server."""

    def __init__(self):
        self.said = {}

    async def write(self, said, _now):
        self.said = {seen.key.name: one.verdict for seen, one in said}

    async def merge(self, key, _patch):
        """A finalizer is no matter here."""
        return policy(key.name, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_younger_is_told_that_its_namespace_is_taken(order):
    # By name they sort the other way round than by age.
    both = [policy("z-older", "2026-01-01T00:00:00Z"), policy("a-younger", "2026-02-01T00:00:00Z")]
    inventory = Inventory()
    for index in order:
        inventory.see(both[index])
    assert tenants(inventory) == {"shared": "z-older"}
    writes = Writes()
    await look_after_the_rest(SimpleNamespace(inventory=inventory, statuses=writes, api=writes))
    assert list(writes.said) == ["a-younger"]
    verdict = writes.said["a-younger"]
    assert (verdict.state, verdict.reason) == ("stalled", "Ambiguous")
    assert "z-older" in verdict.message
