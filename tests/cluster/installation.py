"""Wheeltapper installed with its charts on a cluster, as a person does it; the operator itself is left out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.cluster.access import Access
from tests.cluster.cluster import Cluster
from tests.cluster.containers import ROOT
from tests.cluster.images import image_of_program
from wheeltapper_operator.backbone.authority import Authority
from wheeltapper_operator.names import KEYS_SECRET

NAMESPACE: Final = "wheeltapper-system"
RELEASE: Final = "wheeltapper"
CHARTS: Final = ROOT / "charts"
NATS_IMAGE: Final = "wheeltapper.test/nats"
SERVER: Final = Path(sys.executable).parent / "nats-server"
# What is installed here instead of what is public, and no operator.
VALUES: Final = (
    f"--set=backbone.image.repository={NATS_IMAGE}",
    "--set-string=backbone.image.tag=1",
    "--set=backbone.persistence.size=100Gi",
    "--set=operator.replicas=0",
)


def load_nats(cluster: Cluster) -> None:
    """Put an image of the NATS server that is installed here on the node."""
    archive = cluster.state / "nats.tar"
    archive.write_bytes(image_of_program(SERVER, f"{NATS_IMAGE}:1"))
    cluster.load_image(archive)
    archive.unlink()


def prepare(access: Access, authority: Authority) -> None:
    """Make the namespace, in which no pod may have more than Pod Security's level allows, and the operator's Secret."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": KEYS_SECRET, "namespace": NAMESPACE},
        "data": authority.to_secret(),
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": levels}}
    access.apply(namespace)
    access.apply(secret)


def install(helm: Callable[..., str], *values: str) -> None:
    """Install both charts, or change what is installed.

    The CRDs and the library's namespace may be there already, as other tests apply them.
    """
    how = (f"--namespace={NAMESPACE}", "--create-namespace", "--wait", "--timeout=280s", "--take-ownership")
    helm("upgrade", "--install", "wheeltapper-crds", CHARTS / "wheeltapper-crds", *how, "--force-conflicts")
    helm("upgrade", "--install", RELEASE, CHARTS / "wheeltapper", *how, *VALUES, *values)


def remove(access: Access, helm: Callable[..., str]) -> None:
    """Remove both charts and what they leave, but the CRDs, which other tests use."""
    for release in (RELEASE, "wheeltapper-crds"):
        helm("uninstall", release, f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait")
    library = "--namespace=wheeltapper-library"
    for name in access.try_kubectl("get", "assetclasses", library, "--output=name").stdout.split():
        # An operator that ran has put its finalizer on it, and takes it off no more.
        access.kubectl("patch", name, library, "--type=merge", '--patch={"metadata": {"finalizers": null}}')
    access.kubectl("delete", "namespace", NAMESPACE, "wheeltapper-library", "--ignore-not-found", "--timeout=100s")


def objects(access: Access, *what: str) -> list[dict[str, Any]]:
    """Objects of the cluster that kubectl gets."""
    found: list[dict[str, Any]] = json.loads(access.kubectl("get", *what, "--output=json"))["items"]
    return found
