"""The Deployment of a worker. Every path and address in it is a symbol that the substrate binds."""

from __future__ import annotations

from typing import Any

from wheeltapper_api.fields import duration_ns
from wheeltapper_api.plan import SYMBOL_BACKBONE, SYMBOL_SECRETS, SYMBOL_STATE, SYMBOL_TABLES
from wheeltapper_operator.build.labels import STOP_ORDER, labels

_GRACE_SECONDS = duration_ns("15s") // 10**9


def deployment(tenant: str, namespace: str, worker: str, secrets: list[str], stop_order: int) -> dict[str, Any]:
    """Deployment of one worker process.

    Parameters
    ----------
    tenant, namespace, worker : str
        Names; all DNS labels.
    secrets : list of str
        Secrets with the credentials of the machines it reads.
    stop_order : int
        Workers with a lower number are stopped first.
    """
    backbone = f"backbone-{tenant}"
    mounted = sorted({backbone, *secrets})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": worker,
            "namespace": namespace,
            "labels": labels(tenant, worker),
            "annotations": {STOP_ORDER: str(stop_order)},
        },
        "spec": {
            "replicas": 1,
            # Two instances of a shard would only fence each other: the old one goes before the new one comes.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app.kubernetes.io/instance": worker}},
            "template": {
                "metadata": {"labels": labels(tenant, worker)},
                "spec": {
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": _GRACE_SECONDS,
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [_container(worker, backbone, mounted)],
                    "volumes": [{"name": name, "secret": {"secretName": name}} for name in mounted],
                },
            },
        },
    }


def _container(worker: str, backbone: str, mounted: list[str]) -> dict[str, Any]:
    environment = {
        "WHEELTAPPER_WORKER": worker,
        "WHEELTAPPER_BACKBONE_URL": SYMBOL_BACKBONE,
        "WHEELTAPPER_BACKBONE_CREDENTIALS": f"{SYMBOL_SECRETS}/{backbone}",
        "WHEELTAPPER_STATE": SYMBOL_STATE,
        "WHEELTAPPER_TABLES": SYMBOL_TABLES,
        "WHEELTAPPER_SECRETS": SYMBOL_SECRETS,
    }
    return {
        "name": "worker",
        "image": "wheeltapper-worker",
        "command": ["python", "-m", "wheeltapper_workers"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [{"name": name, "mountPath": f"/secrets/{name}", "readOnly": True} for name in mounted],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
