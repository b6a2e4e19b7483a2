"""The charts carry CRDs and the library: a copy that is behind installs another version than the code is of."""

from __future__ import annotations

import json

import yaml

from wheeltapper_api.generate import FOLDER, chart_files, files
from wheeltapper_api.library import entries

ROOT = FOLDER.parent
WANTED = chart_files(ROOT)


def test_charts_are_what_the_models_give():
    assert {path: path.read_text(encoding="utf-8") for path in WANTED} == WANTED
    for folder in {path.parent for path in WANTED}:
        assert {path for path in folder.iterdir() if path in WANTED} == set(folder.iterdir())


def test_crd_of_the_chart_stays_and_is_else_the_same():
    for name, text in files().items():
        if name.endswith(".wheeltapper.dev.yaml"):
            chart = yaml.safe_load(WANTED[ROOT / "charts" / "wheeltapper-crds" / "templates" / name])
            assert chart["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
            assert chart == yaml.safe_load(text)


def test_every_file_of_the_library_is_in_the_chart():
    library = "".join(text for path, text in WANTED.items() if path.parent.name == "library")
    documents = [document for document in yaml.safe_load_all(library) if document]
    named = {(document["kind"], document["metadata"]["name"]) for document in documents}
    assert named == {(entry.resource.kind, entry.resource.name) for entry in entries()}
    # The operator that would take its finalizers off goes with the chart, and twins need their classes.
    kept = {"helm.sh/resource-policy": "keep"}
    assert all(document["metadata"].get("annotations") == kept for document in documents)


def test_schema_of_values_knows_every_value_and_no_other():
    chart = ROOT / "charts" / "wheeltapper"
    schema = json.loads((chart / "values.schema.json").read_text())

    def paths(values, prefix=()):
        for key, value in values.items():
            yield from paths(value, (*prefix, key)) if isinstance(value, dict) and value else [(*prefix, key)]

    def described(part, prefix=()):
        for key, value in part["properties"].items():
            inner = "properties" in value
            yield from described(value, (*prefix, key)) if inner else [(*prefix, key)]

    free = {("operator", "resources"), ("backbone", "resources")}
    known = {path for path in described(schema) if path[:2] not in free} - {("global",)}
    given = {path for path in paths(yaml.safe_load((chart / "values.yaml").read_text())) if path[:2] not in free}
    assert given == known


def test_schema_is_strict_everywhere():
    def objects(part):
        if "properties" in part:
            yield part
            for inner in part["properties"].values():
                yield from objects(inner)
        if "items" in part:
            yield from objects(part["items"])

    for chart in ("wheeltapper", "wheeltapper-crds"):
        schema = json.loads((ROOT / "charts" / chart / "values.schema.json").read_text())
        assert all(part["additionalProperties"] is False for part in objects(schema))
