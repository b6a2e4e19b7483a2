"""An editor with the schema must not mark what is right, and should mark what a schema can see is wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jsonschema
import pytest

from wheeltapper_api.cel import compile_rule
from wheeltapper_api.documents import Document, find_files, read_documents
from wheeltapper_api.generate import FOLDER
from wheeltapper_api.json_rules import rule_keywords
from wheeltapper_api.json_schema import DRAFT, all_kinds_schema, kind_schema
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.load import load
from wheeltapper_api.reference import fields_of
from wheeltapper_api.schema import schema_of

EXAMPLES = FOLDER / "examples"
INVALID = sorted((EXAMPLES / "invalid").glob("*.yaml"))
SHIPPED = [
    EXAMPLES / "valid",
    FOLDER.parent / "examples" / "pump-station",
    FOLDER / "src" / "wheeltapper_api" / "library",
]
ALL = jsonschema.Draft202012Validator(all_kinds_schema(), format_checker=jsonschema.FormatChecker())


def documents(path):
    return [
        found.content for file in find_files([path]) for found in read_documents(file) if isinstance(found, Document)
    ]


@pytest.mark.parametrize("schema", [all_kinds_schema(), *map(kind_schema, KINDS.values())])
def test_schema_is_one(schema):
    assert schema["$schema"] == DRAFT
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "x-kubernetes" not in json.dumps(schema)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_right_is_not_marked(path):
    found = documents(path)
    assert found
    for document in found:
        assert [error.message for error in ALL.iter_errors(document)] == [], document["metadata"]
        if document["kind"] in KINDS:
            jsonschema.Draft202012Validator(kind_schema(KINDS[document["kind"]])).validate(document)


def test_objects_of_others_and_empty_documents_are_not_marked():
    for document in ({"apiVersion": "v1", "kind": "Secret"}, {"kind": "Plant", "apiVersion": "other.dev/v1"}, {}, None):
        assert ALL.is_valid(document)


def test_a_misspelt_kind_is_marked():
    assert not ALL.is_valid({"apiVersion": "wheeltapper.dev/v1alpha1", "kind": "AssetTwinn", "metadata": {"name": "a"}})


# What only several objects, a unit table or two values together tell.
def seen_by_a_schema(problem):
    return any(
        words in problem.message
        for words in ("There is no field", "is missing", "is not possible here", "Give exactly one", "Give at most one")
    ) or any(words in problem.message for words in ("is not a duration", "not a mapping", "not a list", "is not text"))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_what_a_schema_can_see_is_marked(path):
    problems = load([path]).problems
    marked = [error for document in documents(path) for error in ALL.iter_errors(document)]
    if any(seen_by_a_schema(problem) for problem in problems):
        assert marked
    if not problems:
        # What is wrong is between objects, and each for itself is right.
        assert marked == []


def test_most_of_the_wrong_fields_are_marked():
    refused = [path for path in INVALID if load([path]).problems and documents(path)]
    marked = [path for path in refused if any(not ALL.is_valid(document) for document in documents(path))]
    assert len(marked) >= 40


def objects(schema, place):
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"{place} {rule['rule']}", schema, rule["rule"]
    for name, child in schema.get("properties", {}).items():
        yield from objects(child, f"{place}.{name}")
    if "items" in schema:
        yield from objects(schema["items"], f"{place}[]")


RULES = [found for name, kind in KINDS.items() for found in objects(schema_of(kind), name)]
# Bounds between two numbers are beyond a schema.
BEYOND = ("<", "self.limit", "clear.below")


@pytest.mark.parametrize(("schema", "rule"), [found[1:] for found in RULES], ids=[found[0] for found in RULES])
def test_rule_means_the_same_to_an_editor(schema, rule):
    keywords = rule_keywords(rule)
    if any(word in rule.replace("<= 1", "") for word in BEYOND):
        assert keywords is None
        return
    editor, server = jsonschema.Draft202012Validator(keywords), compile_rule(rule)
    rng = random.Random(rule)
    seen = set()
    for _ in range(100):
        document = sample(schema, rng)
        assert editor.is_valid(document) == server(document), document
        seen.add(server(document))
    assert seen == {True, False}


def sample(schema, rng):
    """An object with some of its fields; what is in them matters only where values are listed."""
    if schema["type"] != "object":
        return rng.choice(schema.get("enum", ["a"]))
    needed = schema.get("required", [])
    fields = schema["properties"].items()
    return {name: sample(child, rng) for name, child in fields if name in needed or rng.random() < 0.4}


def test_descriptions_values_and_defaults_reach_the_editor():
    statistic = kind_schema(KINDS["AssetClass"])["properties"]["spec"]["properties"]["signals"]["items"]["properties"]
    assert statistic["statistic"]["default"] == "instant"
    assert "rms: Root of the mean square" in statistic["statistic"]["description"]
    every = [field for kind in KINDS.values() for field in fields_of(kind).values()]
    assert all(field.description for field in every)


def test_the_committed_files_say_the_same():
    for kind in KINDS.values():
        path = FOLDER / "schema" / f"{kind.resource.singular}.json"
        assert json.loads(path.read_text()) == kind_schema(kind)
    assert json.loads((FOLDER / "schema" / "all.json").read_text()) == all_kinds_schema()
    assert Path(FOLDER / "schema" / "all.json").stat().st_size < 256 * 1024
