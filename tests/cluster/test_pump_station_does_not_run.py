"""What the demo shows on one machine comes about in a cluster, in whatever order things are applied and deleted."""

from __future__ import annotations

import json
import random
import time

import pytest

from tests.cluster.operated import TENANT, condition, is_ready
from tests.support.waiting import wait
from wheeltapper_operator import names

NAMESPACE = f"--namespace={TENANT}"
OURS = f"--selector={names.MANAGED}"
COLUMNS = ("NAME", "CLASS", "PLANT", "READY", "FRESH", "MODE", "HEALTH", "ALERTS", "AGE")


@pytest.fixture(scope="module")
def station(operated):
    """The example, its objects applied one by one in an order of chance, as GitOps tools do, with repetitions."""
    documents = operated.example()
    random.Random(20260101).shuffle(documents)
    began = time.monotonic()
    while documents:
        documents = [document for document in documents if not applied(operated, document)]
        assert time.monotonic() < began + 60, documents
    yield began
    operated.remove(TENANT)


def applied(operated, document):
    return operated.cluster.try_kubectl("apply", "--server-side", "-f-", stdin=json.dumps(document)).returncode == 0


def pods(operated):
    found = operated.objects("pods", NAMESPACE, OURS)
    return {
        pod["metadata"]["uid"]: [c["restartCount"] for c in pod["status"]["containerStatuses"]]
        for pod in found.values()
    }


def test_every_twin_is_ready_and_the_fault_raises_its_alert(operated, station, tell):
    operated.wait(operated.ready, 120, "ready twins")
    tell(f"Ready {time.monotonic() - station:.0f} s after the first object was applied")

    def alarmed():
        return operated.twins()["p-103"].get("status", {}).get("openAlerts")

    # On a slow machine the healthy day takes most of it; the fault begins half a minute later and grows for a minute.
    operated.wait(alarmed, 400, "the alert on p-103")
    tell(f"The alert {time.monotonic() - station:.0f} s after the first object was applied")
    twins = operated.twins()
    assert all(condition(twin, "Fresh")["status"] == "True" for twin in twins.values())
    assert [name for name, twin in twins.items() if twin["status"]["openAlerts"]] in (["p-103"], ["p-103", "p-202"])
    printed = operated.cluster.kubectl("get", "twins", NAMESPACE)
    assert printed.splitlines()[0].split() == list(COLUMNS)
    assert all(
        is_ready(one)
        for kind in ("plants", "assetclasses", "failuremodels")
        for one in operated.objects(kind, NAMESPACE).values()
    )
    assert is_ready(operated.objects("tenantpolicies")[TENANT])


def test_an_edit_is_taken_up_without_a_restart(operated, station):
    operated.wait(operated.ready, 120, "ready twins")
    before = pods(operated)
    others = {name: twin["status"] for name, twin in operated.twins().items()}
    operated.cluster.kubectl(
        "patch", "twin", "p-102", NAMESPACE, "--type=merge", '--patch={"spec": {"criticality": "B"}}'
    )
    operated.wait(lambda: is_ready(operated.twins()["p-102"]), 30, "the edit")
    assert pods(operated) == before
    for name, twin in operated.twins().items():
        if name != "p-102":
            assert condition(twin, "Ready") == next(c for c in others[name]["conditions"] if c["type"] == "Ready")


def windows(operated, twin, since):
    """How many scores of a model each window of a twin has, by the second of its end."""
    chosen = f"asset = '{twin}' AND failure_model = 'bearing-wear' AND epoch(window_end) > {since}"
    what = "CAST(epoch(window_end) AS BIGINT) AS ended, count(*) AS scores"
    sql = f"SELECT {what} FROM scores WHERE {chosen} GROUP BY ended"  # noqa: S608 - all of it is this test's own
    command = ("python", "-m", "wheeltapper_cli", "query", sql, "--output", "json")
    printed = operated.cluster.kubectl("exec", f"deploy/{TENANT}-store", NAMESPACE, "-c", "gateway", "--", *command)
    return {row["ended"]: row["scores"] for row in json.loads(printed)}


@pytest.mark.timeout(900)
def test_a_hundred_edits_and_two_lost_pods_leave_no_gap(operated, station, tell):
    """The neighbours of an edited twin are scored window by window, and so is everybody while pods are replaced."""
    operated.wait(operated.ready, 120, "ready twins")
    before, began, took = pods(operated), time.time(), []
    for number in range(100):
        patch = json.dumps({"spec": {"title": f"Pump P-102, edit {number}"}})
        started = time.monotonic()
        operated.cluster.kubectl("patch", "twin", "p-102", NAMESPACE, "--type=merge", f"--patch={patch}")
        operated.wait(lambda: is_ready(operated.get("twin", "p-102", NAMESPACE)), 60, "the edit")
        took.append(time.monotonic() - started)
    took.sort()
    tell(f"An edit is in force and said to be so after {took[50]:.2f} s, 98 of 100 within {took[98]:.2f} s")
    assert pods(operated) == before, "an edit restarts nothing"

    for worker in ("riverside-analyse", "store"):
        operated.cluster.kubectl("delete", "pod", NAMESPACE, f"--selector=app.kubernetes.io/instance={TENANT}-{worker}")
    operated.wait(operated.ready, 120, "ready twins")
    check_no_gap(operated, began)


def check_no_gap(operated, began):
    """Every window since then has one score, as has one that is later than now."""
    now = time.time()
    for twin in ("p-101", "p-102"):
        operated.wait(lambda twin=twin: max(windows(operated, twin, began), default=0) > now + 10, 180, "new scores")
        found = windows(operated, twin, began)
        assert set(found.values()) == {1}, found
        assert sorted(found) == list(range(min(found), max(found) + 5, 5))


def drain(operated, leaving, taking):
    """Have a node's workers leave it as for an upgrade; the disruption budget lets one go when the last is back."""
    drain = ("drain", leaving, OURS.replace("selector", "pod-selector"), "--delete-emptydir-data", "--timeout=90s")
    operated.wait(lambda: operated.cluster.try_kubectl(*drain).returncode == 0, 300, "a drained node")

    def moved():
        return {pod["spec"]["nodeName"] for pod in operated.objects("pods", NAMESPACE, OURS).values()} == {taking}

    operated.wait(moved, 60, "workers on the other node")
    operated.wait(operated.ready, 120, "ready twins")
    operated.cluster.kubectl("uncordon", leaving)


@pytest.mark.timeout(1200)
def test_a_drained_node_is_left_and_come_back_to_without_a_gap(operated, station, tell):
    operated.wait(operated.ready, 120, "ready twins")
    kinds, began = "deployments,services,secrets,pvc,serviceaccounts,rolebindings,poddisruptionbudgets", time.time()
    made = [one["metadata"]["uid"] for one in operated.get(kinds, NAMESPACE)["items"]]
    (first,) = operated.objects("nodes")
    with operated.cluster.second_node() as second:
        drain(operated, first, second)
        drain(operated, second, first)
        tell(f"Two drains took {time.time() - began:.0f} s")
        assert [one["metadata"]["uid"] for one in operated.get(kinds, NAMESPACE)["items"]] == made
        check_no_gap(operated, began)


@pytest.mark.timeout(900)
def test_a_secret_without_its_password_is_told_and_mended_without_a_restart(operated, station):
    operated.wait(operated.ready, 120, "ready twins")
    secret, worker = ("secret", "hall-2-broker", NAMESPACE), f"deployment/{TENANT}-riverside-collect-hall-2"
    password = operated.get(*secret)["data"]["password"]
    patch = json.dumps({"data": {"password": None}})
    operated.cluster.kubectl("patch", *secret, "--type=merge", f"--patch={patch}")
    operated.cluster.kubectl("rollout", "restart", worker, NAMESPACE)

    def degraded():
        return condition(operated.get("plant", "riverside", NAMESPACE), "Degraded").get("message", "")

    try:
        operated.cluster.kubectl("rollout", "status", worker, NAMESPACE, "--timeout=100s")
        operated.wait(lambda: "username and password in its secret" in degraded(), 90, "what the Secret lacks")
        before = pods(operated)
    finally:
        patch = json.dumps({"data": {"password": password}})
        operated.cluster.kubectl("patch", *secret, "--type=merge", f"--patch={patch}")
    # The kubelet brings a changed Secret into its pods after a minute or more.
    operated.wait(lambda: not degraded(), 240, "the mended connection")
    assert pods(operated) == before


def test_a_line_that_moves_to_other_workers_and_back_leaves_no_gap(operated, station):
    """More samples than one worker is given: each role gets its own, none of which has the files of the one before."""
    operated.wait(operated.ready, 120, "ready twins")
    asset_class = operated.get("assetclass", "centrifugal-pump", NAMESPACE)
    signals = [signal["name"] for signal in asset_class["spec"]["signals"]]
    began = time.time()
    for interval, workers in (("1ms", {"featurize", "score", "alert"}), ("1s", {"analyse"})):
        edits = [
            {"op": "replace", "path": f"/spec/signals/{signals.index(name)}/contract/interval", "value": interval}
            for name in ("current", "ambient-temperature")  # no model reads them
        ]
        patch = ("--type=json", f"--patch={json.dumps(edits)}")
        operated.cluster.kubectl("patch", "assetclass", "centrifugal-pump", NAMESPACE, *patch)
        wanted = {f"{TENANT}-riverside-{role}" for role in workers}

        def moved(wanted=wanted):
            found = operated.objects("deployments", NAMESPACE, OURS)
            others = {name for name in found if "-collect-" not in name and not name.endswith("-store")}
            return others == wanted and operated.ready()

        operated.wait(moved, 240, f"the workers {sorted(wanted)}")
        check_no_gap(operated, began)


def test_a_class_and_a_plant_in_use_stay_until_their_twins_are_gone(operated, station):
    operated.wait(operated.ready, 120, "ready twins")
    kubectl = operated.cluster.kubectl
    for kind, name in (("assetclass", "centrifugal-pump"), ("plant", "riverside")):
        kubectl("delete", kind, name, NAMESPACE, "--wait=false")
    kubectl("delete", "tenantpolicy", TENANT, "--wait=false")

    def blocked(what, *where):
        return condition(operated.get(*what, *where), "Stalled").get("reason") == "InUse"

    operated.wait(lambda: blocked(("assetclass", "centrifugal-pump"), NAMESPACE), 30, "the class held back")
    operated.wait(lambda: blocked(("plant", "riverside"), NAMESPACE), 30, "the plant held back")
    operated.wait(lambda: blocked(("tenantpolicy", TENANT)), 30, "the tenant held back")
    assert (
        "AssetTwin northwater/p-101" in condition(operated.get("plant", "riverside", NAMESPACE), "Stalled")["message"]
    )
    assert len(pods(operated)) == 4, "what is held back goes on"

    kubectl("delete", "twins", "--all", NAMESPACE)

    def left():
        return operated.objects("assetclasses,plants", NAMESPACE) | operated.objects("tenantpolicies")

    operated.wait(lambda: not left(), 60, "the end of all that was deleted")
    wait(lambda: not operated.objects("pods", NAMESPACE, OURS), 60, "the end of the workers")
    kept = operated.objects("deployments,services,secrets,pvc,serviceaccounts,rolebindings", NAMESPACE, OURS)
    assert all(one["kind"] == "PersistentVolumeClaim" for one in kept.values()), "only data is kept"
    assert "tables" in kept
