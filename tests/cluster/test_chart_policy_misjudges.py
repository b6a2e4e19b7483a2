"""The chart's admission policies: what is wrong and taken is found too late, what is right and refused stops people."""

from __future__ import annotations

import copy
import json
import re

import pytest
import yaml

from tests.cluster.examples import INVALID, ROOT, documents_of, expectations
from tests.cluster.installation import install, objects, remove
from tests.support.waiting import wait
from wheeltapper_operator.names import TENANT_LABEL

TABLE = yaml.safe_load((ROOT / "tests" / "cluster" / "left_to_validate.yaml").read_text())
REFUSED = [path for path in INVALID if path.stem in TABLE["policies"]]
VALID = [
    *sorted((ROOT / "crds" / "examples" / "valid").glob("*.yaml")),
    *(ROOT / "examples" / name for name in ("pump-station", "skab")),
    *sorted(path for path in (ROOT / "crds" / "src" / "wheeltapper_api" / "library").iterdir() if path.is_dir()),
]
TENANTS = ("northwater", "southwater", "laboratory", "meridian-works")
STRANGER = "northwatre"
RIGHT = {document["kind"]: document for document in documents_of(ROOT / "examples" / "pump-station")}
# The backbone is elsewhere: no pod is needed for what the API server decides.
VALUES = ("--set=backbone.external.url=nats://nats.example:4222",)


def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def changed(kind, name="changed", where="northwater", **spec):
    document = copy.deepcopy(RIGHT[kind])
    document["metadata"] = {"name": name} | ({"namespace": where} if where else {})
    document["spec"] = document.get("spec", {}) | spec
    return document


def said(cluster, document, *options):
    """What a person reads who applies an object; empty if it is taken without a word."""
    text = json.dumps(document)
    return cluster.try_kubectl(
        "apply", "--dry-run=server", "--validate=strict", *options, "--filename=-", stdin=text
    ).stderr


@pytest.fixture(scope="module")
def server(cluster, helm):
    cluster.apply(namespace(STRANGER), *(namespace(name, **{TENANT_LABEL: name}) for name in TENANTS))
    try:
        install(helm, *VALUES)
        in_library = changed("Plant", where="wheeltapper-library")
        wait(lambda: "denied" in said(cluster, in_library), 60, "the first policy's refusal")
        in_system = tenant("kube-system")
        wait(lambda: "denied" in said(cluster, in_system), 60, "the last policy's refusal")
        yield cluster
    finally:
        remove(cluster, helm)


def sentence(line: str) -> str:
    """What is wrong, without the line, the place and the remedy, of which a policy knows less."""
    return re.sub(r"^\d+: (?:(?:metadata|spec)\S*: )?", "", line).partition("; ")[0]


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_mistake_is_refused_in_the_words_of_validate(server, path):
    """Policies of tenants are there first, since what they decide is about other objects."""
    policies = [document for document in documents_of(path) if document["kind"] == "TenantPolicy"]
    told = ""
    try:
        for policy in policies:
            told += server.try_kubectl("apply", "--filename=-", stdin=json.dumps(policy)).stderr

        def refused():
            done = server.try_kubectl("apply", "--dry-run=server", "--validate=strict", f"--filename={path}")
            return told + done.stderr

        for line in expectations(path):
            wait(lambda line=line: sentence(line) in refused(), 20, sentence(line), refused)
    finally:
        for policy in policies:
            server.kubectl("delete", "tenantpolicy", policy["metadata"]["name"], "--ignore-not-found")


@pytest.mark.parametrize("path", VALID, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_is_right_is_taken(server, path):
    done = server.try_kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", f"--filename={path}")
    assert (done.returncode, done.stderr) == (0, "")


def tenant(namespace=None, name="changed"):
    return changed("TenantPolicy", name, "", **({"namespace": namespace} if namespace else {}))


def addressed(topic):
    """A plant with one address."""
    connection = {"name": "broker", "mqtt": {"url": "mqtt://broker"}}
    addressing = {"class": "pump", "from": "broker", "signals": [{"name": "speed", "topic": topic}]}
    return changed("Plant", connections=[connection], addressing=[addressing])


def graded(**severities):
    """A failure model whose severities begin at these values."""
    bands = [{"name": name, "above": above, "for": "10m"} for name, above in severities.items()]
    return changed("FailureModel", severity=bands, clear={"below": 0.1, "for": "1h"})


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (changed("Plant", where="wheeltapper-library"), "The library holds classes and failure models, no Plant"),
        (tenant("kube-system"), "spec.namespace: The namespace kube-system is not for tenants"),
        (tenant(name="wheeltapper-system"), "metadata.name: The namespace wheeltapper-system is not for tenants"),
        (tenant("wheeltapper-library"), "spec.namespace: The library is no tenant's"),
        (changed("AssetTwin", where=STRANGER), f"There is no TenantPolicy for the namespace {STRANGER}"),
        (changed("AssetTwin", signals=[{"name": "speed", "from": "scada", "topic": "hall/p+/speed"}]),
         "spec.signals: In the topic hall/p+/speed a + stands beside other letters"),
        (addressed("hall/#/{tag}"), "spec.addressing: In the topic hall/#/{tag} the # is not the last level"),
        (addressed("hall/{tag}+/x"), "spec.addressing: In the topic hall/{tag}+/x a + stands beside other letters"),
        (graded(watch=0.5, warn=0.5), "warn begins at 0.5, not above watch at 0.5; write more than 0.5"),
        (graded(act=0.5, watch=0.6), "act begins at 0.5, not above watch at 0.6; write more than 0.6"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["kind"],
)  # fmt: skip
def test_other_side_of_a_rule_speaks_too(server, document, words):
    assert words in said(server, document)


def test_reference_to_what_does_not_exist_yet_is_no_refusal(server):
    """GitOps applies objects in any order: class, plant and tenant of this machine may come later."""
    twin = changed(
        "AssetTwin", **{"class": "not-there-yet", "plant": "not-there-yet", "failureModels": [{"name": "nor-this"}]}
    )
    assert said(server, twin) == ""


def test_object_that_became_wrong_can_still_be_let_go(server):
    """Its namespace is no tenant's any more: finalizers and labels must go on, or it is never deleted."""
    twin = changed("AssetTwin", "left-over")
    server.apply(twin)
    try:
        server.apply(namespace("northwater"))
        server.kubectl("label", "namespace", "northwater", f"{TENANT_LABEL}-")
        wait(lambda: "no TenantPolicy" in said(server, changed("AssetTwin")), 20, "the namespace being a stranger's")
        server.kubectl("label", "assettwin", "left-over", "--namespace=northwater", "a=b")
        server.kubectl("patch", "assettwin", "left-over", "--namespace=northwater", "--type=merge",
                       '--patch={"spec": {"title": "Renamed"}}')  # fmt: skip
    finally:
        server.apply(namespace("northwater", **{TENANT_LABEL: "northwater"}))
        server.kubectl("delete", "assettwin", "left-over", "--namespace=northwater", "--timeout=60s")


def test_two_tenants_that_got_one_namespace_can_be_taken_apart(server, helm):
    """The policies came later than the mistake; each of the two can lose a finalizer and be corrected."""
    north, south = (
        changed("TenantPolicy", "northwater", ""),
        changed("TenantPolicy", "southwater", "", namespace="northwater"),
    )
    try:
        install(helm, *VALUES, "--set=admissionPolicies.install=false")
        wait(lambda: said(server, tenant("kube-system")) == "", 60, "no policies")
        server.apply(north, south)
        install(helm, *VALUES)
        third = tenant("northwater", "third")
        wait(lambda: "belongs to the tenant" in said(server, third), 60, "the policies")
        server.kubectl("label", "tenantpolicy", "southwater", "a=b")
        server.kubectl("patch", "tenantpolicy", "southwater", "--type=merge", '--patch={"spec": {"namespace": null}}')
    finally:
        server.kubectl("delete", "tenantpolicy", "northwater", "southwater", "--ignore-not-found", "--timeout=60s")


def test_warning_instead_of_a_refusal(server, helm):
    document = tenant("kube-system")
    try:
        install(helm, *VALUES, "--set=admissionPolicies.actions={Warn,Audit}")
        wait(lambda: said(server, document).startswith("Warning: "), 60, "a warning", lambda: said(server, document))
    finally:
        install(helm, *VALUES)
    wait(lambda: "denied" in said(server, document), 60, "a refusal")


def test_server_finds_nothing_odd_in_the_rules(server):
    """It checks them against the kinds' schemas, and notes a field that no kind has."""

    def looked():
        policies = [
            one
            for one in objects(server, "validatingadmissionpolicies")
            if one["metadata"]["name"].endswith(".wheeltapper.dev")
        ]
        assert len(policies) == 8
        return [one.get("status", {}).get("typeChecking") for one in policies]

    assert wait(lambda: None not in looked() and looked(), 60, "a look at each policy") == [{}] * 8
