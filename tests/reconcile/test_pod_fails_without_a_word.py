"""Why a worker does not run has to be in the status, in words that say what to do."""

from __future__ import annotations

import pytest

from wheeltapper_api import conditions
from wheeltapper_operator.status.trouble import trouble


def deployment(generation=2, observed=2, available=0, **status):
    status = {"observedGeneration": observed, "availableReplicas": available, "updatedReplicas": available} | status
    return {"metadata": {"name": "w", "generation": generation}, "status": status}


def pod(*containers, **status):
    return {"metadata": {"name": "w-1"}, "status": {"containerStatuses": list(containers)} | status}


def waiting(reason, **more):
    return {"image": "registry.example/w:1", "state": {"waiting": {"reason": reason, "message": "not found"}}} | more


def unscheduled(message):
    return {"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}


CRASHED = {"lastState": {"terminated": {"exitCode": 3}}}


@pytest.mark.parametrize(
    ("pods", "reason", "word"),
    [
        ([], conditions.STARTING, "w is being started"),
        ([pod(waiting("ErrImagePull"))], conditions.IMAGE_UNAVAILABLE, "registry.example/w:1"),
        ([pod(waiting("ImagePullBackOff"))], conditions.IMAGE_UNAVAILABLE, "not found"),
        ([pod(waiting("InvalidImageName"))], conditions.IMAGE_UNAVAILABLE, "registry.example/w:1"),
        ([pod(waiting("CrashLoopBackOff", **CRASHED))], conditions.WORKER_FAILS, "exit code 3"),
        ([pod(waiting("ContainerCreating"))], conditions.STARTING, "being started"),
        ([pod(**unscheduled("0/1 nodes: Insufficient cpu"))], conditions.UNSCHEDULABLE, "Insufficient cpu"),
        (
            [pod(**unscheduled("pod has unbound immediate PersistentVolumeClaims"))],
            conditions.VOLUME_UNBOUND,
            "unbound immediate",
        ),
    ],
)
def test_a_pod_that_does_not_come_up_is_explained(pods, reason, word):
    found = trouble(deployment(), pods)
    assert found.reason == reason
    assert word in found.message


def test_a_quota_is_named():
    failure = {"type": "ReplicaFailure", "status": "True", "message": "pods is forbidden: exceeded quota: small"}
    found = trouble(deployment(conditions=[failure]), [])
    assert found.reason == conditions.QUOTA_EXCEEDED
    assert "exceeded quota: small" in found.message


def test_a_pod_that_is_going_does_not_speak_for_the_next_one():
    gone = pod(waiting("CrashLoopBackOff", **CRASHED))
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert trouble(deployment(), [gone]).reason == conditions.STARTING


def test_only_the_newest_template_counts():
    assert trouble(deployment(available=1), []) is None
    assert trouble(deployment(generation=3, available=1), []).reason == conditions.STARTING
