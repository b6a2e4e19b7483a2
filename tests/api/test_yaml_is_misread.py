"""What a file says must arrive as it was meant, and what cannot be meant must be a problem with its line."""

from __future__ import annotations

import json

import pytest

from wheeltapper_api.load import load
from wheeltapper_api.parsing import DocumentError, Parser

TWIN = {
    "apiVersion": "wheeltapper.dev/v1alpha1",
    "kind": "AssetTwin",
    "metadata": {"name": "p-1", "namespace": "acme"},
    "spec": {"class": "pump", "plant": "site"},
}


def written(tmp_path, text, name="file.yaml"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def twin(**spec):
    return TWIN | {"spec": TWIN["spec"] | spec}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("2026-03-04", "2026-03-04"),
        ("1:30", "1:30"),
        ("012", 12),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("1_000", "1_000"),
        (".5", 0.5),
        ("~", None),
        ("", None),
        ('"1"', "1"),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ("6309-2Z", "6309-2Z"),
        ("ns=2;s=P101.VibDE", "ns=2;s=P101.VibDE"),
    ],
)
def test_scalar_means_what_yaml_1_2_says(text, value):
    (document,) = Parser(f"a: {text}\n").documents()
    assert document["a"] == value
    assert type(document["a"]) is type(value)


def test_merge_keys_bring_in_what_is_not_said():
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 3}\n"
    (document,) = Parser(text).documents()
    assert document["z"] == {"a": 3, "b": 1, "c": 2}


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb: 2\na: 3\n", 3), ("a:\n  1: x\n", 2), ("a: [1\nb: 2\n", 1), ("a: *b\n", 1), ("a: !x b\n", 1)],
)
def test_what_cannot_be_meant_has_a_line(text, line):
    with pytest.raises(DocumentError) as caught:
        list(Parser(text).documents())
    assert caught.value.line == line


def test_json_is_read_with_its_lines(tmp_path):
    document = twin(title="Pump \U0001f527 1/2", tag="bad tag")
    text = json.dumps(document, indent="\t").replace("/", "\\/")
    (problem,) = load([written(tmp_path, text, "twin.json")]).problems
    assert problem.field == "spec.tag"
    assert text.splitlines()[problem.line - 1].strip().startswith('"tag"')
    document["spec"].pop("tag")
    text = json.dumps(document, indent="\t").replace("/", "\\/")
    (resource,) = load([written(tmp_path, text, "twin.json")]).resources
    assert resource.spec.title == "Pump \U0001f527 1/2"


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_utf8_with_and_without_mark(tmp_path, prefix):
    path = written(tmp_path, prefix + json.dumps(twin(title="Pumpe für Öl"), ensure_ascii=False).encode())
    (resource,) = load([path]).resources
    assert resource.spec.title == "Pumpe für Öl"


def test_items_of_a_list_are_objects_of_their_own(tmp_path):
    bad = twin(mode="watching")
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [TWIN, bad]}, indent=1)
    loaded = load([written(tmp_path, text)])
    assert len(loaded.resources) == 1
    (problem,) = loaded.problems
    assert problem.field == "spec.mode"
    assert "watching" in text.splitlines()[problem.line - 1]


def test_objects_of_other_groups_are_passed_over(tmp_path):
    text = "apiVersion: v1\nkind: Secret\nstringData: {a: b}\n---\n---\napiVersion: apps/v1\nkind: Deployment\n"
    loaded = load([written(tmp_path, text)])
    assert (loaded.resources, loaded.problems) == ((), [])


def test_what_kubectl_gives_back_can_be_read(tmp_path):
    document = twin() | {
        "metadata": TWIN["metadata"]
        | {"uid": "1", "resourceVersion": "5", "generation": 2, "creationTimestamp": None, "managedFields": [{"a": 1}]},
        "status": {"conditions": [], "observedGeneration": 2, "health": "good", "openAlerts": 0},
    }
    assert load([written(tmp_path, json.dumps(document))]).problems == []


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"title": None}, "spec.title", "This field is empty"),
        ({"title": 5}, "spec.title", '5 is not text but a number; put it in quotes: "5"'),
        ({"place": "hall"}, "spec.place", "This is text, not a mapping"),
        ({"signals": {"name": "a"}}, "spec.signals", "This is a mapping, not a list"),
        ({"aliases": [{"system": "a", "id": "x" * 121}]}, "spec.aliases[0].id", "The text has 121 characters"),
        ({"identity": {"commissioned": "2026-02-30"}}, "spec.identity.commissioned", "not a day of the calendar"),
        (
            {"maintenance": [{"start": "x" * 20, "end": "2026-01-01T00:00:00Z"}]},
            "spec.maintenance[0].start",
            "not a time",
        ),
        ({"owners": ["a", "a"]}, "spec.owners[1]", "a stands here twice"),
        ({"Plant": "x"}, "spec.Plant", "did you mean plant?"),
        ({"signals": [{"name": "a", "scale": "2"}]}, "spec.signals[0].scale", '"2" is text, not a number'),
        ({"mode": "Review"}, "spec.mode", "Did you mean review?"),
    ],
)
def test_problem_says_what_would_be_right(tmp_path, spec, field, words):
    (problem,) = load([written(tmp_path, json.dumps(twin(**spec)))]).problems
    assert problem.field == field
    assert words.lower() in str(problem).lower()
    assert problem.resource == "AssetTwin acme/p-1"
    assert problem.as_dict()["field"] == field


def test_a_file_is_read_once_however_it_is_named(tmp_path):
    path = written(tmp_path, json.dumps(TWIN))
    (tmp_path / ".hidden").mkdir()
    written(tmp_path / ".hidden", json.dumps(TWIN))
    assert len(load([tmp_path, path, tmp_path / "." / "file.yaml"]).resources) == 1


def test_a_broken_document_leaves_the_others_readable(tmp_path):
    written(tmp_path, "a: [\n", "a.yaml")
    written(tmp_path, json.dumps(TWIN), "b.yaml")
    loaded = load([tmp_path])
    assert len(loaded.resources) == 1
    assert len(loaded.problems) == 1
