"""A chart that renders is not one that runs: both are installed, changed and removed on a real cluster."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
import yaml

from tests.cluster.cluster import Cluster
from tests.cluster.installation import CHARTS, NAMESPACE, RELEASE, VALUES, install, load_nats, objects, prepare, remove
from tests.gateway.conftest import SUBRESOURCES
from tests.support.plans import tenant_plan
from wheeltapper_api.kinds import KINDS
from wheeltapper_backbone.tenant import BackboneError, ensure_streams
from wheeltapper_operator import names
from wheeltapper_operator.backbone.accounts import connect, ensure_account
from wheeltapper_operator.backbone.authority import Authority
from wheeltapper_operator.objects import CHILDREN, CLUSTER_BINDING, CRD, CUSTOM, EVENT, LEASE, POD

CHART = CHARTS / "wheeltapper"
MIB = 2**20


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture(scope="module")
def system(cluster, helm, authority):
    """The charts installed, with one server of the backbone and no operator."""
    if not isinstance(cluster, Cluster):
        pytest.skip("The image of the NATS server is not on the node of a cluster that runs elsewhere")
    load_nats(cluster)
    prepare(cluster, authority)
    try:
        install(helm)
        yield cluster
    finally:
        remove(cluster, helm)


@pytest.fixture(scope="module")
def url(system):
    service = json.loads(system.kubectl("get", "service", names.NATS, f"--namespace={NAMESPACE}", "--output=json"))
    with system.sandbox.forwarded("nats", f"{service['spec']['clusterIP']}:{names.NATS_PORT}") as port:
        yield f"nats://127.0.0.1:{port}"


async def connected(url, creds):
    """Connection to the backbone, as soon as the cluster's network knows the way to it."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        try:
            return await connect(url, creds)
        except BackboneError:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)


def text_of(helm, *values):
    """What the chart makes of values, and nobody applies."""
    return helm("template", RELEASE, CHART, f"--namespace={NAMESPACE}", *VALUES, *values)


def rendered(helm, *values):
    return [document for document in yaml.safe_load_all(text_of(helm, *values)) if document]


def refused(helm, *values):
    with pytest.raises(AssertionError) as told:
        helm("upgrade", "--install", RELEASE, CHART, f"--namespace={NAMESPACE}", *VALUES, *values)
    return str(told.value)


async def test_backbone_of_the_chart_takes_the_operators_accounts(system, url, authority):
    """Streams survive the pod, as does the account, which is on the volume, too."""
    client = await connected(url, authority.system_user())
    await ensure_account(client, authority, "north", 8 * MIB)
    await client.close()
    north = await connected(url, authority.user("north", "worker"))
    await ensure_streams(north, tenant_plan().streams, [])
    await north.jetstream().publish("telemetry.x", b"1")
    await north.close()
    system.kubectl("delete", "pod", f"{names.NATS}-0", f"--namespace={NAMESPACE}", "--timeout=100s")
    system.kubectl("rollout", "status", f"statefulset/{names.NATS}", f"--namespace={NAMESPACE}", "--timeout=100s")
    north = await connected(url, authority.user("north", "worker"))
    assert (await north.jetstream().stream_info("TELEMETRY")).state.messages == 1
    await north.close()
    with pytest.raises(BackboneError, match="takes no connection"):
        await connect(url, Authority.create().system_user())


def test_servers_do_not_see_the_seed(system):
    (pod,) = objects(system, "pods", f"--namespace={NAMESPACE}")
    (keys,) = (volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume)
    assert keys["items"] == [{"key": names.RESOLVER_FILE, "path": names.RESOLVER_FILE}]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("operator.replica=1", "at '/operator': additional properties 'replica' not allowed"),
        ("backbone.image.tags=x", "at '/backbone/image': additional properties 'tags' not allowed"),
        ("librari.install=false", "additional properties 'librari' not allowed"),
        ("backbone.replicas=2", "at '/backbone/replicas': value must be one of 1, 3"),
        ("backbone.persistence.size=20GB", "at '/backbone/persistence/size': '20GB' does not match"),
        ("operator.image.digest=latest", "at '/operator/image/digest'"),
        ("backbone.external.url=https://nats", "at '/backbone/external/url'"),
        ("admissionPolicies.actions={Deny,Warn}", "at '/admissionPolicies/actions'"),
    ],
)
def test_wrong_value_is_refused_with_its_name(helm, value, words):
    assert words in refused(helm, "--dry-run=client", f"--set={value}")


def test_upgrade_brings_changed_values(system, helm):
    install(helm, "--set=operator.logLevel=debug", "--set=workers.image.tag=v2", "--set=backbone.podLabels.team=water")
    (deployment,) = objects(system, "deployments", f"--namespace={NAMESPACE}")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["WHEELTAPPER_LOG_LEVEL"] == "debug"
    assert environment["WHEELTAPPER_WORKER_IMAGE"] == "wheeltapper-workers:v2"
    assert environment["WHEELTAPPER_BACKBONE_URL"] == f"nats://{names.NATS}.{NAMESPACE}.svc:{names.NATS_PORT}"
    (pod,) = objects(system, "pods", f"--namespace={NAMESPACE}", "--selector=team=water")
    assert pod["status"]["phase"] == "Running"


def test_three_servers_instead_of_one_are_refused(system, helm):
    """A server that joins a cluster deletes the streams that it had alone."""
    assert "backbone.replicas cannot go from 1 to 3" in refused(helm, "--set=backbone.replicas=3")


def strictly_applied(system, text):
    return system.try_kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--filename=-",
        stdin=text,
    ).stderr  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("--set=backbone.external.url=nats://nats.example:4222", "--set=library.install=false"),
        ("--set=operator.image.digest=sha256:" + "a" * 64, "--set=imagePullSecrets[0].name=registry",
         "--set=operator.tolerations[0].operator=Exists", "--set=operator.nodeSelector.disk=fast",
         "--set=operator.priorityClassName=system-node-critical", "--set=operator.podAnnotations.a=b",
         "--set=backbone.podAnnotations.a=b", "--set=backbone.affinity.podAntiAffinity=null",
         "--set=operator.resources.limits.cpu=2"),
    ],
    ids=["default", "external", "every choice"],
)  # fmt: skip
def test_server_knows_every_field(system, helm, values):
    assert strictly_applied(system, text_of(helm, *values)) == ""


def test_field_of_a_persons_own_that_is_none_is_seen(system, helm):
    """What is passed on as it is written is the server's to look at; it shows that the test above looks."""
    said = strictly_applied(system, text_of(helm, "--set=backbone.affinity.nodeAfinity.a=b"))
    assert "nodeAfinity" in said


def test_digest_wins_over_the_tag(helm):
    digest = "sha256:" + "a" * 64
    images = ("--set=operator.image.tag=v9", f"--set=operator.image.digest={digest}")
    (deployment,) = (one for one in rendered(helm, *images) if one["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"wheeltapper-operator@{digest}"


@pytest.mark.parametrize(("names_of", "told"), [((), ""), (("one", "two"), "one,two")])
def test_workers_are_pulled_with_the_same_secrets(helm, names_of, told):
    values = [f"--set=imagePullSecrets[{index}].name={name}" for index, name in enumerate(names_of)]
    (deployment,) = (one for one in rendered(helm, *values) if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "WHEELTAPPER_PULL_SECRETS", "value": told} in container["env"]


def test_external_backbone_is_used_and_none_installed(helm):
    documents = rendered(helm, "--set=backbone.external.url=nats://nats.example:4222")
    assert not [one for one in documents if one["metadata"]["name"].startswith(names.NATS)]
    (deployment,) = (one for one in documents if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "WHEELTAPPER_BACKBONE_URL", "value": "nats://nats.example:4222"} in container["env"]


def test_chart_and_operator_use_the_same_names(helm):
    made = {(one["kind"], one["metadata"]["name"]): one for one in rendered(helm)}
    assert {
        ("Deployment", names.OPERATOR),
        ("ServiceAccount", names.OPERATOR),
        ("StatefulSet", names.NATS),
        ("Service", names.NATS),
        ("Service", names.NATS_PEERS),
        ("ClusterRole", names.GATEWAY_ROLE),
        ("ClusterRole", names.VIEWER_ROLE),
    } <= made.keys()
    nats = made["StatefulSet", names.NATS]["spec"]
    assert nats["serviceName"] == names.NATS_PEERS
    assert {volume.get("secret", {}).get("secretName") for volume in nats["template"]["spec"]["volumes"]} >= {
        names.KEYS_SECRET
    }
    mounts = [mount["mountPath"] for mount in nats["template"]["spec"]["containers"][0]["volumeMounts"]]
    assert any(names.ACCOUNTS_FOLDER.startswith(f"{path}/") for path in mounts)
    policy = made["NetworkPolicy", names.NATS]["spec"]["ingress"][0]["from"][1]
    assert policy["namespaceSelector"]["matchExpressions"][0]["key"] == names.TENANT_LABEL


@pytest.mark.parametrize(
    ("verb", "what", "where", "may"),
    [
        ("patch", "assettwins.wheeltapper.dev/status", "northwater", "yes"),
        ("patch", "tenantpolicies.wheeltapper.dev", "", "yes"),
        ("delete", "assettwins.wheeltapper.dev", "northwater", "no"),
        ("create", "secrets", "northwater", "yes"),
        ("get", "secrets", "northwater", "no"),
        ("get", f"secrets/{names.KEYS_SECRET}", NAMESPACE, "yes"),
        ("get", "secrets/another", NAMESPACE, "no"),
        ("bind", f"clusterroles/{names.GATEWAY_ROLE}", "", "yes"),
        ("bind", f"clusterroles/{names.VIEWER_ROLE}", "", "yes"),
        ("bind", "clusterroles/cluster-admin", "", "no"),
        ("list", "secrets", "northwater", "no"),
        ("create", "clusterroles", "", "no"),
        ("create", "pods", "northwater", "no"),
        ("update", f"leases/{names.OPERATOR}", NAMESPACE, "yes"),
        ("update", "leases/another", NAMESPACE, "no"),
        ("get", "customresourcedefinitions.apiextensions.k8s.io/assettwins.wheeltapper.dev", "", "yes"),
        ("get", "customresourcedefinitions.apiextensions.k8s.io/another", "", "no"),
    ],
)
def test_operator_may_do_what_it_does_and_no_more(system, verb, what, where, may):
    account = f"--as=system:serviceaccount:{NAMESPACE}:{names.OPERATOR}"
    what, _, sub = what.partition("/") if what.endswith("/status") else (what, "", "")
    subresource = [f"--subresource={sub}"] if sub else []
    scope = [f"--namespace={where}"] if where else []
    assert system.try_kubectl("auth", "can-i", verb, what, account, *scope, *subresource).stdout.strip() == may


def test_operator_may_reach_every_sort_of_object_that_it_knows(helm):
    """A sort that is added to its table needs a rule here, else it fails in a cluster only."""
    roles = [one for one in rendered(helm) if one["kind"] in {"ClusterRole", "Role"}]
    rules = [rule for role in roles if role["metadata"]["name"] == names.OPERATOR for rule in role["rules"]]

    def verbs(of):
        group = of.api_version.rpartition("/")[0]
        found = (rule for rule in rules if group in rule["apiGroups"] and of.plural in rule["resources"])
        return {verb for rule in found for verb in rule["verbs"]}

    for of in CUSTOM:
        assert verbs(of) == {"get", "list", "watch", "patch"}
    for of in CHILDREN:
        assert verbs(of) >= {"create", "patch", "delete"} | (set() if of.kind == "Secret" else {"list"}), of
    assert verbs(CRD) == {"get"}
    assert verbs(CLUSTER_BINDING) == {"create", "patch", "delete"}
    assert (verbs(POD), verbs(EVENT), verbs(LEASE)) == ({"list"}, {"create"}, {"create", "get", "update"})


def test_viewer_sees_what_a_gateway_shows_but_the_audit_log(helm):
    (viewer,) = (one for one in rendered(helm) if one["metadata"]["name"] == names.VIEWER_ROLE)
    (rule,) = viewer["rules"]
    assert {resource.removeprefix("assettwins/") for resource in rule["resources"]} == set(SUBRESOURCES) - {"audit"}


def test_library_is_there_for_everybody(system):
    kinds = "assetclasses,failuremodels"
    made = {(one["kind"], one["metadata"]["name"]) for one in objects(system, kinds, "--namespace=wheeltapper-library")}
    assert ("AssetClass", "centrifugal-pump") in made
    assert len(made) == 33


def test_roles_of_the_cluster_reach_the_kinds(system):
    system.kubectl("create", "namespace", "northwater-roles")
    scope = "--namespace=northwater-roles"
    system.kubectl("create", "rolebinding", "eve", "--clusterrole=view", "--user=eve", scope)
    try:

        def may(verb):
            done = system.try_kubectl("auth", "can-i", verb, "assettwins.wheeltapper.dev", "--as=eve", scope)
            return done.stdout.strip()

        assert (may("list"), may("create")) == ("yes", "no")
    finally:
        system.kubectl("delete", "namespace", "northwater-roles", "--timeout=60s")


def test_three_servers_form_a_backbone_and_removal_leaves_what_is_kept(system, helm, authority):
    """The last of this file: what it began with is removed."""
    system.apply({"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "TenantPolicy", "metadata": {"name": "kept"}})
    helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait")
    helm("uninstall", "wheeltapper-crds", f"--namespace={NAMESPACE}", "--wait")
    crds = {
        crd["spec"]["names"]["kind"] for crd in objects(system, "crds") if crd["spec"]["group"] == "wheeltapper.dev"
    }
    assert crds == set(KINDS)
    assert "kept" in system.kubectl("get", "tenantpolicies")
    claims = objects(system, "persistentvolumeclaims", f"--namespace={NAMESPACE}")
    assert [claim["metadata"]["name"] for claim in claims] == [f"data-{names.NATS}-0"]
    secret = json.loads(
        system.kubectl("get", "secret", names.KEYS_SECRET, f"--namespace={NAMESPACE}", "--output=json")
    )["data"]
    assert base64.b64decode(secret["root"]) == authority.root
    assert len(objects(system, "assetclasses,failuremodels", "--namespace=wheeltapper-library")) == 33
    system.kubectl("delete", "tenantpolicy", "kept")
    # Installed again over what was left, with three.
    install(helm, "--set=backbone.replicas=3")
    pods = objects(system, "pods", f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/name={names.NATS}")
    assert len(pods) == 3
    told = system.kubectl("logs", f"{names.NATS}-0", f"--namespace={NAMESPACE}")
    assert "JetStream cluster" in told
