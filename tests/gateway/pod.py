"""A tenant's pod as the operator makes it: backbone, store and gateway, where ``kubectl twin`` finds it."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.access import Access
from tests.cluster.cluster import Cluster
from tests.cluster.images import image_of_program
from tests.cluster.test_container_needs_what_is_forbidden import CONTAINER_SECURITY, POD_SECURITY
from tests.replay.conftest import Live
from tests.support.nats import PASSWORD, USER
from wheeltapper_api.plan import SYMBOL_BACKBONE, SYMBOL_SECRETS, SYMBOL_TABLES, SYMBOL_WORKER_PULL_POLICY
from wheeltapper_api.wire import Stage
from wheeltapper_operator.build import gateway
from wheeltapper_operator.build.gateway_certificate import certificate

TENANT = "northwater"
STORE = "store"
NATS_IMAGE = "wheeltapper.test/nats:1"
_NATS = (
    "listen: 127.0.0.1:4222\njetstream { store_dir: /data/store }\nmax_payload: 8MB\n"
    f'accounts {{ T {{ jetstream: enabled, users: [{{user: "{USER}", password: "{PASSWORD}"}}] }} }}\n'
)
_FILL = """
import asyncio, base64, json, sys, nats
from nats.js.api import KeyValueConfig, StreamConfig
from wheeltapper_api.wire import CONFIG_BUCKET, STATUS_BUCKET, Stage

async def fill():
    user, password, events = json.load(sys.stdin)
    client = await nats.connect("nats://127.0.0.1:4222", user=user, password=password)
    jetstream = client.jetstream()
    for stage in Stage:
        await jetstream.add_stream(StreamConfig(name=stage.stream, subjects=[f"{stage.value}.>"]))
    for bucket in (CONFIG_BUCKET, STATUS_BUCKET):
        await jetstream.create_key_value(KeyValueConfig(bucket=bucket))
    for event in events:
        await jetstream.publish("events.riverside.centrifugal-pump.writer", base64.b64decode(event))
    await client.close()

asyncio.run(fill())
"""


def load_nats(cluster: Cluster, folder: Path) -> None:
    """Put an image of the NATS server on the node."""
    archive = folder / "nats.tar"
    archive.write_bytes(image_of_program(Path(sys.executable).parent / "nats-server", NATS_IMAGE))
    cluster.load_image(archive)


def deploy(cluster: Access, namespace: str, image: str) -> None:
    """Make the pod and wait until its gateway answers."""
    pair = certificate(bytes(range(32)), namespace, datetime(2026, 1, 1, tzinfo=UTC))
    cluster.apply(
        _secret(namespace, f"backbone-{TENANT}", {"username": USER, "password": PASSWORD}),
        _secret(namespace, gateway.NAME, {"tls.crt": pair.certificate, "tls.key": pair.key}),
        _secret(namespace, "nats", {"nats.conf": _NATS}),
        gateway.service(TENANT, namespace, STORE, pair.certificate),
        _pod(namespace, image),
    )
    cluster.kubectl("wait", f"pod/{STORE}", f"--namespace={namespace}", "--for=condition=Ready", "--timeout=100s")


def fill(cluster: Access, namespace: str, live: Live, root: str) -> None:
    """Give it the tables and the alerts of a line."""
    inside = [f"--namespace={namespace}", "--container=store", "--stdin", STORE, "--", "python"]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(root, arcname=".")
    unpack = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall('/tables')"
    command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", "exec", *inside, "-c", unpack]
    subprocess.run(command, input=packed.getvalue(), check=True, timeout=100)
    events = [base64.b64encode(one.payload).decode() for one in live.streams.messages[Stage.EVENTS]]
    cluster.kubectl("exec", *inside, "-c", _FILL, stdin=json.dumps([USER, PASSWORD, events]))


def kubeconfig(cluster: Access, path: Path, token: str, namespace: str) -> Path:
    """File with which somebody reaches the cluster who has this token."""
    found = yaml.safe_load(cluster.kubeconfig.read_text())
    found["users"] = [{"name": "somebody", "user": {"token": token}}]
    for context in found["contexts"]:
        context["context"] |= {"user": "somebody", "namespace": namespace}
    path.write_text(yaml.safe_dump(found))
    return path


def _secret(namespace: str, name: str, entries: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries}


def _pod(namespace: str, image: str) -> dict[str, Any]:
    served = json.dumps(gateway.container(TENANT, namespace, image, []))
    symbols = {
        SYMBOL_BACKBONE: "nats://127.0.0.1:4222",
        SYMBOL_SECRETS: "/secrets",
        SYMBOL_TABLES: "/tables",
        SYMBOL_WORKER_PULL_POLICY: "IfNotPresent",
    }
    for symbol, value in symbols.items():
        served = served.replace(symbol, value)
    store = {
        "name": "store",
        "image": image,
        "command": ["python", "-c", "import signal; signal.sigwait([signal.SIGTERM])"],
        "volumeMounts": [{"name": "tables", "mountPath": "/tables"}],
        "securityContext": CONTAINER_SECURITY,
    }
    nats = {
        "name": "nats",
        "image": NATS_IMAGE,
        "command": ["/nats-server", "-c", "/etc/nats/nats.conf"],
        "volumeMounts": [{"name": "nats", "mountPath": "/etc/nats"}, {"name": "store", "mountPath": "/data"}],
        "securityContext": CONTAINER_SECURITY,
    }
    spec = {
        "serviceAccountName": gateway.ACCOUNT,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": POD_SECURITY,
        "containers": [nats, store, json.loads(served)],
        "volumes": [
            {"name": "tables", "emptyDir": {}},
            {"name": "store", "emptyDir": {}},
            {"name": "nats", "secret": {"secretName": "nats"}},
            {"name": f"backbone-{TENANT}", "secret": {"secretName": f"backbone-{TENANT}"}},
            *gateway.volumes(),
        ],
    }
    labels = {"app.kubernetes.io/instance": STORE}
    metadata = {"name": STORE, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
