"""What a tenant's gateway needs: a container beside the store worker, a Service, accounts and what they may."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

from wheeltapper_api.config import TablesConfig
from wheeltapper_api.plan import (
    SYMBOL_BACKBONE,
    SYMBOL_SECRETS,
    SYMBOL_TABLES,
    SYMBOL_WORKER_IMAGE,
    SYMBOL_WORKER_PULL_POLICY,
)
from wheeltapper_operator.build import security
from wheeltapper_operator.build.labels import INSTANCE, labels
from wheeltapper_operator.names import GATEWAY_ROLE, VIEWER_ROLE

NAME: Final = "gateway"
"""Of the Service, of the container, and of the Secret with its certificate."""
PORT: Final = 8443
ACCOUNT: Final = GATEWAY_ROLE
"""Service account of the pod, and cluster role that lets it ask who somebody is and what they may."""
ACCESS_ACCOUNT: Final = "wheeltapper-access"
"""Service account for people whose kubeconfig has no token; who may make tokens for it is let in by it."""
CERTIFICATE: Final = "wheeltapper.dev/gateway-certificate"
"""Annotation of the Service: the certificate, in PEM, by which a client knows the gateway. It is no secret."""
_TLS: Final = "/secrets/gateway"
_TOKEN_FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_TOKEN: Final = (
    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
)
"""What Kubernetes mounts of itself into every container of a pod; here it is the gateway's alone."""


def add_to(
    deployment: dict[str, Any], tenant: str, namespace: str, secrets: list[str], place: TablesConfig | None = None
) -> dict[str, Any]:
    """The store worker's Deployment with the gateway beside the worker; only the gateway gets a token."""
    pod = deployment["spec"]["template"]["spec"]
    pod = pod | {
        "serviceAccountName": ACCOUNT,
        "containers": [*pod["containers"], container(tenant, namespace, SYMBOL_WORKER_IMAGE, secrets, place)],
        "volumes": [*pod["volumes"], *volumes()],
    }
    template = deployment["spec"]["template"] | {"spec": pod}
    return deployment | {"spec": deployment["spec"] | {"template": template}}


def container(
    tenant: str, namespace: str, image: str, secrets: list[str], place: TablesConfig | None = None
) -> dict[str, Any]:
    """Container for the pod of the store worker.

    The pod needs the service account :data:`ACCOUNT`, a volume for each Secret (that of the certificate
    is :data:`NAME`), the volume ``tables`` where ``place`` is None, and those of :func:`volumes`.

    Parameters
    ----------
    secrets : list of str
        Secrets of the pod that the tenant's tables need.
    place
        Where the tenant's policy says that the tables are.
    """
    backbone = f"backbone-{tenant}"
    environment = {
        "WHEELTAPPER_TENANT": tenant,
        "WHEELTAPPER_NAMESPACE": namespace,
        "WHEELTAPPER_BACKBONE_URL": SYMBOL_BACKBONE,
        "WHEELTAPPER_BACKBONE_CREDENTIALS": f"{SYMBOL_SECRETS}/{backbone}",
        "WHEELTAPPER_TABLES": SYMBOL_TABLES,
        "WHEELTAPPER_SECRETS": SYMBOL_SECRETS,
        "WHEELTAPPER_GATEWAY_TLS": _TLS,
        "WHEELTAPPER_GATEWAY_PORT": str(PORT),
    }
    if place is not None:
        environment["WHEELTAPPER_TABLES_PLACE"] = json.dumps(place.model_dump(), sort_keys=True)
    mounted = sorted({backbone, NAME, *secrets})
    return {
        "name": NAME,
        "image": image,
        "imagePullPolicy": SYMBOL_WORKER_PULL_POLICY,
        "command": ["python", "-m", "wheeltapper_cli.gateway"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "ports": [{"name": NAME, "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT, "scheme": "HTTPS"}, "timeoutSeconds": 5},
        # Two commands at a time, each with at most 1 GiB, and what passes them on.
        "resources": {"requests": {"cpu": "50m", "memory": "160Mi"}, "limits": {"memory": "2304Mi"}},
        "volumeMounts": _mounts(mounted, tables=place is None),
        "securityContext": security.CONTAINER,
    }


def _mounts(secrets: list[str], *, tables: bool) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": name, "mountPath": f"/secrets/{name}", "readOnly": True} for name in secrets
    ]
    if tables:
        mounts.append({"name": "tables", "mountPath": "/tables", "readOnly": True})
    mounts.append({"name": "token", "mountPath": _TOKEN_FOLDER, "readOnly": True})
    return [*mounts, {"name": "tmp-gateway", "mountPath": "/tmp"}]  # noqa: S108 - a volume of the container's own


def volumes() -> list[dict[str, Any]]:
    """Volumes of the pod for the gateway alone: its certificate, and room for what commands write."""
    return [
        {"name": NAME, "secret": {"secretName": NAME}},
        {"name": "tmp-gateway", "emptyDir": {"sizeLimit": "5Gi"}},
        {"name": "token", "projected": {"sources": list(_TOKEN)}},
    ]


def certificate_secret(tenant: str, namespace: str, certificate: str, key: str) -> dict[str, Any]:
    """Secret with the gateway's certificate and key, both in PEM."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": _metadata(tenant, namespace, NAME),
        "data": {"tls.crt": b64encode(certificate.encode()).decode(), "tls.key": b64encode(key.encode()).decode()},
    }


def service(tenant: str, namespace: str, worker: str, certificate: str) -> dict[str, Any]:
    """Service that says which pod has the gateway, and by which certificate it is known.

    Parameters
    ----------
    worker : str
        Store worker in whose pod the gateway is.
    certificate : str
        In PEM.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(tenant, namespace, NAME) | {"annotations": {CERTIFICATE: certificate}},
        "spec": {
            "selector": {INSTANCE: worker},
            "ports": [{"name": "https", "port": PORT, "targetPort": PORT}],
        },
    }


def accounts(tenant: str, namespace: str) -> list[dict[str, Any]]:
    """Service accounts of the gateway and of people, with their bindings."""
    of_gateway = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",  # reviews belong to no namespace
        "metadata": _metadata(tenant, "", binding_name(namespace)),
        "roleRef": _role(ACCOUNT),
        "subjects": [_subject(ACCOUNT, namespace)],
    }
    of_people = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(tenant, namespace, ACCESS_ACCOUNT),
        "roleRef": _role(VIEWER_ROLE),
        "subjects": [_subject(ACCESS_ACCOUNT, namespace)],
    }
    return [*(_account(tenant, namespace, name) for name in (ACCOUNT, ACCESS_ACCOUNT)), of_gateway, of_people]


def binding_name(namespace: str) -> str:
    """Name of the binding of a gateway's account, the only object of a tenant outside of its namespace."""
    return f"{ACCOUNT}-{namespace}"


def _account(tenant: str, namespace: str, name: str) -> dict[str, Any]:
    metadata = _metadata(tenant, namespace, name)
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False}


def _metadata(tenant: str, namespace: str, name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name,
        "labels": labels(tenant, NAME) | {"app.kubernetes.io/name": "wheeltapper-gateway"},
    }
    return metadata | ({"namespace": namespace} if namespace else {})


def _role(name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}


def _subject(name: str, namespace: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
