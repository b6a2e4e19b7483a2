"""A tenant with tables, streams and a gateway, in a namespace of a real API server that decides who may what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.access import Access
from tests.replay.conftest import Live, live, root
from tests.support.gateway import GatewayProcess
from tests.support.nats import Server
from wheeltapper_api.wire import Stage
from wheeltapper_operator.build.gateway import ACCOUNT, accounts

__all__ = ["live", "root"]

NAMESPACE = "gateway-test"
OTHER = "gateway-test-other"
SUBRESOURCES = ("alerts", "audit", "evidence", "tables", "telemetry", "workers")
REVIEWS = [
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
]


def cluster_role(name: str, rules: list[dict[str, list[str]]]) -> dict[str, object]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    }


def seeing(*subresources: str) -> list[dict[str, list[str]]]:
    """Rules that let somebody see this much."""
    resources = [f"assettwins/{name}" for name in subresources]
    return [{"apiGroups": ["wheeltapper.dev"], "resources": resources, "verbs": ["get"]}]


@pytest.fixture(scope="session")
def tenancy(cluster: Access) -> Iterator[Access]:
    """Namespaces of two tenants, and people: reader sees all of one, alerts-only its alerts, nobody nothing."""
    names = (NAMESPACE, OTHER)
    cluster.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names))
    viewed = [name for name in SUBRESOURCES if name != "audit"]
    cluster.apply(cluster_role(ACCOUNT, REVIEWS), cluster_role("wheeltapper-viewer", seeing(*viewed)))
    cluster.apply(*accounts("northwater", NAMESPACE))
    for person, subresources in {"reader": SUBRESOURCES, "alerts-only": ["alerts"], "nobody": []}.items():
        cluster.kubectl("create", "serviceaccount", person, f"--namespace={NAMESPACE}")
        if subresources:
            allow(cluster, person, seeing(*subresources))
    cluster.kubectl("create", "serviceaccount", "reader", f"--namespace={OTHER}")
    yield cluster
    cluster.kubectl("delete", "namespace", *names, "--timeout=100s")
    cluster.kubectl("delete", "clusterrole", ACCOUNT, "wheeltapper-viewer")
    cluster.kubectl("delete", "clusterrolebinding", f"{ACCOUNT}-{NAMESPACE}")


def allow(cluster: Access, person: str, rules: list[dict[str, list[str]]]) -> None:
    """Give a role to somebody."""
    metadata, version = {"name": person, "namespace": NAMESPACE}, "rbac.authorization.k8s.io/v1"
    subject = {"kind": "ServiceAccount", "name": person, "namespace": NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": person}
    cluster.apply(
        {"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": rules},
        {"apiVersion": version, "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [subject]},
    )


@pytest.fixture(scope="session")
def token(tenancy: Access) -> Callable[..., str]:
    """Token of somebody, as kubectl has it made."""

    def token(person: str, namespace: str = NAMESPACE, *options: str) -> str:
        return tenancy.kubectl("create", "token", person, f"--namespace={namespace}", *options).strip()

    return token


@pytest.fixture(scope="session")
def nats(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The tenant's backbone; its alerts are those of the line."""
    server = Server(tmp_path_factory.mktemp("nats"))
    server.start()
    try:
        asyncio.run(_filled(server, live))
        yield server
    finally:
        server.kill()


async def _filled(server: Server, live: Live) -> None:
    await server.ready()
    await server.streams()
    client = await server.connect()
    for message in live.streams.messages[Stage.EVENTS]:
        await client.jetstream().publish("events.riverside.centrifugal-pump.writer", message.payload)
    await client.close()


@pytest.fixture(scope="session")
def make(tenancy, token, nats, root, tmp_path_factory) -> Iterator[Callable[..., GatewayProcess]]:
    """Start a gateway with some limits."""
    started: list[GatewayProcess] = []

    def make(**limits: str) -> GatewayProcess:
        folder: Path = tmp_path_factory.mktemp("gateway")
        process = GatewayProcess(folder, tenancy, nats, root, NAMESPACE, token(ACCOUNT))
        started.append(process)
        process.start(**limits)
        return process

    yield make
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def gateway(make) -> GatewayProcess:
    """A gateway with its usual limits."""
    return make()


@pytest.fixture(scope="session")
def reader(token) -> str:
    """Token of somebody who may see everything."""
    return token("reader")
