"""A plan that changes without its resources changing restarts workers for nothing, and nobody can review it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from wheeltapper_api.config import Role
from wheeltapper_api.kinds import KINDS, AssetTwin, Resource
from wheeltapper_operator.compile import compile_plan
from wheeltapper_operator.compile.placement import NAME_LENGTH, worker_name

STATION = Path(__file__).parents[2] / "examples" / "pump-station"


def documents() -> list[dict]:
    return [d for f in sorted(STATION.glob("*.yaml")) for d in YAML(typ="safe").load_all(f.read_text())]


def resources(edit=lambda document: document) -> list[Resource]:
    return [KINDS[d["kind"]].model_validate(edit(d)) for d in documents()]


def only(plan):
    (tenant,) = plan.tenants
    return tenant


def line_of(plan):
    (line,) = [line for config in only(plan).configs for line in config.lines]
    return line


def collector_of(plan, name="scada"):
    (collector,) = [c for config in only(plan).configs for c in config.collectors if c.name == name]
    return collector


@pytest.mark.parametrize("seed", range(10))
def test_any_order_of_the_resources_gives_the_same_bytes(seed):
    shuffled = resources()
    random.Random(seed).shuffle(shuffled)
    assert compile_plan(shuffled).to_json() == compile_plan(resources()).to_json()


def test_a_small_tenant_has_two_processes_and_one_for_each_connection():
    roles = {config.worker: config.roles for config in only(compile_plan(resources())).configs}
    assert roles == {
        "northwater-riverside-analyse": [Role.FEATURIZE, Role.SCORE, Role.ALERT],
        "northwater-riverside-collect-hall-2": [Role.COLLECT],
        "northwater-riverside-collect-scada": [Role.COLLECT],
        "northwater-store": [Role.STORE],
    }


def test_tables_elsewhere_are_known_to_the_store_alone():
    storage = {"url": "s3://plant-data/tables", "endpoint": "https://s3.riverside", "credentialsRef": "tables-key"}

    def edit(document):
        if document["kind"] == "TenantPolicy":
            document["spec"]["storage"] = storage
        return document

    tenant = only(compile_plan(resources(edit)))
    places = {config.worker: config.store and config.store.place for config in tenant.configs}
    place = places.pop("northwater-store")
    assert (place.url, place.endpoint, place.secret) == ("s3://plant-data/tables", "https://s3.riverside", "tables-key")
    assert set(places.values()) == {None}
    mounted = {m["metadata"]["name"]: m["spec"]["template"]["spec"]["volumes"] for m in tenant.deployments}
    assert [name for name, volumes in mounted.items() if "tables-key" in str(volumes)] == ["northwater-store"]
    assert "tables" not in [m["metadata"]["name"] for m in tenant.manifests if m["kind"] == "PersistentVolumeClaim"]


def test_every_claim_that_a_worker_mounts_is_made():
    tenant = only(compile_plan(resources()))
    made = {m["metadata"]["name"] for m in tenant.manifests if m["kind"] == "PersistentVolumeClaim"}
    volumes = [v for m in tenant.deployments for v in m["spec"]["template"]["spec"]["volumes"]]
    assert {v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v} == made
    assert "tables" in made


def test_a_large_plant_has_a_process_a_role():
    twins = [r for r in resources() if isinstance(r, AssetTwin)]
    template = twins[0].model_dump(mode="json", exclude_none=True)
    many = [
        AssetTwin.model_validate(template | {"metadata": {"name": f"p-{n}", "namespace": "northwater"}})
        for n in range(500)
    ]
    plan = compile_plan([r for r in resources() if not isinstance(r, AssetTwin)] + many)
    assert [config.roles for config in only(plan).configs if config.lines] == [
        [Role.ALERT],
        [Role.FEATURIZE],
        [Role.SCORE],
    ]


def test_a_twin_without_its_class_leaves_its_neighbours_alone():
    def edit(document):
        if document["metadata"]["name"] == "p-102":
            document["spec"]["class"] = "compressor"
        return document

    left = [asset.name for asset in line_of(compile_plan(resources(edit))).assets]
    assert left == ["p-101", "p-103", "p-104", "p-201", "p-202"]


def test_a_tag_becomes_addresses_and_an_own_binding_comes_first():
    def edit(document):
        if document["metadata"]["name"] == "p-103":
            own = {"name": "flow", "from": "scada", "node": "ns=3;i=77", "unit": "L/s", "scale": 0.1}
            document["spec"]["signals"] = [own]
        return document

    series = {(s.asset, s.signal): s for s in collector_of(compile_plan(resources(edit))).series}
    assert series["p-101", "flow"].address == "ns=2;s=P101.Flow"
    assert series["p-103", "speed"].address == "ns=2;s=P103.Speed"
    assert series["p-103", "flow"].address == "ns=3;i=77"
    assert series["p-103", "flow"].scale == pytest.approx(0.36)  # tenths of a litre a second in cubic metres an hour
    assert series["p-101", "ambient-temperature"].address == series["p-104", "ambient-temperature"].address
    assert {asset for asset, _ in series} == {"p-101", "p-102", "p-103", "p-104"}


def test_a_second_hall_has_a_collector_and_a_secret_of_its_own():
    plan = compile_plan(resources())
    hall = collector_of(plan, "hall-2")
    assert (hall.protocol, hall.options["version"], hall.secret) == ("mqtt", "3.1.1", "hall-2-broker")
    (flow,) = [s for s in hall.series if (s.asset, s.signal) == ("p-202", "flow")]
    assert (flow.address, flow.path, flow.time_path) == ("hall-2/P202/flow", "$.value", "$.time")


def test_an_override_is_of_one_twin_alone():
    def edit(document):
        if document["metadata"]["name"] == "p-103":
            document["spec"]["failureModels"] = [
                {"name": "cavitation", "enabled": False},
                {"name": "bearing-wear", "clear": {"below": 0.5, "for": "2m"}},
            ]
        return document

    assets = {asset.name: asset for asset in line_of(compile_plan(resources(edit))).assets}
    assert [entry.name for entry in assets["p-103"].models] == ["bearing-overheating", "bearing-wear", "seal-leakage"]
    assert assets["p-103"].models[1].policy.clear_below == 0.5
    every = ["bearing-overheating", "bearing-wear", "cavitation", "seal-leakage"]
    assert [entry.name for entry in assets["p-101"].models] == every
    assert all(entry.policy is None for entry in assets["p-101"].models)


def test_deployments_name_every_place_as_a_symbol():
    text = json.dumps(only(compile_plan(resources())).manifests)
    for symbol in ("${backbone.url}", "${state}", "${storage.tables}", "${secrets}/backbone-northwater"):
        assert symbol in text
    for deployment in only(compile_plan(resources())).deployments:
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        assert not [e for e in container["env"] if "/" in e["value"].replace("${secrets}/backbone-northwater", "")]


def test_long_names_of_workers_stay_apart():
    first, second = worker_name("t" * 60, "p" * 60, "analyse"), worker_name("t" * 60, "p" * 61, "analyse")
    assert len(first) <= NAME_LENGTH
    assert first != second
