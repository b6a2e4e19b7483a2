"""Whenever the operator is killed while people create, edit and delete: in the end there is what they asked for."""

from __future__ import annotations

import random
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster.account import documents
from tests.cluster.operated import is_ready
from wheeltapper_api.fields import API_VERSION
from wheeltapper_api.kinds import KINDS
from wheeltapper_operator import names
from wheeltapper_operator.compile import compile_plan

STORM = "storm"
IN_STORM = f"--namespace={STORM}"
TWINS = 200
KILLS = 50
GROUP = "/apis/wheeltapper.dev/v1alpha1/namespaces/storm/assettwins"


class Storm:
    """Somebody who creates, edits and deletes twins without a pause, and knows what should be there."""

    def __init__(self, cluster, seed):
        self._cluster = cluster
        self._chance = random.Random(seed)
        self.wanted = {}
        self.done = threading.Event()
        self.changes = 0

    def run(self):
        with self._cluster.api() as client:
            while not self.done.is_set():
                self._change(client)
            for number in range(TWINS):
                if f"t-{number}" not in self.wanted and self._chance.random() < 0.5:
                    self._create(client, f"t-{number}")

    def _change(self, client):
        name = f"t-{self._chance.randrange(TWINS)}"
        if name not in self.wanted:
            self._create(client, name)
        elif self._chance.random() < 0.6:
            self.wanted[name] = self._chance.choice("ABC")
            call(client, "PATCH", f"{GROUP}/{name}", {"spec": {"criticality": self.wanted[name]}})
        else:
            call(client, "DELETE", f"{GROUP}/{name}")
            del self.wanted[name]
        self.changes += 1

    def _create(self, client, name):
        self.wanted[name] = "B"
        call(client, "POST", GROUP, self.twin(name))

    def twin(self, name):
        spec = {"class": "centrifugal-pump", "plant": "riverside", "tag": name.upper()}
        spec["criticality"] = self.wanted[name]
        metadata = {"name": name, "namespace": STORM}
        return {"apiVersion": API_VERSION, "kind": "AssetTwin", "metadata": metadata, "spec": spec}


def call(client, method, path, body=None):
    content = "application/merge-patch+json" if method == "PATCH" else "application/json"
    headers = {"Content-Type": content, "Accept": "application/json"}
    request = client.param_serialize(method, path, header_params=headers, body=body, auth_settings=["BearerToken"])
    response = client.call_api(*request, _request_timeout=30)
    response.read()
    assert response.status < 300, (method, path, response.data)


@pytest.mark.timeout(900)
def test_end_state_is_the_plan(outside, tell):
    operated, cluster = outside.operated, outside.cluster
    documents = operated.station(STORM)
    resources = [d for d in documents if d["kind"] not in {"Namespace", "AssetTwin"}]
    seed = random.randrange(2**32)
    tell(f"The storm has the seed {seed}")
    chance, storm = random.Random(seed), Storm(cluster, seed)
    cluster.apply(documents[0])
    cluster.apply(*resources)
    try:
        with ThreadPoolExecutor() as pool:
            weather = pool.submit(storm.run)
            try:
                for number in range(KILLS):
                    kill_after(outside, chance.uniform(1.0, 5.0))
                    if number % 10 == 9:
                        tell(f"{number + 1} kills, {storm.changes} changes, {len(storm.wanted)} twins")
            finally:
                storm.done.set()
            weather.result(60)
        assert storm.changes > KILLS
        with outside.running():
            check_end(operated, storm, resources)
    finally:
        with outside.running():
            operated.remove(STORM)


def kill_after(outside, seconds):
    process = outside.start()
    with pytest.raises(subprocess.TimeoutExpired):  # it does not end by itself
        process.wait(seconds)
    process.kill()
    process.wait()


def check_end(operated, storm, resources):
    operated.wait(lambda: operated.ready(STORM), 180, "ready twins", STORM)
    twins = operated.twins(STORM)
    assert {name: twin["spec"]["criticality"] for name, twin in twins.items()} == storm.wanted
    wanted = [*resources, *(storm.twin(name) for name in sorted(storm.wanted))]
    (plan,) = compile_plan(KINDS[d["kind"]].model_validate(d) for d in wanted).tenants
    ours = f"--selector={names.MANAGED}"
    for kind in ("Deployment", "PersistentVolumeClaim", "PodDisruptionBudget", "NetworkPolicy"):
        made = {manifest["metadata"]["name"] for manifest in plan.manifests if manifest["kind"] == kind}
        assert set(operated.objects(kind, IN_STORM, ours)) == made, kind
    assert {
        name for name, d in operated.objects("deployments", IN_STORM).items() if d["metadata"].get("deletionTimestamp")
    } == set()
    given = {worker: config.generation for worker, config in documents(operated, STORM).items()}
    assert {config.worker: given.get(config.worker) for config in plan.configs} == {
        config.worker: config.generation for config in plan.configs
    }
    # Twins need no store worker; the tenant does, and it may just be starting.
    operated.wait(lambda: is_ready(operated.objects("tenantpolicies")[STORM]), 120, "the tenant", STORM)
