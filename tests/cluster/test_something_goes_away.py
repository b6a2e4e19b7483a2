"""The API server, its database, the backbone or the leader goes away: nothing is deleted, and all goes on by itself."""

from __future__ import annotations

import json
import time

import pytest

from tests.cluster.installation import NAMESPACE
from tests.cluster.operated import is_ready
from tests.support.waiting import wait
from wheeltapper_operator import names

TENANT = "steady"
IN_TENANT = f"--namespace={TENANT}"
IN_SYSTEM = f"--namespace={NAMESPACE}"
OURS = f"--selector={names.MANAGED}"
AWAY_S = 60


@pytest.fixture(scope="module")
def tenant(operated):
    with operated.tenant(TENANT):
        yield operated


def pods(operated):
    """Each worker's pod, and how often its containers were started again."""
    found = operated.objects("pods", IN_TENANT, OURS).values()
    return {
        pod["metadata"]["name"]: sum(c["restartCount"] for c in pod["status"].get("containerStatuses", ()))
        for pod in found
    }


def children(operated):
    kinds = "deployments,services,secrets,pvc,serviceaccounts,rolebindings,networkpolicies,poddisruptionbudgets"
    return {(one["kind"], one["metadata"]["uid"]) for one in operated.get(kinds, IN_TENANT, OURS)["items"]}


def edit(operated, criticality):
    """An edit arrives at the workers: everything in between works."""
    patch = json.dumps({"spec": {"criticality": criticality, "title": f"Edited at {time.time_ns()}"}})
    command = ("patch", "twin", "p-101", IN_TENANT, "--type=merge", f"--patch={patch}")
    # An API server that has just come back does not know every kind at once, and refuses what it cannot judge.
    operated.wait(lambda: operated.cluster.try_kubectl(*command).returncode == 0, 60, "an edit that is taken", TENANT)
    operated.wait(lambda: is_ready(operated.twins(TENANT)["p-101"]), 90, "the edit", TENANT)


def leader(operated):
    return operated.get("lease", names.OPERATOR, IN_SYSTEM)["spec"].get("holderIdentity") or ""


def test_api_server_is_away_for_a_minute(tenant):
    edit(tenant, "A")
    before, made = pods(tenant), children(tenant)
    tenant.cluster.stop_program("kube-apiserver")
    began = time.monotonic()
    wait(lambda: time.monotonic() - began > AWAY_S, AWAY_S + 5, "the minute")
    tenant.cluster.start_program("kube-apiserver")
    wait(lambda: tenant.cluster.try_kubectl("get", "--raw=/readyz").returncode == 0, 90, "the API server")
    edit(tenant, "B")
    assert pods(tenant) == before, "workers need no API server"
    assert children(tenant) == made


def test_etcd_is_restarted(tenant):
    edit(tenant, "A")
    before, made = pods(tenant), children(tenant)
    tenant.cluster.stop_program("etcd")
    tenant.cluster.start_program("etcd")
    wait(lambda: tenant.cluster.try_kubectl("get", "--raw=/readyz").returncode == 0, 90, "the API server")
    edit(tenant, "B")
    assert pods(tenant) == before
    assert children(tenant) == made


def test_backbone_is_restarted(tenant):
    edit(tenant, "A")
    made = children(tenant)
    tenant.cluster.kubectl("delete", "pod", f"{names.NATS}-0", IN_SYSTEM)
    tenant.cluster.kubectl("rollout", "status", f"statefulset/{names.NATS}", IN_SYSTEM, "--timeout=100s")
    edit(tenant, "B")
    tenant.wait(lambda: tenant.ready(TENANT), 90, "ready twins", TENANT)
    assert children(tenant) == made


def test_leader_is_killed_and_the_next_one_takes_over(tenant):
    scale = ("scale", f"deployment/{names.OPERATOR}", IN_SYSTEM)
    tenant.cluster.kubectl(*scale, "--replicas=2")
    tenant.cluster.kubectl("rollout", "status", f"deployment/{names.OPERATOR}", IN_SYSTEM, "--timeout=100s")
    try:
        for grace in ("0", "30"):  # killed, and told to go
            first = leader(tenant)
            how = ("--force", "--grace-period=0") if grace == "0" else (f"--grace-period={grace}",)
            tenant.cluster.kubectl("delete", "pod", first, IN_SYSTEM, "--wait=false", *how)
            tenant.wait(lambda first=first: leader(tenant) not in {"", first}, 15, "the hand-over", TENANT)
            edit(tenant, "A" if grace == "0" else "B")
            tenant.cluster.kubectl("rollout", "status", f"deployment/{names.OPERATOR}", IN_SYSTEM, "--timeout=100s")
    finally:
        tenant.cluster.kubectl(*scale, "--replicas=1")


def test_an_idle_tenant_causes_no_write(tenant):
    edit(tenant, "A")
    tenant.wait(lambda: tenant.ready(TENANT), 90, "ready twins", TENANT)

    def versions():
        kinds = "tenantpolicies,plants,assetclasses,failuremodels,assettwins,deployments,services,networkpolicies,pvc"
        items = tenant.get(kinds, IN_TENANT)["items"] + tenant.get("tenantpolicies")["items"]
        return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in items}

    before, began = versions(), time.monotonic()
    lease = tenant.get("lease", names.OPERATOR, IN_SYSTEM)["metadata"]["resourceVersion"]
    wait(lambda: time.monotonic() - began > 20, 25, "a while")
    assert versions() == before
    assert tenant.get("lease", names.OPERATOR, IN_SYSTEM)["metadata"]["resourceVersion"] != lease, "somebody is there"
