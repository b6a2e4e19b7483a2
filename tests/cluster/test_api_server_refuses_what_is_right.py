"""Schemas that only look structural, or drop what a person wrote, show so on a real API server alone."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cluster.examples import ROOT, documents_of, with_namespaces
from wheeltapper_api.kinds import KINDS

CRDS = sorted((ROOT / "crds").glob("*.wheeltapper.dev.yaml"))
VALID = [
    *sorted((ROOT / "crds" / "examples" / "valid").glob("*.yaml")),
    *(ROOT / "examples" / name for name in ("pump-station", "skab")),
    *sorted(path for path in (ROOT / "crds" / "src" / "wheeltapper_api" / "library").iterdir() if path.is_dir()),
]
PUMPS = ROOT / "examples" / "pump-station"


@pytest.fixture(scope="module")
def server(cluster, kinds):
    with_namespaces(cluster, [document for path in VALID for document in documents_of(path)])
    yield cluster
    for kind in KINDS.values():
        scope = ["--all-namespaces"] if kind.resource.scope == "Namespaced" else []
        cluster.kubectl("delete", kind.resource.plural, "--all", *scope)


def test_every_crd_is_accepted_and_served(cluster, kinds):
    assert len(CRDS) == len(KINDS)
    served = json.loads(cluster.kubectl("get", "crds", "--output=json"))["items"]
    ours = [crd for crd in served if crd["spec"]["group"] == "wheeltapper.dev"]
    assert {crd["spec"]["names"]["kind"] for crd in ours} == set(KINDS)
    for crd in ours:
        conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
        # A schema that is not structural would add a condition of its own.
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_the_server_keeps_a_crd_as_it_was_written(cluster, kinds):
    for file in CRDS:
        written = yaml.safe_load(file.read_text())
        kept = json.loads(cluster.kubectl("get", "crd", written["metadata"]["name"], "--output=json"))
        (version,), (expected,) = kept["spec"]["versions"], written["spec"]["versions"]
        assert version["schema"] == expected["schema"]
        assert version["additionalPrinterColumns"] == expected["additionalPrinterColumns"]


@pytest.mark.parametrize("path", VALID, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_right_files_are_accepted_and_kept_whole(server, path):
    server.kubectl("apply", "--server-side", "--validate=strict", f"--filename={path}")
    for document in documents_of(path):
        metadata = document["metadata"]
        scope = [f"--namespace={metadata['namespace']}"] if "namespace" in metadata else []
        kept = json.loads(server.kubectl("get", document["kind"], metadata["name"], *scope, "--output=json"))
        # Nothing pruned, nothing defaulted, no number made another.
        assert kept.get("spec") == document.get("spec"), metadata


def test_a_second_apply_changes_nothing(server):
    for _ in range(2):
        server.kubectl("apply", "--server-side", "--validate=strict", f"--filename={PUMPS}")
    written = [document["metadata"]["name"] for document in documents_of(PUMPS) if document["kind"] == "AssetTwin"]
    twins = json.loads(server.kubectl("get", "assettwins", "--namespace=northwater", "--output=json"))["items"]
    assert sorted(twin["metadata"]["name"] for twin in twins) == sorted(written)
    assert {twin["metadata"]["generation"] for twin in twins} == {1}


def test_status_is_written_apart_from_the_spec(server):
    server.apply({"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "TenantPolicy", "metadata": {"name": "southwater"}})
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Reconciled",
        "message": "It does what its spec says",
        "lastTransitionTime": "2026-03-04T06:00:00Z",
        "observedGeneration": 1,
    }
    change = json.dumps({"status": {"conditions": [condition], "observedGeneration": 1}})
    kind = "tenantpolicies"
    server.kubectl("patch", kind, "southwater", "--subresource=status", "--type=merge", f"--patch={change}")
    kept = json.loads(server.kubectl("get", kind, "southwater", "--output=json"))
    assert kept["status"]["conditions"] == [condition]
    assert kept["metadata"]["generation"] == 1
    header, row = server.kubectl("get", kind, "southwater").splitlines()
    assert "READY" in header.split()
    assert "True" in row.split()


@pytest.mark.parametrize("kind", list(KINDS))
def test_kubectl_explains_every_kind(server, kind):
    told = server.kubectl("explain", KINDS[kind].resource.plural, "--recursive")
    assert f"KIND:       {kind}" in told
    assert KINDS[kind].__doc__.strip().split()[0] in told
