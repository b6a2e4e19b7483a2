"""Folders of the node offered as persistent volumes: what a claim needs on a cluster without a provisioner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.access import Access
from tests.cluster.sandbox import INSIDE


def offer_volumes(access: Access, state: Path, number: int = 16) -> None:
    """Have so many folders free; those of claims that are gone are not offered again."""
    volumes = json.loads(access.kubectl("get", "persistentvolumes", "--output=json"))["items"]
    free = sum(volume["status"].get("phase") in {"Available", "Pending"} for volume in volumes)
    taken = len(volumes)
    for index in range(taken, taken + number - free):
        folder = state / "volumes" / f"folder-{index}"
        folder.mkdir(parents=True, exist_ok=True)
        # Containers that do not run as root write here; a folder of the node takes no group from its pod.
        folder.chmod(0o777)
        access.apply(_volume(folder.name))


def _volume(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "folders",
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(INSIDE / "volumes" / name)},
        },
    }
