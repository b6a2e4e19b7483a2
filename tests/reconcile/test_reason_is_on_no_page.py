"""A status gives a reason that the page of its kind does not explain."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support.explained import unexplained
from wheeltapper_api.conditions import AS_EXPECTED, CONNECTING, REASONS, WORKER
from wheeltapper_operator.reconcile.deletion import in_use
from wheeltapper_operator.reconcile.generations import Generations
from wheeltapper_operator.status import trouble, verdicts
from wheeltapper_operator.status.conditions import Verdict, conditions
from wheeltapper_operator.status.observed import Observed
from wheeltapper_operator.status.trouble import Trouble
from wheeltapper_operator.status.verdicts import Workers

NOW_NS = 10**18
OF_PODS = sorted(name for name in REASONS if name in vars(trouble).values())
OF_WORKERS = sorted(
    name for name, reason in REASONS.items() if WORKER in reason.of and name not in {AS_EXPECTED, CONNECTING}
)


class OneWorker(Generations):
    """Documents of one worker, with one twin in it, of which a generation may run."""

    def __init__(self, *, up_to_date=True):
        super().__init__()
        self.workers_of, self._wanted, self._up_to_date = {"p-101": ["w"]}, {"w": "new"}, up_to_date

    def runs(self, *_):
        return self._up_to_date

    def current(self, *_):
        return self._up_to_date


def workers(generations=None, *, silent=False, told=(), troubles=()):
    report = {"timeNs": 0 if silent else NOW_NS, "generation": "new", "parts": {}, "conditions": list(told)}
    return Workers(generations or OneWorker(), {"w": report}, {one.worker: one for one in troubles}, NOW_NS)


def told(kind, verdict):
    found = conditions([], 1, verdict, "2026-01-01T00:00:00Z")
    assert list(unexplained(kind, found)) == []
    return {(one.type, one.reason) for one in found}


def both(state):
    """What is told of a tenant and of its twin."""
    policy = told("TenantPolicy", verdicts.tenant(1, state))
    return policy, told("AssetTwin", verdicts.twin("p-101", state, None, 1))


@pytest.mark.parametrize("reason", OF_PODS)
def test_why_a_pod_does_not_run(reason):
    for found in both(workers(troubles=[Trouble("w", reason, "why")])):
        assert ("Reconciling", reason) in found


@pytest.mark.parametrize("reason", OF_WORKERS)
def test_what_a_worker_tells(reason):
    condition = {"type": "Flowing", "status": "False", "reason": reason, "message": "why"}
    policy, _ = both(workers(told=[condition]))
    assert ("Degraded", reason) in policy


def test_what_a_worker_does_not_tell():
    assert ("Reconciling", "WorkerSilent") in both(workers(silent=True))[1]
    assert ("Reconciling", "Starting") in both(dataclasses.replace(workers(), reports={}))[1]
    assert ("Reconciling", "Applying") in both(workers(OneWorker(up_to_date=False)))[1]
    assert ("Ready", "Running") in both(workers())[1]


def test_a_twin_that_waits_for_a_lesson_says_what_is_learned():
    behind = workers(OneWorker(up_to_date=False))
    assert "has not taken up" in verdicts.twin("p-101", behind, None, 1).message
    report = behind.reports["w"] | {"parts": {"featurize-riverside-pump-s0": {"learning": ["wear"]}}}
    said = verdicts.twin("p-101", dataclasses.replace(behind, reports={"w": report}), None, 1)
    assert "first learns wear from what is stored" in said.message


@pytest.mark.parametrize("received_ns", [0, 1, NOW_NS])
def test_freshness_and_faults_of_a_twin(received_ns):
    seen = Observed(received_ns)
    said = verdicts.twin("p-101", workers(), seen, 10, fault=("SignalsFaulty", "flow bad"))
    assert ("Degraded", "SignalsFaulty") in told("AssetTwin", said)


@pytest.mark.parametrize("reason", ["NamespaceTaken", "NamespaceEnding", "Refused", "BackboneAway"])
def test_what_hinders_a_tenant_is_told_of_its_twins(reason):
    state = "stalled" if reason == "NamespaceTaken" else "waiting"
    hindrance = Verdict(state, reason, "why")
    told("TenantPolicy", hindrance)
    assert ("Reconciling", reason) in told("AssetTwin", verdicts.twin("p-101", workers(), None, 1, hindrance))


def test_what_serves_others_and_what_is_still_needed():
    away = {"plant": "site", "connected": False, "message": "no way"}
    of_plant = dataclasses.replace(workers(), reports={"w": {"parts": {"collect": away}}})
    assert ("Degraded", "SourceAway") in told("Plant", verdicts.plant("site", ["scada"], of_plant))
    for kind in ("AssetClass", "FailureModel"):
        told(kind, verdicts.accepted(2, "AssetTwin"))
    for kind in ("TenantPolicy", "Plant", "AssetClass"):
        told(kind, in_use(["AssetTwin north/p-101"]))
    assert list(unexplained("FailureModel", conditions([], 1, in_use(["x"]), "2026-01-01T00:00:00Z")))
