"""A cluster that is too old, lacks the kinds or has an operator already must be told from one to act in."""

from __future__ import annotations

import asyncio
import copy
import json
import sys

import pytest
from aiohttp import web

from wheeltapper_api.kinds import KINDS
from wheeltapper_api.schema import crd
from wheeltapper_operator.kube import fitness
from wheeltapper_operator.kube.api import Api
from wheeltapper_operator.names import OPERATOR, TENANT_LABEL

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
HERE = "wheeltapper-system"


class Cluster:
    """The little of an API server that is asked at the start."""

    def __init__(self):
        self.version = {"major": "1", "minor": "33", "gitVersion": "v1.33.4"}
        self.kinds = {one["metadata"]["name"]: one for one in map(crd, KINDS.values())}
        self.operators = [(HERE, "2026-01-01T00:00:00Z")]
        self.tenants = set()

    async def answer(self, request):
        path = request.path
        if path == "/version":
            return web.json_response(self.version)
        if path.startswith(CRDS):
            return self._one(self.kinds.get(path.removeprefix(CRDS)))
        if path == "/apis/apps/v1/deployments":
            assert request.query["labelSelector"] == f"app.kubernetes.io/name={OPERATOR}"
            items = [
                {"metadata": {"name": OPERATOR, "namespace": where, "creationTimestamp": since}}
                for where, since in self.operators
            ]
            return web.json_response({"items": items, "metadata": {"resourceVersion": "1"}})
        name = path.removeprefix("/api/v1/namespaces/")
        return self._one({"metadata": {"name": name, "labels": {TENANT_LABEL: name} if name in self.tenants else {}}})

    def _one(self, found):
        return web.json_response(found or {"reason": "NotFound"}, status=200 if found else 404)


@pytest.fixture
async def cluster(tmp_path):
    found = Cluster()
    application = web.Application()
    application.router.add_get("/{path:.*}", found.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
    found.kubeconfig = tmp_path / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": server}],
        "users": [{"name": "it", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    found.kubeconfig.write_text(json.dumps(config))
    yield found
    await runner.cleanup()


@pytest.fixture
async def api(cluster):
    found = await Api.connect(cluster.kubeconfig)
    yield found
    await found.close()


@pytest.mark.parametrize(("major", "minor", "fits"), [("1", "29", False), ("1", "9", False), ("1", "30+", True)])
async def test_the_version_is_compared_as_numbers(cluster, api, major, minor, fits):
    cluster.version |= {"major": major, "minor": minor}
    if fits:
        await fitness.check_version(api)
        return
    with pytest.raises(fitness.UnfitError, match=r"too old: Wheeltapper needs 1\.30 or newer"):
        await fitness.check_version(api)


async def test_operator_ends_in_a_cluster_that_is_too_old_and_says_why(cluster):
    cluster.version = {"major": "1", "minor": "29", "gitVersion": "v1.29.3"}
    environment = {
        "WHEELTAPPER_NAMESPACE": HERE,
        "WHEELTAPPER_WORKER_IMAGE": "workers:1",
        "WHEELTAPPER_KUBECONFIG": str(cluster.kubeconfig),
        "WHEELTAPPER_PROBES_PORT": "0",
    }
    command = (sys.executable, "-m", "wheeltapper_operator")
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 3
    last = said.decode().strip().splitlines()[-1]
    assert last.startswith("Kubernetes v1.29.3 is too old")
    assert "Upgrade the cluster" in last


async def test_nothing_is_said_of_a_cluster_that_fits(api):
    assert await fitness.look(api, HERE) is None


async def test_a_kind_that_is_missing_is_named_with_its_chart(cluster, api):
    del cluster.kinds["plants.wheeltapper.dev"]
    news = await fitness.look(api, HERE)
    assert news.reason == fitness.KINDS_MISSING
    assert "plants.wheeltapper.dev" in news.message
    assert "Install the chart wheeltapper-crds" in news.message


def spec_of(cluster, plural):
    """Schema of the spec, in a copy that may be changed."""
    name = f"{plural}.wheeltapper.dev"
    cluster.kinds[name] = copy.deepcopy(cluster.kinds[name])
    return cluster.kinds[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


async def test_a_field_that_the_cluster_would_drop_keeps_the_operator_from_acting(cluster, api):
    del spec_of(cluster, "assettwins")["properties"]["criticality"]
    news = await fitness.look(api, HERE)
    assert news.reason == fitness.KINDS_OLDER
    assert "AssetTwin.spec.criticality" in news.message
    assert "Upgrade the chart wheeltapper-crds" in news.message


async def test_a_value_that_the_cluster_would_refuse_does_so_too(cluster, api):
    spec_of(cluster, "assettwins")["properties"]["mode"]["enum"].remove("review")
    assert "AssetTwin.spec.mode=review" in (await fitness.look(api, HERE)).message


async def test_newer_kinds_are_only_remarked(cluster, api):
    spec_of(cluster, "plants")["properties"]["colour"] = {"type": "string"}
    news = await fitness.look(api, HERE)
    assert news.reason == fitness.KINDS_NEWER
    assert "Plant.spec.colour" in news.message
    cluster.operators.append(("older", "2025-01-01T00:00:00Z"))
    assert (await fitness.look(api, HERE)).reason == fitness.SECOND_OPERATOR, "a remark hides no hindrance"


@pytest.mark.parametrize(
    ("since", "name", "serves"),
    [
        ("2026-01-02T00:00:00Z", "younger", True),
        ("2025-12-31T00:00:00Z", "older", False),
        ("2026-01-01T00:00:00Z", "as-old", False),
        ("2026-01-01T00:00:00Z", "z-as-old", True),
    ],
)
async def test_of_two_installations_the_first_serves(cluster, api, since, name, serves):
    cluster.operators.append((name, since))
    ours, theirs = await fitness.look(api, HERE), await fitness.look(api, name)
    assert (ours is None, theirs is None) == (serves, not serves), "one of both, never none and never two"
    told = theirs if serves else ours
    assert told.reason == fitness.SECOND_OPERATOR
    assert f"namespace {HERE if serves else name} serves" in told.message


async def test_a_tenant_cannot_stop_the_operator_by_a_name(cluster, api):
    cluster.operators.append(("northwater", "2025-01-01T00:00:00Z"))
    cluster.tenants.add("northwater")
    assert await fitness.look(api, HERE) is None
