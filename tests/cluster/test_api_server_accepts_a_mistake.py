"""A mistake that the schemas describe must be refused at apply time, at the field and in the words that validate uses.

``left_to_validate.yaml`` says what only ``wheeltapper validate`` finds; a mistake that the API server learns to refuse
has to leave it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.cluster.examples import INVALID, expectations, with_namespaces
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.reference import fields_of

TABLE = yaml.safe_load((Path(__file__).parent / "left_to_validate.yaml").read_text())
OURS_ALONE = {name for names in TABLE.values() for name in names}
FIELD = re.compile(r"\d+: ((?:metadata|spec)[^ ]*): (.*)")
RULES = {message for kind in KINDS.values() for field in fields_of(kind).values() for message in field.rules}


@pytest.fixture(scope="module")
def server(cluster, kinds):
    names = {name for path in INVALID for name in re.findall(r"namespace: ([a-z-]+)", path.read_text())}
    with_namespaces(cluster, ({"metadata": {"namespace": name}} for name in names))
    return cluster


@pytest.fixture(scope="module")
def refusal(server):
    @cache
    def said(path: Path) -> str:
        """What a person reads who applies a file; empty if it is taken."""
        done = server.try_kubectl("apply", "--dry-run=server", "--validate=strict", f"--filename={path}")
        assert (done.returncode == 0) == (done.stderr == ""), done.stderr
        return done.stderr

    return said


@pytest.mark.parametrize("path", [path for path in INVALID if path.stem not in OURS_ALONE], ids=lambda path: path.stem)
def test_mistake_is_refused_where_it_is(refusal, path):
    said = refusal(path)
    assert said, "the API server takes it: if no schema can refuse it, say so in left_to_validate.yaml"
    for line in expectations(path):
        if (found := FIELD.fullmatch(line)) is None:
            continue  # a file that is not YAML, or of no kind: there is no field to name
        field, message = found.groups()
        if "error parsing" in said:
            assert "json: unsupported value" in said  # an infinite number goes through no JSON
        else:
            assert f"{field}: " in said or f'unknown field "{field}"' in said, said
        if message in RULES:
            assert message in said, said


@pytest.mark.parametrize("path", [path for path in INVALID if path.stem in OURS_ALONE], ids=lambda path: path.stem)
def test_mistake_is_found_by_validate_alone(refusal, path):
    assert refusal(path) == "", "the API server refuses it, too: take it from the table"


def test_a_wrong_duration_is_told_what_durations_look_like(refusal):
    (path,) = (path for path in INVALID if path.stem == "bad-duration")
    assert "spec.pipeline.every in body should match '^[0-9]{1,6}(ms|s|m|h|d)$'" in refusal(path)


def test_the_table_names_files_that_exist():
    assert {path.stem for path in INVALID} >= OURS_ALONE
    assert len(OURS_ALONE) == sum(map(len, TABLE.values()))


def test_every_rule_speaks_on_the_server(refusal):
    """Each rule of each kind is in some refusal, so none is hidden behind another for good."""
    told = "\n".join(refusal(path) for path in INVALID if path.stem not in OURS_ALONE)
    assert [rule for rule in sorted(RULES) if rule not in told] == []
