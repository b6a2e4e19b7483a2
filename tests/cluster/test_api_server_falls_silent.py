"""Connections to the API server are held and not closed: what others do meanwhile is seen, and nothing is deleted."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.control_plane import API_ADDRESS
from tests.cluster.operated import condition, is_ready
from tests.cluster.sandbox import INSIDE
from wheeltapper_operator import names

TENANT = "silent"
IN_TENANT = f"--namespace={TENANT}"
OURS = f"--selector={names.MANAGED}"
RELAY = "127.0.0.1:16443"
SEEN_WITHIN_S = 90


@pytest.fixture(scope="module")
def relay(outside):
    """The operator's only way to the API server; the test has its own."""
    cluster, file = outside.cluster, "etc/relayed.kubeconfig"
    direct = (cluster.state / "etc" / "tester.kubeconfig").read_text()
    assert API_ADDRESS in direct
    (cluster.state / file).write_text(direct.replace(API_ADDRESS, RELAY))
    found = cluster.sandbox.start("relay-held", sys.executable, Path(__file__).parent / "relay.py", RELAY, API_ADDRESS)
    try:
        way = str(INSIDE / file)
        with outside.running(KUBECONFIG=way, WHEELTAPPER_KUBECONFIG=way):
            yield found
    finally:
        found.kill()
        found.wait()


@pytest.fixture(scope="module")
def tenant(operated, relay):
    with operated.tenant(TENANT):
        yield operated


def there(operated):
    """What was made, and the pods with how often they were started."""
    kinds = "deployments,services,secrets,pvc,serviceaccounts,rolebindings,networkpolicies,poddisruptionbudgets"
    pods = operated.objects("pods", IN_TENANT, OURS).values()
    return {(one["kind"], one["metadata"]["uid"]) for one in operated.get(kinds, IN_TENANT, OURS)["items"]} | {
        (pod["metadata"]["uid"], sum(c["restartCount"] for c in pod["status"]["containerStatuses"])) for pod in pods
    }


def change(operated, criticality):
    """Edit one twin, add one and delete one; what says that all of it is in force."""
    patch = json.dumps({"spec": {"criticality": criticality}})
    (pump,) = (d for d in operated.station(TENANT) if d["metadata"]["name"] == "p-102")
    added = f"added-{criticality.lower()}"
    pump |= {"metadata": {"name": added, "namespace": TENANT}, "spec": pump["spec"] | {"tag": added, "aliases": []}}
    left = len(operated.twins(TENANT))
    operated.cluster.kubectl("patch", "twin", "p-101", IN_TENANT, "--type=merge", f"--patch={patch}")
    operated.cluster.kubectl("delete", "twin", min(set(operated.twins(TENANT)) - {"p-101"}), IN_TENANT)
    operated.cluster.apply(pump)

    def in_force():
        twins = operated.twins(TENANT)
        counted = condition(operated.objects("tenantpolicies")[TENANT], "Ready")["message"]
        return is_ready(twins["p-101"]) and is_ready(twins[added]) and f"{left} twins run" in counted

    return in_force


def test_changes_are_seen_though_the_watches_hang(tenant, relay, tell):
    before, began = there(tenant), time.monotonic()
    relay.send_signal(signal.SIGUSR1)
    tenant.wait(change(tenant, "A"), SEEN_WITHIN_S, "the changes", TENANT)
    tell(f"Seen {time.monotonic() - began:.0f} s after the watches began to hang")
    assert time.monotonic() - began < SEEN_WITHIN_S
    assert there(tenant) == before


def test_changes_are_seen_after_no_byte_came_through(tenant, relay, tell):
    before, began = there(tenant), time.monotonic()
    relay.send_signal(signal.SIGSTOP)
    try:
        in_force = change(tenant, "C")
        tenant.wait(lambda: time.monotonic() - began > SEEN_WITHIN_S / 2, SEEN_WITHIN_S, "half of the time")
    finally:
        relay.send_signal(signal.SIGCONT)
    tenant.wait(in_force, SEEN_WITHIN_S, "the changes", TENANT)
    tell(f"Seen {time.monotonic() - began:.0f} s after the first byte was held, half of which it was")
    assert time.monotonic() - began < SEEN_WITHIN_S
    assert there(tenant) == before
