"""Kinds that are missing, older or newer, and a second operator: nothing is done that somebody would have to undo."""

from __future__ import annotations

import json

import pytest

from tests.cluster.examples import ROOT
from tests.cluster.installation import CHARTS, NAMESPACE
from tests.cluster.operated import install_operator
from tests.cluster.outside import DEPLOYMENT
from wheeltapper_operator import names
from wheeltapper_operator.kube import fitness

OPERATORS = f"--selector=app.kubernetes.io/name={names.OPERATOR}"
TWINS = "assettwins.wheeltapper.dev"
SPEC = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
WAITS, WORKS = "503 starting", "200 ready"


@pytest.fixture(autouse=True)
def no_events(operated):
    """What an earlier test was told is not mistaken for news."""
    operated.cluster.kubectl("delete", "events.events.k8s.io", "--all", f"--namespace={NAMESPACE}")


def events(operated, namespace=NAMESPACE):
    """What was told of the operator's own Deployment, by reason."""
    found = operated.get("events.events.k8s.io", f"--namespace={namespace}")["items"]
    return {one["reason"]: one["note"] for one in found if one["regarding"].get("kind") == "Deployment"}


def change_kind(operated, operation, field, value=None):
    patch = [{"op": operation, "path": f"{SPEC}/{field}"} | ({"value": value} if value else {})]
    operated.cluster.kubectl("patch", "crd", TWINS, "--type=json", f"--patch={json.dumps(patch)}")


def restore_kinds(operated):
    crds = sorted((ROOT / "crds").glob("*.wheeltapper.dev.yaml"))
    files = [f"--filename={file}" for file in crds]
    operated.cluster.kubectl("apply", "--server-side", "--force-conflicts", *files)
    operated.cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")


def holder(operated):
    return operated.get("lease", names.OPERATOR, f"--namespace={NAMESPACE}")["spec"].get("holderIdentity")


def check_waits(outside, reason, *words):
    """It says why, to all who may look, and does not lead."""
    operated = outside.operated
    operated.wait(lambda: reason in outside.said(), 60, "the reason in the log")
    operated.wait(lambda: reason in events(operated), 30, "the Event")
    for word in words:
        assert word in outside.said()
        assert word in events(operated)[reason]
    assert outside.probe("/readyz") == WAITS
    assert outside.probe("/healthz") == "200 alive", "the kubelet has no reason to restart it"
    assert holder(operated) != "outside"


def check_goes_on(outside):
    outside.operated.wait(lambda: outside.probe("/readyz") == WORKS, 60, "an operator that goes on")
    outside.operated.wait(lambda: holder(outside.operated) == "outside", 30, "a leader")


def test_an_operator_upgraded_before_its_kinds_leaves_the_former_one_in_charge(operated):
    before = holder(operated)
    change_kind(operated, "remove", "criticality")
    try:
        operated.cluster.kubectl("rollout", "restart", *DEPLOYMENT)
        operated.wait(lambda: fitness.KINDS_OLDER in events(operated), 120, "the Event")
        ready = {
            pod["metadata"]["name"]: all(one["ready"] for one in pod["status"]["containerStatuses"])
            for pod in operated.objects("pods", f"--namespace={NAMESPACE}", OPERATORS).values()
        }
        assert ready.pop(before)
        assert list(ready.values()) == [False]
        assert holder(operated) == before
    finally:
        restore_kinds(operated)
    operated.cluster.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=100s")
    operated.wait(lambda: holder(operated) not in {"", before}, 30, "the new leader")


def test_older_kinds_would_lose_what_is_written(outside):
    try:
        change_kind(outside.operated, "remove", "criticality")
        with outside.running():
            lacks = "AssetTwin.spec.criticality"
            check_waits(outside, fitness.KINDS_OLDER, lacks, "Upgrade the chart wheeltapper-crds")
            restore_kinds(outside.operated)
            check_goes_on(outside)
    finally:
        restore_kinds(outside.operated)


def test_newer_kinds_are_remarked_and_no_reason_to_stop(outside):
    try:
        change_kind(outside.operated, "add", "colour", {"type": "string", "maxLength": 9})
        with outside.running():
            check_goes_on(outside)
            assert "AssetTwin.spec.colour" in events(outside.operated)[fitness.KINDS_NEWER]
    finally:
        restore_kinds(outside.operated)


def test_a_second_operator_says_so_and_does_nothing(outside):
    """Whoever applies a second one past Helm, which refuses it, has two Deployments; the older one's operator acts."""
    operated = outside.operated
    labels = {"app.kubernetes.io/name": names.OPERATOR}
    container = {"name": "operator", "image": "none"}
    second = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": names.OPERATOR, "namespace": "second", "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    operated.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "second"}})
    operated.cluster.apply(second)
    try:
        with outside.running(WHEELTAPPER_NAMESPACE="second"):
            operated.wait(lambda: fitness.SECOND_OPERATOR in events(operated, "second"), 60, "the Event")
            told = events(operated, "second")[fitness.SECOND_OPERATOR]
            assert f"namespace {NAMESPACE} serves this cluster" in told
            assert told in outside.said()
            assert outside.probe("/readyz") == WAITS
            assert not operated.objects("leases,secrets", "--namespace=second")
        with outside.running():
            check_goes_on(outside)
    finally:
        operated.cluster.kubectl("delete", "namespace", "second", "--timeout=60s")


def test_helm_refuses_a_second_release(operated, helm):
    with pytest.raises(AssertionError, match=f"cannot be imported.* current value is .{NAMESPACE}"):
        helm("install", "another", CHARTS / "wheeltapper", "--namespace=second", "--create-namespace")


def test_missing_kinds_are_waited_for(outside, helm, load):
    """The last of this file: with the kinds go all their objects, the library's too, which is installed anew."""
    operated = outside.operated
    operated.cluster.kubectl("delete", "crd", *(file.stem for file in (ROOT / "crds").glob("*.wheeltapper.dev.yaml")))
    try:
        with outside.running():
            check_waits(outside, fitness.KINDS_MISSING, "Install the chart wheeltapper-crds")
            restore_kinds(operated)
            check_goes_on(outside)
    finally:
        restore_kinds(operated)
        install_operator(operated.cluster, helm, load)
