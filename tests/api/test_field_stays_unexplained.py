"""Whoever asks what a field means gets an answer: for every field of every kind, and for a name that is almost one."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from wheeltapper_api.field_examples import examples
from wheeltapper_api.field_words import VALUES, WORDS, words_for
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.kinds.assetclass import SignalKind
from wheeltapper_api.reference import fields_of, find_field, kind_words, value_words
from wheeltapper_cli.main import cli

FIELDS = [field for kind in KINDS.values() for field in fields_of(kind).values()]


def asked(*words):
    return CliRunner().invoke(cli, ["explain-field", *words])


def test_every_field_says_what_it_is():
    assert len(FIELDS) > 300
    assert [field.name for field in FIELDS if not field.description] == []


def test_words_are_kept_where_the_field_is_as_soon_as_it_has_some():
    seen = {model.__name__: model for kind in KINDS.values() for model in models(kind)}
    for name, words in WORDS.items():
        fields = {field.alias or key: field for key, field in seen[name].model_fields.items()}
        assert words.keys() <= fields.keys(), name
        assert [key for key in words if fields[key].description] == [], f"{name} explains these itself"


def models(kind):
    waiting, found = [kind], set()
    while waiting:
        model = waiting.pop()
        if model in found:
            continue
        found |= {base for base in model.__mro__ if "model_fields" in dir(base)}
        for field in model.model_fields.values():
            waiting += [part for part in parts(field.annotation) if hasattr(part, "model_fields")]
    return found


def parts(annotation):
    yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from parts(argument)


def test_values_that_are_explained_exist():
    enums = {value for field in FIELDS for value in field.values}
    for place, words in VALUES.items():
        kind, _, path = place.partition(".")
        known = set(fields_of(KINDS[kind])[path].values) if path else enums
        assert words.keys() <= known, place


def test_a_value_is_explained_by_the_words_under_it():
    assert value_words(SignalKind)["gauge"] == "A number at a time."
    assert fields_of(KINDS["AssetClass"])["spec.signals.kind"].values["alarm"].startswith("A condition the source")


def test_nearest_class_that_declares_a_field_explains_it():
    assert words_for(KINDS["Plant"].__mro__, "kind") == "Name of the kind."
    assert words_for((int,), "kind") is None


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_can_be_asked_for(field):
    assert find_field(field.name).field == field
    shown = asked(field.name)
    assert shown.exit_code == 0
    assert shown.stdout.startswith(field.name + "\n")
    assert field.description.split()[0] in shown.stdout
    assert json.loads(asked(field.name, "--output", "json").stdout)["name"] == field.name


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_example_shows_the_field(field):
    example = examples().get(f"{field.kind}.{field.path}")
    if example is None or example["yaml"].endswith("# and more"):
        return
    at = yaml.safe_load(example["yaml"])
    for step in field.path.split("."):
        at = at[0] if isinstance(at, list) else at
        assert step in at
        at = at[step]


def test_most_fields_have_an_example():
    wanted = [field for field in FIELDS if field.path.startswith("spec.")]
    assert len([field for field in wanted if f"{field.kind}.{field.path}" in examples()]) > 0.9 * len(wanted)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("twin", "assettwin"),
        ("twins.spec", "assettwin.spec"),
        ("AssetTwins.Spec.signals[0].Node", "assettwin.spec.signals.node"),
        ("acl.spec.signals.0.statistic", "assetclass.spec.signals.statistic"),
        ("fmodel.spec.severity[*].for", "failuremodel.spec.severity.for"),
        (" plant.spec. ", "plant.spec"),
    ],
)
def test_a_field_is_found_however_it_is_written(path, name):
    assert find_field(path).field.name == name


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "assettwin.spec.critcality",
            "no field critcality in assettwin.spec. Did you mean assettwin.spec.criticality?",
        ),
        ("assettwin.spec.unit", "Did you mean assettwin.spec.signals.unit?"),
        ("assettwn", "There is no kind assettwn. Did you mean assettwin?"),
        ("xyz", "Known are tenantpolicy, plant, assetclass, failuremodel, assettwin"),
        ("plant.spec.title.x", "no field x in plant.spec.title. It has no fields below it"),
        ("plant.spec.connections.opcua.xyz", "It has endpoint, security,"),
    ],
)
def test_a_wrong_path_gets_the_nearest(path, words):
    shown = asked(path)
    assert shown.exit_code == 2
    assert words in shown.stderr
    assert shown.stdout == ""


def test_what_a_twin_has_from_its_class_is_explained_there():
    shown = asked("assettwin.spec.signals.statistic")
    assert shown.exit_code == 0
    assert (
        shown.stderr
        == "assettwin.spec.signals has no field statistic of its own; this is assetclass.spec.signals.statistic.\n"
    )
    for words in (
        "assetclass.spec.signals.statistic",
        "optional, instant where nothing is said",
        "rms ",
        "Example, from ",
    ):
        assert words in shown.stdout


def test_a_mapping_lists_its_fields_its_rules_and_which_are_required():
    shown = asked("plant.spec.connections").stdout
    for words in ("list of Connection", "name*", "opcua", "Give exactly one of opcua, mqtt and modbus", "* required"):
        assert words in shown
    assert "endpoint*" not in shown
    assert "opcua.endpoint*" in asked("plant.spec.connections", "--recursive").stdout


def test_without_a_path_the_kinds_are_listed():
    assert all(kind.lower() in asked().stdout for kind in KINDS)
    assert [kind["kind"] for kind in json.loads(asked("-o", "json").stdout)] == list(KINDS)


def test_every_name_of_a_kind_is_known():
    assert all(find_field(word).field for word in kind_words())


def test_schema_is_printed_or_written(tmp_path):
    runner = CliRunner()
    printed = runner.invoke(cli, ["schema", "twin"])
    assert json.loads(printed.stdout)["title"] == "AssetTwin"
    assert runner.invoke(cli, ["schema", "-o", str(tmp_path / "all.json")]).exit_code == 0
    assert set(json.loads((tmp_path / "all.json").read_text())["$defs"]) == set(KINDS)
    assert runner.invoke(cli, ["schema", "twn"]).exit_code == 2
    lost = runner.invoke(cli, ["schema", "-o", str(tmp_path / "no" / "all.json")])
    assert (lost.exit_code, "cannot be written" in lost.stderr) == (1, True)
