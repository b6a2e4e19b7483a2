"""Every wrong file is refused with the messages its first lines expect: line, field, what is wrong, what is right."""

from __future__ import annotations

import ast
import inspect
from itertools import takewhile
from pathlib import Path

import pytest

import wheeltapper_api.checks
from wheeltapper_api.checks.finding import Finding
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.reference import fields_of
from wheeltapper_api.validate import validate

ROOT = Path(__file__).parents[2]
INVALID = sorted((ROOT / "crds" / "examples" / "invalid").glob("*.yaml"))
CHECKS = Path(wheeltapper_api.checks.__file__).parent
MARK = "# expect: "


def expected(path):
    lines = takewhile(lambda line: line.startswith(MARK), path.read_text().splitlines())
    return [line.removeprefix(MARK) for line in lines]


def found(path):
    return [str(problem).removeprefix(f"{path}:") for problem in validate([path])]


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_example_is_refused_as_expected(path):
    assert expected(path), f"{path.name} does not say what to expect"
    assert found(path) == expected(path)


def test_there_are_enough_of_them():
    assert len(INVALID) >= 50


def test_every_rule_of_every_kind_is_broken_by_one():
    messages = "\n".join(line for path in INVALID for line in expected(path))
    rules = {message for kind in KINDS.values() for field in fields_of(kind).values() for message in field.rules}
    assert len(rules) >= 25
    assert [rule for rule in sorted(rules) if f": {rule}" not in messages] == []


def sites():
    """Calls in the checks that make a finding: file, first line, last line."""
    for file in sorted(CHECKS.glob("*.py")):
        if file.name == "finding.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in {"Finding", "invalid", "not_found"}:
                yield file.name, node.lineno, node.end_lineno


def test_every_check_is_shown_by_one(monkeypatch):
    made = set()
    plain = Finding.__init__

    def noted(self, *arguments, **named):
        frame = inspect.currentframe()
        while frame is not None:
            if Path(frame.f_code.co_filename).parent == CHECKS:
                made.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
            frame = frame.f_back
        plain(self, *arguments, **named)

    monkeypatch.setattr(Finding, "__init__", noted)
    for path in INVALID:
        validate([path])
    unseen = [
        f"{name}:{first}"
        for name, first, last in sites()
        if not any(file == name and first <= line <= last for file, line in made)
    ]
    assert len(list(sites())) > 40
    assert unseen == []


@pytest.mark.parametrize("name", ["pump-station", "skab"])
def test_examples_that_are_shipped_are_right(name):
    assert validate([ROOT / "examples" / name]) == []


def test_one_wrong_document_hides_nothing_about_the_others(tmp_path):
    source = (ROOT / "crds" / "examples" / "invalid" / "unit-not-ucum.yaml").read_text()
    right, _, twin = source.rpartition("---\n")
    wrong = twin.replace("p-1,", "p-2,").replace("criticality", "c").replace("class: pump", "class: pump\n  mode: auto")
    path = tmp_path / "many.yaml"
    path.write_text(f"{right}---\n{twin.replace('riverside', 'riversid')}---\n{wrong}")
    fields = {problem.field for problem in validate([path])}
    # The class is a whole object although its unit is wrong; the plant's name is misspelt in one twin only.
    assert fields == {"spec.signals[1].unit", "spec.plant", "spec.mode"}


def test_what_refers_to_a_broken_object_is_not_blamed(tmp_path):
    source = (ROOT / "crds" / "examples" / "invalid" / "bad-enum.yaml").read_text()
    path = tmp_path / "file.yaml"
    path.write_text(source)
    assert [problem.field for problem in validate([path])] == ["spec.hosting"]
    # A name that no broken object has is missing all the same.
    path.write_text(source.replace("class: pump\n  plant", "class: pmup\n  plant"))
    assert [problem.field for problem in validate([path])] == ["spec.hosting", "spec.class"]
