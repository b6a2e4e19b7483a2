"""What is not watched is edited and deleted by hand: it is as it was after a while, however busy the tenant is."""

from __future__ import annotations

import itertools
import json

import pytest

from wheeltapper_operator import tenant as tenant_module

TENANT = "unwatched"
IN_TENANT = f"--namespace={TENANT}"
AGAIN_S = 20


@pytest.fixture(scope="module")
def operated_soon(outside):
    """An operator that does not wait for minutes to look at everything again."""
    sooner = f"import {tenant_module.__name__} as tenant\ntenant.RESYNC_S = {AGAIN_S}.0"
    with outside.running(sooner), outside.operated.tenant(TENANT):
        yield outside.operated


def patch(operated, kind, name, change):
    operated.cluster.kubectl("patch", kind, name, IN_TENANT, "--type=merge", f"--patch={json.dumps(change)}")


def as_they_were(operated):
    """What a person could have changed."""
    return {
        "selector": operated.get("service", "gateway", IN_TENANT)["spec"]["selector"],
        "credentials": operated.get("secret", f"backbone-{TENANT}", IN_TENANT)["data"],
        "policy": operated.get("networkpolicy", "wheeltapper-workers", IN_TENANT)["spec"],
        "budgets": len(operated.objects("poddisruptionbudgets", IN_TENANT)),
    }


def test_they_are_repaired_while_twins_are_edited_all_the_time(operated_soon):
    before = as_they_were(operated_soon)
    patch(operated_soon, "service", "gateway", {"spec": {"selector": {"app.kubernetes.io/instance": "nobody"}}})
    patch(operated_soon, "secret", f"backbone-{TENANT}", {"data": {"user.creds": "bm9ib2R5"}})
    patch(operated_soon, "networkpolicy", "wheeltapper-workers", {"spec": {"ingress": [{}]}})
    operated_soon.cluster.kubectl("delete", "poddisruptionbudget", "--all", IN_TENANT)
    edits = itertools.cycle("ABC")

    def repaired():
        patch(operated_soon, "twin", "p-101", {"spec": {"criticality": next(edits)}})
        return as_they_were(operated_soon) == before

    assert not repaired()
    operated_soon.wait(repaired, 3 * AGAIN_S, "the repair", TENANT)
