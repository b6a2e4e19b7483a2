"""An image that runs as root, writes into itself or lacks a library fails where Pod Security is ``restricted``."""

from __future__ import annotations

import json

import pytest

from tests.support.waiting import wait

NAMESPACE = "restricted-tenant"
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
# What a tenant's pods are made with.
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10_000,
    "fsGroup": 10_000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
STORAGE = {"requests": {"storage": "1Gi"}}
IMPORTS_OF_WORKERS = (
    "wheeltapper_workers.main wheeltapper_workers.features.featurizer wheeltapper_workers.sources.opcua"
)
SERVER = """
import http.server, importlib, os, pathlib, signal, socket, sys
# The first process of a container hears no signal that it has not asked for.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
for name in os.environ["IMPORTS"].split():
    importlib.import_module(name)
kept = pathlib.Path("/state/kept")
print("Kept:", kept.read_text() if kept.exists() else "nothing", flush=True)
kept.write_text("by " + socket.gethostname())
print("Listening as", os.getuid(), flush=True)
http.server.ThreadingHTTPServer(("", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
CLIENT = "import urllib.request; print(urllib.request.urlopen('http://server:8080/', timeout=20).status)"


@pytest.fixture(scope="module")
def tenant(cluster):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": RESTRICTED}}
    cluster.apply(namespace)
    yield f"--namespace={NAMESPACE}"
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=100s")


def pod(image, *command, env=None, claim="", **container):
    spec = {
        "name": "main",
        "image": image,
        "command": list(command),
        "env": [{"name": name, "value": value} for name, value in (env or {}).items()],
        "securityContext": CONTAINER_SECURITY,
        **container,
    }
    volumes = [{"name": "state", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    spec["volumeMounts"] = [{"name": "state", "mountPath": "/state"}] if claim else []
    return {
        "securityContext": POD_SECURITY,
        "automountServiceAccountToken": False,
        "containers": [spec],
        "volumes": volumes,
    }


def made(kind, name, spec, version="v1", **metadata):
    metadata |= {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def once(name, spec):
    return made("Pod", name, spec | {"restartPolicy": "Never"})


def ended(cluster, tenant, name):
    """Exit code of a pod that runs once, and its log."""

    def code():
        found = json.loads(cluster.kubectl("get", "pod", name, tenant, "--output=json"))
        (status,) = found["status"].get("containerStatuses") or [{"state": {}}]
        return str(status["state"].get("terminated", {}).get("exitCode", ""))

    exit_code = wait(code, 90, f"the end of {name}", lambda: cluster.kubectl("describe", "pod", name, tenant)[-3000:])
    return int(exit_code), cluster.kubectl("logs", name, tenant)


def rolled_out(cluster, tenant):
    done = cluster.try_kubectl("rollout", "status", "deployment/server", tenant, "--timeout=90s")
    if done.returncode:
        logs = cluster.try_kubectl("logs", "deployment/server", tenant).stdout
        pytest.fail(f"{done.stderr}{logs}{cluster.kubectl('describe', 'pods', tenant)}")


def test_workers_image_runs_restricted_and_keeps_its_state(cluster, tenant, load):
    image = load("workers")
    claim = made("PersistentVolumeClaim", "state", {"accessModes": ["ReadWriteOnce"], "resources": STORAGE})
    labels = {"app": "server"}
    server = pod(
        image, "python", "-c", SERVER, env={"IMPORTS": IMPORTS_OF_WORKERS}, claim="state", workingDir="/app",
        readinessProbe={"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5},
    )  # fmt: skip
    template = {"metadata": {"labels": labels}, "spec": server}
    deployment = {"selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}, "template": template}
    service = made("Service", "server", {"selector": labels, "ports": [{"port": 8080}]})
    cluster.apply(claim, service, made("Deployment", "server", deployment, "apps/v1"))
    rolled_out(cluster, tenant)
    assert cluster.kubectl("logs", "deployment/server", tenant).splitlines()[:2] == [
        "Kept: nothing",
        "Listening as 10000",
    ]

    # Another pod finds it by its name: the cluster's DNS, the service's address and the pod's network.
    cluster.apply(once("client", pod(image, "python", "-c", CLIENT)))
    assert ended(cluster, tenant, "client") == (0, "200\n")
    told = cluster.kubectl("exec", "deployment/server", tenant, "--", "python", "-c", "import os; print(os.getuid())")
    assert told == "10000\n"

    # A new pod finds what the old one has written.
    cluster.kubectl("rollout", "restart", "deployment/server", tenant)
    rolled_out(cluster, tenant)
    assert "Kept: by server-" in cluster.kubectl("logs", "deployment/server", tenant)


def test_entry_point_is_the_worker(cluster, tenant, load):
    entry = pod(load("workers"), env={"WHEELTAPPER_WORKER": "w"})
    del entry["containers"][0]["command"]
    cluster.apply(once("entry", entry))
    code, log = ended(cluster, tenant, "entry")
    assert code == 1
    assert "WHEELTAPPER_BACKBONE_URL" in log


@pytest.mark.parametrize(
    ("part", "there", "absent"),
    [
        ("workers", IMPORTS_OF_WORKERS, ["kopf", "kubernetes", "pytest", "pip"]),
        ("operator", "wheeltapper_operator.compile wheeltapper_operator.backbone.accounts kopf kubernetes",
         ["onnxruntime", "numpy", "pytest", "pip"]),
    ],
)  # fmt: skip
def test_image_carries_what_it_needs_and_no_more(cluster, tenant, load, part, there, absent):
    code = "import importlib.util as u, os; print([n for n in os.environ['NAMES'].split() if u.find_spec(n)])"
    names = [*there.split(), *absent]
    imports = f"import {', '.join(there.split())}; {code}"
    cluster.apply(once(f"look-{part}", pod(load(part), "python", "-c", imports, env={"NAMES": " ".join(names)})))
    assert ended(cluster, tenant, f"look-{part}") == (0, f"{there.split()}\n")


def test_what_is_forbidden_is_refused(cluster, tenant):
    """Otherwise nothing here shows anything."""
    root = once("root", pod("wheeltapper.test/pause:1", "/pause") | {"securityContext": {}})
    refused = cluster.try_kubectl("apply", "--filename=-", stdin=json.dumps(root))
    assert "violates PodSecurity" in refused.stderr
