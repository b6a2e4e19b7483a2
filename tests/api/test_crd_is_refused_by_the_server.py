"""A CRD that is not structural, or not bounded, is refused when the chart is installed: too late to learn of it."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from wheeltapper_api.documents import find_files, read_documents
from wheeltapper_api.generate import FOLDER, files, main, stale
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.schema import crd, schema_of

VALID = Path(__file__).parents[2] / "crds" / "examples" / "valid"
KEYWORDS = {
    *("type", "description", "format", "enum", "pattern", "properties", "required", "items"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations"),
}
TYPES = {"object", "array", "string", "integer", "number", "boolean"}
SCALARS = TYPES - {"object", "array"}


def nodes(schema, place="", times=1):
    """Every schema with its place and how many of it an object can have."""
    yield place, schema, times
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{place}.{name}", times)
    if "items" in schema:
        yield from nodes(schema["items"], f"{place}[]", times * schema.get("maxItems", math.inf))


ALL = [
    (f"{kind}{place}", node, times) for kind, model in KINDS.items() for place, node, times in nodes(schema_of(model))
]


def test_files_are_what_the_models_give():
    assert stale(FOLDER) == []


def test_check_names_a_file_that_is_not(tmp_path, monkeypatch, capsys):
    for name, text in files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "plants.wheeltapper.dev.yaml").write_text("by hand\n")
    (tmp_path / "gone.wheeltapper.dev.yaml").write_text("of a kind that is no more\n")
    monkeypatch.setattr("wheeltapper_api.generate.FOLDER", tmp_path)
    assert main(["--check"]) == 1
    assert "plants.wheeltapper.dev.yaml" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert not (tmp_path / "gone.wheeltapper.dev.yaml").exists()
    assert main(["--wrong"]) == 2


@pytest.mark.parametrize("kind", list(KINDS))
def test_crd_has_the_frame_of_one(kind):
    document = yaml.safe_load(files()[f"{KINDS[kind].resource.plural}.wheeltapper.dev.yaml"])
    assert document == crd(KINDS[kind])
    names, (version,) = document["spec"]["names"], document["spec"]["versions"]
    assert document["metadata"]["name"] == f"{names['plural']}.{document['spec']['group']}"
    assert names["categories"] == ["wheeltapper"]
    assert names["shortNames"]
    assert version["subresources"] == {"status": {}}
    assert {"Ready", "Age"} <= {column["name"] for column in version["additionalPrinterColumns"]}
    root = version["schema"]["openAPIV3Schema"]
    assert root["description"]
    assert root["properties"]["spec"]["description"]


def test_every_node_is_structural():
    for place, node, _ in ALL:
        assert node.keys() <= KEYWORDS, place
        assert node["type"] in TYPES, place
        assert ("properties" in node) == (node["type"] == "object"), place
        assert ("items" in node) == (node["type"] == "array"), place
        assert set(node.get("required", [])) <= set(node.get("properties", {})), place


def test_everything_is_bounded():
    for place, node, _ in ALL:
        if node["type"] == "array":
            assert "maxItems" in node, place
        if node["type"] == "string":
            assert node.keys() & {"maxLength", "enum", "format"}, place


def test_lists_merge_by_keys_that_every_entry_has():
    for place, node, _ in ALL:
        sort = node.get("x-kubernetes-list-type")
        assert (sort is not None) == (node["type"] == "array"), place
        if sort == "map":
            assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"]), place
            assert all(
                node["items"]["properties"][key]["type"] in SCALARS for key in node["x-kubernetes-list-map-keys"]
            )
        else:
            assert "x-kubernetes-list-map-keys" not in node, place
        if sort == "set":
            assert node["items"]["type"] in SCALARS, place


def test_patterns_are_of_the_language_that_go_reads():
    for place, node, _ in ALL:
        if "pattern" in node:
            re.compile(node["pattern"])
            assert not re.search(r"\(\?[=!<]|\\[1-9]|[*+?}]\+", node["pattern"]), place


def test_rules_cost_less_than_the_server_allows():
    for place, node, times in ALL:
        for rule in node.get("x-kubernetes-validations", []):
            assert rule["message"][0].isupper(), place
            assert len(rule["message"]) < 2048
            assert "\n" not in rule["message"]
            inner = math.prod(
                node["properties"][name]["maxItems"]
                for name in re.findall(r"self\.(\w+)\.(?:all|exists)\(", rule["rule"])
            )
            # One step a name or sign is a coarse upper bound; the server's limit for one rule is ten million.
            steps = len(re.findall(r"\w+|[^\w\s]+", rule["rule"])) * inner * times
            assert steps < 2_000_000, (place, rule["rule"], steps)


def conforms(schema, value):
    """Whether the API server's schema check would take a value; only the keywords that are used here."""
    match schema["type"]:
        case "object":
            return (
                isinstance(value, dict)
                and set(schema.get("required", [])) <= value.keys() <= schema["properties"].keys()
                and all(conforms(schema["properties"][name], entry) for name, entry in value.items())
            )
        case "array":
            return (
                isinstance(value, list)
                and schema.get("minItems", 0) <= len(value) <= schema["maxItems"]
                and all(conforms(schema["items"], entry) for entry in value)
            )
        case "string":
            return (
                isinstance(value, str)
                and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)
                and re.search(schema.get("pattern", ""), value) is not None
                and value in schema.get("enum", [value])
            )
        case "boolean":
            return isinstance(value, bool)
    sort = int if schema["type"] == "integer" else int | float
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return (
        isinstance(value, sort)
        and not isinstance(value, bool)
        and low <= value <= high
        and not (schema.get("exclusiveMinimum") and value == low)
        and not (schema.get("exclusiveMaximum") and value == high)
    )


def valid_specs():
    documents = (document.content for path in find_files([VALID]) for document in read_documents(path))
    return [document for document in documents if document["kind"] in KINDS]


def leaves(value, path=()):
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield path
    for key, entry in entries:
        yield from leaves(entry, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def accepted_by_model(document):
    try:
        KINDS[document["kind"]].model_validate_json(json.dumps(document), strict=True)
    except ValidationError:
        return False
    return True


def test_models_and_schemas_accept_the_same():
    rng = random.Random(7)
    refused = 0
    for document in valid_specs():
        schema = schema_of(KINDS[document["kind"]])["properties"]["spec"]
        assert conforms(schema, document["spec"])
        paths = list(leaves(document["spec"]))
        for path in rng.sample(paths, min(40, len(paths))):
            for new in ("", "x", "X y", "5s", "x" * 200, -1, 0, 2.5, 10**16, True, [], {}, {"unknown": 1}):
                spec = replaced(document["spec"], path, new)
                expected = conforms(schema, spec)
                refused += not expected
                assert accepted_by_model(document | {"spec": spec}) == expected, (document["metadata"], path, new)
    assert refused > 1000
