"""Why a worker does not run, in the words of a person who has to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wheeltapper_api.conditions import (
    IMAGE_UNAVAILABLE,
    QUOTA_EXCEEDED,
    REASONS,
    REFUSED,
    STARTING,
    UNSCHEDULABLE,
    VOLUME_UNBOUND,
    WORKER_FAILS,
)

_IMAGE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a worker does not run."""

    worker: str
    reason: str
    message: str


def runs(deployment: Mapping[str, Any]) -> bool:
    """Whether the pod of the newest template is up."""
    status = deployment.get("status", {})
    newest = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return newest and bool(status.get("availableReplicas")) and bool(status.get("updatedReplicas"))


def trouble(deployment: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """Why the pod of a Deployment is not up, of its pods and its own conditions; none if it is up."""
    if runs(deployment):
        return None
    name = deployment["metadata"]["name"]
    for condition in deployment.get("status", {}).get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = condition.get("message", "")
            reason = QUOTA_EXCEEDED if "exceeded quota" in message else REFUSED
            return Trouble(name, reason, f"No pod of {name} may be made: {message}")
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp") is None and (found := _of_pod(name, pod)) is not None:
            return found
    return Trouble(name, STARTING, f"{name} is being started")


def _of_pod(name: str, pod: Mapping[str, Any]) -> Trouble | None:
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            message = condition.get("message", "")
            if "persistentvolumeclaim" in message.lower():
                return Trouble(
                    name, VOLUME_UNBOUND, f"{name} has no volume: {message} {REASONS[VOLUME_UNBOUND].remedy}"
                )
            return Trouble(name, UNSCHEDULABLE, f"No node takes {name}: {message}")
    for container in status.get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting")
        if waiting is None:
            continue
        why = waiting.get("reason", "")
        if why in _IMAGE:
            said = f"The image {container['image']} cannot be had: {waiting.get('message', why)}"
            return Trouble(name, IMAGE_UNAVAILABLE, said)
        if why == "CrashLoopBackOff":
            code = container.get("lastState", {}).get("terminated", {}).get("exitCode")
            return Trouble(name, WORKER_FAILS, f"{name} ends again and again, with exit code {code}; see its log")
    return None
