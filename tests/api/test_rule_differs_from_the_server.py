"""The rules that `validate` evaluates must say what the API server's CEL says, on every combination of given fields."""

from __future__ import annotations

import random
import re

import pytest
from cel_expr_python import cel

from wheeltapper_api.cel import CelError, compile_rule
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.schema import schema_of

RESERVED = {
    *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"),
    *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
}


def objects(schema, place):
    if schema.get("x-kubernetes-validations"):
        yield place, schema
    for name, child in schema.get("properties", {}).items():
        yield from objects(child, f"{place}.{name}")
    if "items" in schema:
        yield from objects(schema["items"], f"{place}[]")


PLACES = dict(pair for kind, model in KINDS.items() for pair in objects(schema_of(model), kind))
RULES = [(place, rule["rule"]) for place, schema in PLACES.items() for rule in schema["x-kubernetes-validations"]]


def sample(schema, rng):
    match schema["type"]:
        case "object":
            required = schema.get("required", [])
            return {
                name: sample(child, rng)
                for name, child in schema["properties"].items()
                if name in required or rng.random() < 0.4
            }
        case "array":
            return [sample(schema["items"], rng) for _ in range(rng.randint(1, 2))]
        case "number":
            return rng.choice([0.5, 1.0, 2.0])
        case "integer":
            return rng.randint(1, 3)
        case "boolean":
            return rng.random() < 0.5
    return rng.choice(schema.get("enum", ["a"]))


def escaped(document):
    """The document as the API server shows it to CEL: a field whose name is a word of the language is written apart."""
    if isinstance(document, dict):
        return {f"__{k}__" if k in RESERVED else k: escaped(value) for k, value in document.items()}
    return [escaped(value) for value in document] if isinstance(document, list) else document


@pytest.mark.parametrize(("place", "rule"), RULES, ids=[f"{place}-{number}" for number, (place, _) in enumerate(RULES)])
def test_rule_means_the_same_to_the_official_runtime(place, rule):
    official = cel.NewEnv(variables={"self": cel.Type.DYN}).compile(rule)
    own = compile_rule(rule)
    rng = random.Random(place + rule)
    seen = set()
    for _ in range(120):
        document = sample(PLACES[place], rng)
        expected = official.eval(data={"self": escaped(document)})
        assert expected.type() == cel.Type.BOOL, f"{expected.value()} for {document}"
        assert own(document) == expected.value(), document
        seen.add(expected.value())
    assert seen == {True, False}, "the rule never changes its mind"


@pytest.mark.parametrize(("place", "rule"), RULES, ids=[f"{place}-{number}" for number, (place, _) in enumerate(RULES)])
def test_rule_reads_only_fields_that_exist(place, rule):
    for path in re.findall(r"\bself((?:\.\w+)+)", rule):
        schema = PLACES[place]
        for name in path.strip(".").split("."):
            if name in {"all", "exists", "size"}:
                break
            assert name not in RESERVED, f"{name} is a word of CEL and has to be escaped as __{name}__"
            plain = name[2:-2] if name == f"__{name[2:-2]}__" and name[2:-2] in RESERVED else name
            assert plain in schema.get("properties", {}), f"{path} of {place}"
            schema = schema["properties"][plain]


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("has(self.a.b) && self.a.b > 1", {"a": {"b": 2}}, True),
        ("!has(self.a) || self.a == 'x'", {}, True),
        ("self.a ? 1 == 1 : 1 == 2", {"a": False}, False),
        ("self.items.exists(i, i.name == 'x')", {"items": [{"name": "y"}, {"name": "x"}]}, True),
        ("self.items.size() - 1 == 1", {"items": [1, 2]}, True),
        ("1 + 2 == 3 && -1 < 0 && 'a' in ['a', \"b\"] && true && !false", {}, True),
        ("false || false && true", {}, False),
    ],
)
def test_the_language_works(text, value, holds):
    assert compile_rule(text)(value) is holds


@pytest.mark.parametrize(
    "text", ["", "self.", "self.a.matches('x')", "(self.a", "self.a ==", "[1", "has(self)", "self.a $ 1"]
)
def test_what_is_beyond_it_is_refused_when_compiled(text):
    with pytest.raises(CelError):
        compile_rule(text)


def test_a_field_that_is_absent_is_an_error_as_on_the_server():
    with pytest.raises(CelError, match="No field a"):
        compile_rule("self.a == 1")({})
