"""A twin that only names a class of the library must be valid, compile, and be watched by the class's models."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.station import COMMAND
from wheeltapper_api.kinds import AssetClass, FailureModel
from wheeltapper_api.library import class_of, entries, of_class, with_library
from wheeltapper_api.load import load
from wheeltapper_api.validate import validate
from wheeltapper_operator.compile import compile_plan

CLASSES = [entry.resource for entry in entries() if isinstance(entry.resource, AssetClass)]
API = "wheeltapper.dev/v1alpha1"


def thing(kind, name, spec, namespace="acme"):
    metadata = {"name": name} if kind == "TenantPolicy" else {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}


def station(asset_class: AssetClass, **policy):
    signals = [{"name": s.name, "node": f"ns=2;s={{tag}}.{s.name}"} for s in asset_class.spec.signals]
    plant = {
        "title": "Site",
        "hosting": "private",
        "connections": [{"name": "plc", "opcua": {"endpoint": "opc.tcp://127.0.0.1:4840"}}],
        "addressing": [{"class": asset_class.name, "from": "plc", "signals": signals}],
    }
    twin = {"class": asset_class.name, "plant": "site", "tag": "M1"}
    return [thing("TenantPolicy", "acme", policy), thing("Plant", "site", plant), thing("AssetTwin", "m-1", twin)]


def written(folder: Path, documents) -> Path:
    path = folder / "station.yaml"
    path.write_text("---\n".join(yaml.safe_dump(document) for document in documents))
    return path


def models_of(plan):
    return {model.name for config in plan.tenants[0].configs for line in config.lines for model in line.models}


def names_of(asset_class: str) -> set[str]:
    return {e.resource.name for e in of_class(asset_class) if isinstance(e.resource, FailureModel)}


@pytest.mark.parametrize("asset_class", CLASSES, ids=lambda resource: resource.name)
def test_one_twin_of_each_class_has_no_finding_and_all_models(asset_class, tmp_path):
    path = written(tmp_path, station(asset_class))
    assert validate([path]) == []
    plan = compile_plan(with_library(load([path]).resources))
    assert models_of(plan) == names_of(asset_class.name)
    (collector,) = [c for config in plan.tenants[0].configs for c in config.collectors]
    assert len(collector.series) == len(asset_class.spec.signals)


@pytest.mark.parametrize("asset_class", CLASSES, ids=lambda resource: resource.name)
def test_a_twin_that_binds_only_what_is_required_has_no_finding(asset_class, tmp_path):
    documents = station(asset_class)
    required = {signal.name for signal in asset_class.spec.signals if signal.required}
    addressing = documents[1]["spec"]["addressing"][0]
    addressing["signals"] = [signal for signal in addressing["signals"] if signal["name"] in required]
    assert validate([written(tmp_path, documents)]) == []


def fan():
    return next(c for c in CLASSES if c.name == "fan")


def test_a_tenant_takes_only_the_models_it_names(tmp_path):
    path = written(tmp_path, station(fan(), library={"failureModels": ["fan-unbalance"]}))
    assert validate([path]) == []
    assert models_of(compile_plan(with_library(load([path]).resources))) == {"fan-unbalance"}


def test_a_model_the_library_does_not_have_is_told(tmp_path):
    (problem,) = validate([written(tmp_path, station(fan(), library={"failureModels": ["fan-unbalanced"]}))])
    assert "did you mean fan-unbalance?" in str(problem)


def test_an_own_copy_comes_before_the_librarys(tmp_path):
    (unbalance,) = [e for e in entries() if e.resource.name == "fan-unbalance"]
    own = json.loads(json.dumps(unbalance.content))
    own["metadata"]["namespace"] = "acme"
    own["spec"] |= {"version": "7.0.0"}
    path = written(tmp_path, [*station(fan()), own])
    assert validate([path]) == []
    plan = compile_plan(with_library(load([path]).resources))
    versions = {m.name: m.version for config in plan.tenants[0].configs for line in config.lines for m in line.models}
    assert versions["fan-unbalance"] == "7.0.0"
    assert set(versions) == names_of("fan")


def test_an_own_class_that_the_librarys_models_do_not_fit_is_told_at_the_twin(tmp_path):
    own = json.loads(json.dumps(of_class("fan")[0].content))
    own["metadata"]["namespace"] = "acme"
    features = own["spec"]["pipeline"]["features"]
    own["spec"]["pipeline"]["features"] = [f for f in features if f["name"] != "once-speed-de"]
    (problem,) = validate([written(tmp_path, [*station(fan()), own])])
    assert (problem.resource, problem.field) == ("AssetTwin acme/m-1", "spec.class")
    assert "fan-unbalance does not fit" in problem.message


def test_a_replaced_class_of_the_library_that_breaks_its_models_is_told(tmp_path):
    own = json.loads(json.dumps(of_class("fan")[0].content))
    features = own["spec"]["pipeline"]["features"]
    own["spec"]["pipeline"]["features"] = [f for f in features if f["name"] != "once-speed-de"]
    (problem,) = validate([written(tmp_path, [own])])
    assert str(problem).startswith("library fan-unbalance:1: spec.inputs[0].feature: The class fan has no feature")


def test_validate_counts_only_the_users_objects(tmp_path):
    path = written(tmp_path, station(fan()))
    done = subprocess.run([*COMMAND, "validate", str(path)], capture_output=True, text=True, check=True)
    assert "3 resources" in done.stdout + done.stderr


def test_library_is_listed_and_shown(tmp_path):
    done = subprocess.run([*COMMAND, "library", "--output", "json"], capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout)
    assert [entry["name"] for entry in listed] == [entry.resource.name for entry in entries()]
    assert {entry["class"] for entry in listed} == {class_of(entry.resource) for entry in entries()}
    done = subprocess.run([*COMMAND, "library", "show", "fan"], capture_output=True, text=True, check=True)
    (tmp_path / "fan.yaml").write_text(done.stdout)
    assert len(load([tmp_path / "fan.yaml"]).resources) == len(of_class("fan"))
    done = subprocess.run([*COMMAND, "library", "show", "fam"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (2, "Error: There is no fam in the library. Did you mean fan?")
