"""What is deleted takes with it what nobody else needs, in order, and of data only what was asked for."""

from __future__ import annotations

import pytest

from tests.cluster.account import documents, known, streams
from tests.cluster.installation import NAMESPACE
from tests.cluster.operated import condition, is_ready
from wheeltapper_operator import names

TENANT = "leaving"
IN_TENANT = f"--namespace={TENANT}"
OURS = f"--selector={names.MANAGED}"
NATS = (f"statefulset/{names.NATS}", f"--namespace={NAMESPACE}")
RUNNING = "deployments,services,secrets,serviceaccounts,rolebindings,networkpolicies,poddisruptionbudgets"


@pytest.fixture(scope="module")
def tenant(operated):
    with operated.tenant(TENANT):
        yield operated


def pods(operated):
    found = operated.objects("pods", IN_TENANT, OURS).values()
    return {pod["metadata"]["uid"]: sum(c["restartCount"] for c in pod["status"]["containerStatuses"]) for pod in found}


def tables(operated):
    """The claim with the tables; checkpoints go with their workers, and are in a stream, too."""
    return operated.get("pvc", "tables", IN_TENANT)["metadata"]["uid"]


def policy(operated):
    return operated.objects("tenantpolicies").get(TENANT)


def apply_all(operated):
    operated.cluster.apply(*operated.station(TENANT)[1:])
    operated.wait(lambda: operated.ready(TENANT), 120, "ready twins", TENANT)
    operated.wait(lambda: is_ready(policy(operated)), 60, "the tenant", TENANT)


def delete_all(operated, how):
    """Delete the tenant with all it has; its policy first, which has to wait for the others."""
    patch = f'--patch={{"spec": {{"deletionPolicy": "{how}"}}}}'
    operated.cluster.kubectl("patch", "tenantpolicy", TENANT, "--type=merge", patch)
    operated.cluster.kubectl("delete", "tenantpolicy", TENANT, "--wait=false")
    operated.cluster.kubectl("delete", "twins,plants,assetclasses,failuremodels", "--all", IN_TENANT, "--timeout=100s")


def test_a_twin_goes_at_once_and_nobody_else_notices(tenant):
    before, others = pods(tenant), tenant.twins(TENANT)
    others.pop("p-102")
    assert "p-102" in str(documents(tenant, TENANT))
    tenant.cluster.kubectl("delete", "twin", "p-102", IN_TENANT, "--timeout=20s")
    tenant.wait(lambda: "p-102" not in str(documents(tenant, TENANT)), 30, "workers without it", TENANT)
    tenant.wait(lambda: "5 twins" in condition(policy(tenant), "Ready")["message"], 30, "a tenant without it", TENANT)
    ready = {name: condition(twin, "Ready") for name, twin in tenant.twins(TENANT).items()}
    assert ready == {name: condition(twin, "Ready") for name, twin in others.items()}
    assert pods(tenant) == before


def test_a_failure_model_in_use_goes_at_once_and_its_machines_go_on(tenant):
    before = pods(tenant)
    assert "bearing-wear" in str(documents(tenant, TENANT))
    tenant.cluster.kubectl("delete", "failuremodel", "bearing-wear", IN_TENANT, "--timeout=20s")
    tenant.wait(lambda: "bearing-wear" not in str(documents(tenant, TENANT)), 30, "workers without it", TENANT)
    tenant.wait(lambda: tenant.ready(TENANT), 60, "ready twins", TENANT)
    assert pods(tenant) == before


def test_what_a_retained_tenant_leaves_is_taken_up_again(tenant):
    apply_all(tenant)
    kept, made = tables(tenant), streams(tenant, TENANT)
    assert "CHECKPOINTS" in made
    delete_all(tenant, "retain")
    tenant.wait(lambda: policy(tenant) is None, 60, "the end of the tenant", TENANT)
    assert not tenant.objects(RUNNING, IN_TENANT, OURS)
    assert tables(tenant) == kept
    assert streams(tenant, TENANT) == made
    apply_all(tenant)
    assert tables(tenant) == kept, "the same volume"
    assert streams(tenant, TENANT) == made, "the same streams"


def test_a_tenant_that_goes_with_its_data_waits_for_the_backbone_and_leaves_nothing(tenant):
    apply_all(tenant)
    made = streams(tenant, TENANT)
    tenant.cluster.kubectl("scale", *NATS, "--replicas=0")
    try:
        tenant.cluster.kubectl("wait", "pod", f"{names.NATS}-0", NATS[1], "--for=delete", "--timeout=100s")
        delete_all(tenant, "delete")

        def told():
            return condition(policy(tenant), "Reconciling").get("reason") == "BackboneAway"

        tenant.wait(told, 90, "what it waits for", TENANT)
    finally:
        tenant.cluster.kubectl("scale", *NATS, "--replicas=1")
        tenant.cluster.kubectl("rollout", "status", *NATS, "--timeout=100s")
    tenant.wait(lambda: policy(tenant) is None, 90, "the end of the tenant", TENANT)
    assert not known(tenant, TENANT), "the account is gone"
    tenant.wait(lambda: not tenant.objects(f"{RUNNING},pvc,pods", IN_TENANT, OURS), 60, "an empty namespace", TENANT)
    assert tenant.get("namespace", TENANT)["metadata"]["labels"][names.TENANT_LABEL] == TENANT, "a person made it"
    apply_all(tenant)
    anew = streams(tenant, TENANT)
    assert anew.keys() == made.keys()
    assert min(anew.values()) > max(made.values()), "nothing of the former streams is back"


def test_a_namespace_that_the_operator_made_goes_with_the_data(tenant):
    own = {"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "TenantPolicy", "metadata": {"name": "passing"}}
    tenant.cluster.apply(own | {"spec": {"deletionPolicy": "delete"}})
    try:
        tenant.wait(lambda: is_ready(tenant.objects("tenantpolicies")["passing"]), 60, "the tenant", "passing")
        assert names.CREATED in tenant.get("namespace", "passing")["metadata"]["annotations"]
        tenant.cluster.kubectl("delete", "tenantpolicy", "passing", "--timeout=60s")
        tenant.wait(lambda: "passing" not in tenant.objects("namespaces"), 60, "the end of the namespace", "passing")
    finally:
        tenant.remove("passing")
