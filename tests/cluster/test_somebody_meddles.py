"""What the operator made is edited, deleted, scaled or blocked by others; what is others' is left alone."""

from __future__ import annotations

import json

import pytest

from tests.cluster.operated import condition, is_ready
from wheeltapper_operator import names

TENANT = "meddled"
IN_TENANT = f"--namespace={TENANT}"
ANALYSE, STORE = "meddled-riverside-analyse", "meddled-store"
OURS = f"--selector={names.MANAGED}"


@pytest.fixture(scope="module")
def tenant(operated):
    with operated.tenant(TENANT):
        yield operated


def deployment(operated, name):
    return operated.objects("deployments", IN_TENANT).get(name)


def edit_a_twin(operated, criticality):
    patch = json.dumps({"spec": {"criticality": criticality}})
    operated.cluster.kubectl("patch", "twin", "p-101", IN_TENANT, "--type=merge", f"--patch={patch}")
    operated.wait(lambda: is_ready(operated.twins(TENANT)["p-101"]), 60, "the edit", TENANT)


def test_an_edited_worker_is_repaired(tenant):
    container = deployment(tenant, ANALYSE)["spec"]["template"]["spec"]["containers"][0]
    edits = [
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.example/other:1"},
        {"op": "replace", "path": "/spec/template/spec/containers/0/env/0/value", "value": "another-worker"},
    ]
    tenant.cluster.kubectl("patch", "deployment", ANALYSE, IN_TENANT, "--type=json", f"--patch={json.dumps(edits)}")

    def repaired():
        return deployment(tenant, ANALYSE)["spec"]["template"]["spec"]["containers"][0] == container

    tenant.wait(repaired, 30, "the repair", TENANT)
    tenant.wait(lambda: tenant.ready(TENANT), 120, "ready twins", TENANT)


def test_a_deleted_worker_is_made_again(tenant):
    uid = deployment(tenant, ANALYSE)["metadata"]["uid"]
    tenant.cluster.kubectl("delete", "deployment", ANALYSE, IN_TENANT)

    def back():
        found = deployment(tenant, ANALYSE)
        return found and found["metadata"]["uid"] != uid

    tenant.wait(back, 30, "the worker", TENANT)
    tenant.wait(lambda: tenant.ready(TENANT), 120, "ready twins", TENANT)


def test_a_number_of_replicas_is_left_to_whoever_scales(tenant):
    tenant.cluster.kubectl("scale", "deployment", ANALYSE, IN_TENANT, "--replicas=0")
    tenant.wait(lambda: condition(tenant.twins(TENANT)["p-101"], "Ready")["status"] == "False", 60, "no worker", TENANT)
    patch = json.dumps({"spec": {"title": "Meddled"}})
    tenant.cluster.kubectl("patch", "tenantpolicy", TENANT, "--type=merge", f"--patch={patch}")
    generation = tenant.objects("tenantpolicies")[TENANT]["metadata"]["generation"]

    def seen():
        return tenant.objects("tenantpolicies")[TENANT]["status"]["observedGeneration"] == generation

    tenant.wait(seen, 30, "the new policy", TENANT)
    assert deployment(tenant, ANALYSE)["spec"]["replicas"] == 0
    tenant.cluster.kubectl("scale", "deployment", ANALYSE, IN_TENANT, "--replicas=1")
    tenant.wait(lambda: tenant.ready(TENANT), 120, "ready twins", TENANT)


def test_an_autoscaler_is_left_alone_and_a_persons_edit_beside_it_is_not(tenant, monkeypatch):
    """One that asks for two gets two, of which one is fenced off: it is not for the operator to fight with it."""
    container = deployment(tenant, ANALYSE)["spec"]["template"]["spec"]["containers"][0]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": ANALYSE}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "eager", "namespace": TENANT},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 2,
            "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    }
    tenant.cluster.apply(scaler)
    try:
        tenant.wait(lambda: deployment(tenant, ANALYSE)["spec"]["replicas"] == 2, 90, "the autoscaler", TENANT)
        monkeypatch.setenv("KUBE_EDITOR", "sed -i s/3Gi/5Gi/")
        generation = deployment(tenant, ANALYSE)["metadata"]["generation"]
        tenant.cluster.kubectl("edit", "deployment", ANALYSE, IN_TENANT)

        def repaired():
            found = deployment(tenant, ANALYSE)
            edited = found["metadata"]["generation"] >= generation + 2  # by the person, then by the operator
            return edited and found["spec"]["template"]["spec"]["containers"][0] == container

        tenant.wait(repaired, 30, "the repair", TENANT)
        assert deployment(tenant, ANALYSE)["spec"]["replicas"] == 2
        edit_a_twin(tenant, "A")
        assert deployment(tenant, ANALYSE)["spec"]["replicas"] == 2
    finally:
        tenant.cluster.kubectl("delete", "hpa", "eager", IN_TENANT)
    tenant.cluster.kubectl("scale", "deployment", ANALYSE, IN_TENANT, "--replicas=1")
    tenant.wait(lambda: tenant.ready(TENANT), 120, "ready twins", TENANT)


def test_a_quota_that_blocks_a_worker_is_named(tenant):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": TENANT},
        "spec": {"hard": {"pods": "3"}},
    }
    tenant.cluster.apply(quota)
    try:
        tenant.cluster.kubectl("delete", "pod", IN_TENANT, f"--selector=app.kubernetes.io/instance={ANALYSE}")

        def named():
            ready = condition(tenant.twins(TENANT)["p-101"], "Ready")
            return ready["reason"] == "QuotaExceeded" and "small" in ready["message"]

        tenant.wait(named, 60, "the quota in the status", TENANT)
        assert condition(tenant.objects("tenantpolicies")[TENANT], "Ready")["reason"] == "QuotaExceeded"
    finally:
        tenant.cluster.kubectl("delete", "resourcequota", "small", IN_TENANT)
    # The cluster's own controller tries again after a growing time.
    tenant.cluster.kubectl("rollout", "restart", "deployment", ANALYSE, IN_TENANT)
    tenant.wait(lambda: tenant.ready(TENANT), 120, "ready twins", TENANT)


def test_less_storage_does_not_stop_a_tenant(tenant):
    """A volume never shrinks; the streams do, and everything goes on."""
    patch = json.dumps({"spec": {"limits": {"storage": "10Gi"}}})
    tenant.cluster.kubectl("patch", "tenantpolicy", TENANT, "--type=merge", f"--patch={patch}")
    edit_a_twin(tenant, "C")
    tenant.wait(lambda: is_ready(tenant.objects("tenantpolicies")[TENANT]), 60, "the tenant", TENANT)


def test_a_missing_secret_keeps_nobody_else_from_working(tenant):
    assert "hall-2-broker" not in tenant.objects("secrets", IN_TENANT)
    assert all(is_ready(twin) for twin in tenant.twins(TENANT).values())

    def said():
        return "hall-2-broker" in condition(tenant.objects("plants", IN_TENANT)["riverside"], "Degraded").get(
            "message", ""
        )

    tenant.wait(said, 60, "the Secret's name in the plant's status", TENANT)


def test_a_namespace_of_somebody_else_is_not_touched(tenant):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "somebodys"}}
    policy = {"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "TenantPolicy", "metadata": {"name": "somebodys"}}
    tenant.cluster.apply(namespace)
    tenant.cluster.apply(policy | {"spec": {"title": "Not mine"}})
    try:

        def told():
            stalled = condition(tenant.objects("tenantpolicies")["somebodys"], "Stalled")
            return (
                stalled.get("reason") == "NamespaceTaken" and "kubectl label namespace somebodys" in stalled["message"]
            )

        tenant.wait(told, 30, "the reason", TENANT)
        where = "--namespace=somebodys"
        assert not tenant.objects("deployments,secrets,pvc,services,networkpolicies,rolebindings", where, OURS)
        assert names.TENANT_LABEL not in tenant.get("namespace", "somebodys")["metadata"]["labels"]
        tenant.cluster.kubectl("label", "namespace", "somebodys", f"{names.TENANT_LABEL}=somebodys")
        tenant.wait(lambda: is_ready(tenant.objects("tenantpolicies")["somebodys"]), 60, "the tenant", TENANT)
    finally:
        tenant.remove("somebodys")


def test_objects_nobody_owns_say_so(tenant):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "nobodys"}}
    twin = tenant.station("nobodys")[-1]
    tenant.cluster.apply(namespace)
    try:
        done = tenant.cluster.try_kubectl("apply", "--server-side", "-f-", stdin=json.dumps(twin))
        if done.returncode:
            assert "no TenantPolicy" in done.stderr, "refused for another reason"
            return

        def told():
            stalled = condition(tenant.objects("assettwins", "--namespace=nobodys")["p-202"], "Stalled")
            return stalled.get("reason") == "ReferenceNotFound" and "no TenantPolicy" in stalled["message"]

        tenant.wait(told, 30, "the reason", TENANT)
    finally:
        tenant.cluster.kubectl("delete", "namespace", "nobodys")
