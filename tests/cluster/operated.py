"""A cluster in which the charts have installed the operator, and what a person does there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import yaml

from tests.cluster.cluster import Cluster
from tests.cluster.containers import ROOT
from tests.cluster.installation import NAMESPACE, NATS_IMAGE, install, load_nats
from tests.cluster.storage import offer_volumes
from tests.support.explained import unexplained
from tests.support.waiting import wait
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.kinds.meta import Status
from wheeltapper_operator.names import TENANT_LABEL
from wheeltapper_operator.status.conditions import broken_rules

EXAMPLE: Final = ROOT / "examples" / "on-kubernetes"
STATION: Final = ROOT / "examples" / "pump-station"
TENANT: Final = "northwater"
_LEVELS: Final = {"pod-security.kubernetes.io/enforce": "restricted"}
_ALL_KINDS: Final = ",".join(kind.resource.plural for kind in KINDS.values())


def install_operator(cluster: Cluster, helm: Callable[..., str], load: Callable[[str], str], *values: str) -> None:
    """Install the charts with the operator of this checkout."""
    load_nats(cluster)
    named = []
    for part in ("operator", "workers"):
        repository, tag = load(part).rsplit(":", 1)
        named += [f"--set={part}.image.repository={repository}", f"--set-string={part}.image.tag={tag}"]
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": _LEVELS}})
    # On a cluster that outlives a run an image changes under its name; what runs has to be the new one.
    named.append(f"--set-string=operator.podAnnotations.run={uuid4()}")
    install(helm, *named, "--set=operator.replicas=1", *values)


class Operated:
    """What a person does and sees in such a cluster. Every status that is seen has to keep the rules."""

    def __init__(self, cluster: Cluster, workers_image: str) -> None:
        self.cluster = cluster
        self._images = {
            "image: wheeltapper-workers": f"image: {workers_image}",
            "image: nats\n": f"image: {NATS_IMAGE}:1\n",
        }

    def example(self) -> list[dict[str, Any]]:
        """Objects of the example with its simulated plant."""
        text = self.cluster.kubectl("kustomize", str(EXAMPLE))
        for public, own in self._images.items():
            text = text.replace(public, own)
        return [document for document in yaml.safe_load_all(text) if document]

    def station(self, tenant: str = TENANT) -> list[dict[str, Any]]:
        """The example's tenant without a plant to read, under another name; its namespace first."""
        found = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant, "labels": {TENANT_LABEL: tenant}}}
        ]
        for file in sorted(STATION.glob("*.yaml")):
            text = file.read_text().replace(TENANT, tenant)
            found += [document for document in yaml.safe_load_all(text) if document]
        return found

    @contextmanager
    def tenant(self, name: str) -> Iterator[None]:
        """A tenant as :meth:`station` makes it, its twins ready, until the end."""
        documents = self.station(name)
        try:
            self.cluster.apply(documents[0])
            self.cluster.apply(*documents[1:])
            self.wait(lambda: self.ready(name), 120, "ready twins", name)
            yield
        finally:
            self.remove(name)

    def get(self, *what: str) -> dict[str, Any]:
        """An object, or a list of them."""
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", *what, "--output=json"))
        return found

    def objects(self, *what: str) -> dict[str, dict[str, Any]]:
        """Objects by name; those of the project's kinds must tell of themselves by the rules."""
        items = {item["metadata"]["name"]: item for item in self.get(*what)["items"]}
        for item in items.values():
            check_status(item)
        return items

    def twins(self, tenant: str = TENANT) -> dict[str, dict[str, Any]]:
        """Twins of a tenant by name."""
        return self.objects("assettwins", f"--namespace={tenant}")

    def ready(self, tenant: str = TENANT) -> bool:
        """Whether all twins of a tenant are ready at the generation they have."""
        twins = self.twins(tenant)
        return bool(twins) and all(map(is_ready, twins.values()))

    def wait(self, condition: Callable[[], Any], seconds: float, what: str, tenant: str = TENANT) -> Any:
        """Wait for something, and say how things are if it does not come."""
        return wait(condition, seconds, what, lambda: self.describe(tenant))

    def describe(self, tenant: str) -> str:
        """How a tenant is, for a person who looks why."""
        seen = [
            self.cluster.try_kubectl("get", "tenantpolicies", "--output=yaml").stdout[-3000:],
            self.cluster.try_kubectl("get", f"{_ALL_KINDS},pods,pvc", f"--namespace={tenant}", "--output=wide").stdout,
            self.cluster.try_kubectl("logs", "deploy/wheeltapper-operator", f"--namespace={NAMESPACE}").stdout[-4000:],
        ]
        return "\n".join(seen)

    def remove(self, tenant: str) -> None:
        """Delete a tenant with its data, whatever a test has left of it."""
        kubectl = self.cluster.try_kubectl
        kubectl("patch", "tenantpolicy", tenant, "--type=merge", '--patch={"spec": {"deletionPolicy": "delete"}}')
        kubectl("delete", _ALL_KINDS, "--all", f"--namespace={tenant}", "--wait=false")
        kubectl("delete", "tenantpolicy", tenant, "--ignore-not-found", "--timeout=100s")
        kubectl("delete", "namespace", tenant, "--ignore-not-found", "--timeout=100s")
        offer_volumes(self.cluster, self.cluster.state)


def is_ready(obj: dict[str, Any]) -> bool:
    """Whether an object is ready at the generation that it has."""
    status = obj.get("status", {})
    if status.get("observedGeneration") != obj["metadata"]["generation"]:
        return False
    return condition(obj, "Ready").get("status") == "True"


def condition(obj: dict[str, Any], name: str) -> dict[str, Any]:
    """A condition of an object; empty if it has none of that type."""
    found: Iterable[dict[str, Any]] = obj.get("status", {}).get("conditions", ())
    return next((one for one in found if one["type"] == name), {})


def check_status(obj: dict[str, Any]) -> None:
    """A status, once there is one, keeps the rules, and a page explains it."""
    if obj["kind"] in KINDS and obj.get("status"):
        known = {name: obj["status"][name] for name in ("conditions", "observedGeneration") if name in obj["status"]}
        status = Status.model_validate(known)
        broken = [*broken_rules(status, obj["metadata"]["generation"]), *unexplained(obj["kind"], status.conditions)]
        assert not broken, f"{obj['kind']} {obj['metadata']['name']}: {broken} in {obj['status']}"
