"""The Deployment of a worker. Every path, address and image in it is a symbol that the substrate binds."""

from __future__ import annotations

from typing import Any, Final

from wheeltapper_api.fields import duration_ns
from wheeltapper_api.plan import (
    SYMBOL_BACKBONE,
    SYMBOL_SECRETS,
    SYMBOL_STATE,
    SYMBOL_TABLES,
    SYMBOL_WORKER_IMAGE,
    SYMBOL_WORKER_PULL_POLICY,
)
from wheeltapper_operator.build import security
from wheeltapper_operator.build.claims import TABLES, state_claim_name
from wheeltapper_operator.build.labels import INSTANCE, STOP_ORDER, labels, metadata
from wheeltapper_operator.build.service_account import WORKER_ACCOUNT

_GRACE_SECONDS: Final = duration_ns("15s") // 10**9
_USER: Final = 10_000
_DEADLINE_SECONDS: Final = 120
"""What has not started by then needs somebody's help."""


def deployment(
    tenant: str, namespace: str, worker: str, secrets: list[str], stop_order: int, *, tables: bool = False
) -> dict[str, Any]:
    """Deployment of one worker process.

    The number of replicas is left to the default and to whoever scales it.

    Parameters
    ----------
    tenant, namespace, worker : str
        Names; all DNS labels.
    secrets : list of str
        Secrets with the credentials of the machines it reads.
    stop_order : int
        Workers with a lower number are stopped first.
    tables : bool
        Whether it writes the tenant's tables onto the claim for them.
    """
    backbone = f"backbone-{tenant}"
    mounted = sorted({backbone, *secrets})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(worker, tenant, namespace, worker) | {"annotations": {STOP_ORDER: str(stop_order)}},
        "spec": {
            # Two instances of a shard would only fence each other: the old one goes before the new one comes.
            "strategy": {"type": "Recreate"},
            "progressDeadlineSeconds": _DEADLINE_SECONDS,
            "selector": {"matchLabels": {INSTANCE: worker}},
            "template": {
                "metadata": {"labels": labels(tenant, worker)},
                "spec": {
                    "serviceAccountName": WORKER_ACCOUNT,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": _GRACE_SECONDS,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _USER,
                        "fsGroup": _USER,
                        "fsGroupChangePolicy": "OnRootMismatch",
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "topologySpreadConstraints": [_spread(tenant)],
                    "containers": [_container(worker, backbone, mounted, tables=tables)],
                    "volumes": _volumes(worker, backbone, mounted, tables=tables),
                },
            },
        },
    }


def _spread(tenant: str) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/part-of": tenant}},
    }


def _container(worker: str, backbone: str, mounted: list[str], *, tables: bool) -> dict[str, Any]:
    environment = {
        "WHEELTAPPER_WORKER": worker,
        "WHEELTAPPER_BACKBONE_URL": SYMBOL_BACKBONE,
        "WHEELTAPPER_BACKBONE_CREDENTIALS": f"{SYMBOL_SECRETS}/{backbone}",
        "WHEELTAPPER_STATE": SYMBOL_STATE,
        "WHEELTAPPER_TABLES": SYMBOL_TABLES,
        "WHEELTAPPER_SECRETS": SYMBOL_SECRETS,
    }
    mounts: list[dict[str, Any]] = [
        {"name": name, "mountPath": f"{SYMBOL_SECRETS}/{name}", "readOnly": True} for name in mounted
    ]
    mounts += [{"name": "state", "mountPath": SYMBOL_STATE}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    if tables:
        mounts.append({"name": "tables", "mountPath": SYMBOL_TABLES})
    return {
        "name": "worker",
        "image": SYMBOL_WORKER_IMAGE,
        "imagePullPolicy": SYMBOL_WORKER_PULL_POLICY,
        "command": ["python", "-m", "wheeltapper_workers"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": mounts,
        # What a worker of a small plant takes; it may take more while it learns from history.
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "3Gi"}},
        "securityContext": security.CONTAINER,
    }


def _volumes(worker: str, backbone: str, mounted: list[str], *, tables: bool) -> list[dict[str, Any]]:
    # One that is not there yet keeps no pod from starting: the worker says which it misses, and its neighbours go on.
    needed = {name: {"secretName": name} | ({} if name == backbone else {"optional": True}) for name in mounted}
    volumes: list[dict[str, Any]] = [{"name": name, "secret": secret} for name, secret in needed.items()]
    volumes.append({"name": "state", "persistentVolumeClaim": {"claimName": state_claim_name(worker)}})
    volumes.append({"name": "tmp", "emptyDir": {}})
    if tables:
        volumes.append({"name": "tables", "persistentVolumeClaim": {"claimName": TABLES}})
    return volumes
