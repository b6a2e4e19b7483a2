"""``wheeltapper replay``: exit codes, what it prints, and what it says to wrong arguments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from tests.replay.conftest import edit, flip, keep
from tests.support.lines import LINE
from wheeltapper_cli.main import cli
from wheeltapper_workers.history.stored import first_sequence
from wheeltapper_workers.history.tables import Store

PERIOD = ("--from", "2023-11-14", "--to", "2023-11-15")
MODEL = """
apiVersion: wheeltapper.dev/v1alpha1
kind: FailureModel
metadata: {name: wear, namespace: northwater}
spec:
  class: pump
  version: 1.1.0
  failureMode: {title: Bearing wear, description: Rolling elements and races pit., progression: 30d}
  inputs: [{feature: vibration-level, direction: up}]
  modes: [running]
  baseline: {from: own, atLeast: 5m}
  detector: {ewma: {smoothing: 0.2, limit: LIMIT}}
  minCoverage: 50
  severity: [{name: warn, above: 1.0, for: 20s}]
  clear: {below: 0.8, for: 30s}
  action: {recommend: Grease the bearing, when: next-shift}
"""


@pytest.fixture(scope="module")
def state(live, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    keep(live, str(folder / "tables"))
    return folder


def call(state: Path, *arguments: str):
    found = CliRunner().invoke(cli, ["replay", *arguments, "--state", str(state)])
    assert "Traceback" not in found.output
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def test_help_has_examples_on_lines_of_their_own(state):
    assert "\n    wheeltapper replay p-103-bearing-wear\n" in CliRunner().invoke(cli, ["replay", "--help"]).stdout


def test_same_bits_end_with_0(state):
    found = call(state, "p-2-wear")
    assert found.exit_code == 0
    assert "Everything is the same bits." in found.stdout
    document = json.loads(call(state, "p-2-wear", "--output", "json").stdout)
    assert document["same"] is True
    assert [hop["rows"] for hop in document["hops"]] == [hop["equal"] for hop in document["hops"]]


def test_a_difference_ends_with_1_and_says_where(state, tmp_path):
    shutil.copytree(state, tmp_path / "state")
    tables = str(tmp_path / "state" / "tables")
    row = (pc.field("asset") == "p-1") & (pc.field("block_sequence") == pc.scalar(first_of(tables)))
    edit(tables, "features", row, "speed_level", flip)
    found = call(tmp_path / "state", "p-2-wear")
    assert found.exit_code == 1
    assert "DIFFERENT: the features, made by the featurizer." in found.stdout
    assert "speed_level" in found.stdout
    assert max(map(len, found.stdout.splitlines())) <= 120


def first_of(tables: str) -> int:
    return first_sequence(Store(tables), LINE, "features")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("p-2-waer",), "No alert of northwater has an id that begins with 'p-2-waer'"),
        ((), "Name an alert, or a twin"),
        (("p-2-wear", "--twin", "p-2"), "Name an alert, or a twin"),
        (("--twin", "p-2"), "Give the period with --from and --to"),
        (("--twin", "p-2", "--from", "monday", "--to", "2023-11-15"), "--from monday is no time"),
        (("--twin", "p-2", "--from", "2023-11-15", "--to", "2023-11-14"), "ends before it begins"),
        (("--twin", "p-9", *PERIOD), "There is no twin p-9"),
    ],
)
def test_wrong_arguments_end_with_2_and_a_remedy(state, arguments, said):
    found = call(state, *arguments)
    assert found.exit_code == 2
    assert said in found.stderr


def test_unknown_alert_is_named_with_the_nearest(state):
    whole = json.loads(call(state, "p-2-wear", "--output", "json").stdout)["alertId"]
    assert f"Did you mean {whole}?" in call(state, whole[:-1] + "x").stderr


def test_no_tables_at_all(tmp_path):
    found = call(tmp_path, "p-2-wear")
    assert found.exit_code == 2
    assert "There are no tables in" in found.stderr


def test_unchanged_twin_ends_with_0(state):
    found = call(state, "--twin", "p-2", *PERIOD)
    assert found.exit_code == 0
    assert "The same: 1" in found.stdout


def test_policy_of_a_file(state, tmp_path):
    policy = tmp_path / "stricter.yaml"
    policy.write_text("severity: [{name: act, above: 0.9, for: 0s}]\nclear: {below: 0.5, for: 30s}\n")
    found = call(state, "--twin", "p-2", *PERIOD, "--policy", str(policy), "--output", "json")
    assert found.exit_code == 1
    (pair,) = json.loads(found.stdout)["changed"]
    assert (pair["before"]["severity"], pair["after"]["severity"]) == ("warn", "act")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("severity: []\nclear: {below: 0.5, for: 30s}\n", "severity"),
        ("clear: {below: 0.5, for: 30s}\n", "severity"),
        ("severity: [{name: act, above: 0.9, for: soon}]\nclear: {below: 0.5, for: 30s}\n", "severity.0.for"),
        ("[", "policy.yaml:2: "),
        ("", "documents"),
    ],
)
def test_policy_that_cannot_be_used(state, tmp_path, text, said):
    policy = tmp_path / "policy.yaml"
    policy.write_text(text)
    found = call(state, "--twin", "p-2", *PERIOD, "--policy", str(policy))
    assert found.exit_code == 2
    assert said in found.stderr


@pytest.mark.parametrize(("limit", "code"), [("10", 0), ("1000", 1)])
def test_model_of_a_file(state, tmp_path, limit, code):
    model = tmp_path / "model.yaml"
    model.write_text(MODEL.replace("LIMIT", limit))
    found = call(state, "--twin", "p-2", *PERIOD, "--model", str(model))
    assert found.exit_code == code, found.output
    assert ("Only before: none" in found.stdout) == (code == 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("class: pump", "class: fan", "is for the class fan, and the twin is of pump"),
        ("vibration-level", "temperature-level", "looks at temperature-level, of which nothing is stored"),
        ("kind: FailureModel", "kind: Failuremodel", "Failuremodel"),
    ],
)
def test_model_that_cannot_be_used(state, tmp_path, old, new, said):
    model = tmp_path / "model.yaml"
    model.write_text(MODEL.replace("LIMIT", "10").replace(old, new))
    found = call(state, "--twin", "p-2", *PERIOD, "--model", str(model))
    assert found.exit_code == 2
    assert said in found.stderr
