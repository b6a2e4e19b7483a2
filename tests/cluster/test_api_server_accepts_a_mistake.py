"""A mistake that the schemas describe must be refused at apply time, at the field and in the words that validate uses.

The table says what only ``wheeltapper validate`` finds; a mistake that the API server learns to refuse has to leave it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.cluster.examples import INVALID, expectations, with_namespaces
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.reference import fields_of

# A schema sees one object, and a rule on two lists of it costs more than the server allows.
REFERENCES = set(
    """
    addressing-from-no-connection addressing-of-another-protocol addressing-of-no-class addressing-of-no-signal
    alias-of-two bands-of-no-feature binding-of-another-protocol class-not-found connection-not-found
    equals-no-state failure-model-not-found feature-of-no-signal function-of-another-kind input-of-no-feature
    input-without-limit library-model-not-found limit-exceeded limit-of-no-input minus-of-another-kind
    mode-condition-of-no-feature mode-of-no-class mode-waits-for-itself namespace-of-no-tenant
    namespace-of-two-tenants need-met-by-another-feature need-not-met no-namespace-among-two orders-of-no-speed
    override-clears-above own-class-without-the-librarys-feature parts-in-a-loop plant-not-found
    position-not-met relation-to-nothing required-signal-unbound required-signals-without-tag route-of-no-plant
    signal-not-of-the-class since-no-mode spectrum-of-a-gauge speed-not-found tag-of-two twin-in-the-library
    two-of-one-name unit-of-a-state
    """.split()
)
# What CEL cannot read: units, durations with days, and time zones.
MEANINGS = set(
    """
    band-above-half-the-sample-rate minus-not-convertible orders-above-half-the-sample-rate
    own-contract-cannot-be-kept source-unit-not-convertible stale-before-the-next-sample time-zone-unknown
    unit-not-ucum unit-of-a-source-not-ucum unit-of-another-quantity window-shorter-than-interval
    window-shorter-than-step
    """.split()
)
# What a pattern or a rule on one object could say, and none says yet.
NOT_YET = set(
    """
    addressing-without-tag edges-not-rising hash-before-the-end interval-zero library-as-a-tenant
    maintenance-ends-before-it-begins mode-never-reached node-is-no-node-id part-of-itself
    severities-out-of-order step-zero tag-in-a-twins-own-address wildcard-within-a-level
    """.split()
)
# What kubectl has made right, or another thing, before the server sees it.
READ_OTHERWISE = set(
    """
    duplicate-key key-is-off leading-zero-port policy-in-a-namespace tag-of-python unquoted-yes-for-true
    """.split()
)
OURS_ALONE = REFERENCES | MEANINGS | NOT_YET | READ_OTHERWISE
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
    assert said
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


def test_the_table_names_files_that_exist():
    assert {path.stem for path in INVALID} >= OURS_ALONE
    assert len(OURS_ALONE) == sum(map(len, (REFERENCES, MEANINGS, NOT_YET, READ_OTHERWISE)))


def test_every_rule_speaks_on_the_server(refusal):
    """Each rule of each kind is in some refusal, so none is hidden behind another for good."""
    told = "\n".join(refusal(path) for path in INVALID if path.stem not in OURS_ALONE)
    assert [rule for rule in sorted(RULES) if rule not in told] == []
