"""``wheeltapper validate`` must be fit for people, for logs and for programs, and must not keep any of them waiting."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from wheeltapper_api.load import load
from wheeltapper_cli.main import cli
from wheeltapper_cli.validation import Progress

ROOT = Path(__file__).parents[2]
VALID = ROOT / "examples" / "pump-station"
INVALID = ROOT / "crds" / "examples" / "invalid"
WRONG = INVALID / "bad-enum.yaml"
TENANT = "apiVersion: wheeltapper.dev/v1alpha1\nkind: TenantPolicy\nmetadata: {name: %s}\n"


def run(*arguments, **options):
    return CliRunner().invoke(cli, ["validate", *map(str, arguments)], **options)


def test_nothing_wrong_ends_with_zero():
    shown = run(VALID)
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr.endswith("resources, 0 problems\n")


def test_a_problem_ends_with_two_and_leaves_results_and_remarks_apart():
    shown = run(WRONG)
    assert shown.exit_code == 2
    assert (
        shown.stdout
        == f"{WRONG}:30: spec.hosting: on-premises is not possible here; write one of cloud, edge, hybrid, private\n"
    )
    assert shown.stderr == "4 resources, 1 problems\n"


@pytest.mark.parametrize(
    "paths", [(VALID,), (WRONG,), (WRONG, INVALID / "quote-not-closed.yaml", ROOT / "nothing.yaml")]
)
def test_a_program_gets_everything_as_json(paths):
    shown = run(*paths, "--output", "json")
    report = json.loads(shown.stdout)
    assert shown.stderr == ""
    assert report["summary"]["problems"] == len(report["problems"])
    assert report["summary"]["files"] >= len(paths)
    for problem in report["problems"]:
        assert {"file", "line", "column", "field", "message", "remedy", "resource"} <= problem.keys()
        assert problem["line"] >= 1
        assert problem["column"] >= 1
        assert problem["remedy"]
    assert (shown.exit_code == 2) == bool(report["problems"])


def test_column_is_where_the_field_begins():
    (problem,) = json.loads(run(INVALID / "text-for-a-number.yaml", "-o", "json").stdout)["problems"]
    line = (INVALID / "text-for-a-number.yaml").read_text().split("\n")[problem["line"] - 1]
    assert line[problem["column"] - 1 :].startswith("above:")


def test_a_folder_without_objects_is_the_wrong_folder(tmp_path):
    (tmp_path / "values.yaml").write_text("a: 1\n")
    shown = run(tmp_path)
    assert shown.exit_code == 2
    assert "No resources of wheeltapper.dev" in shown.stderr


def test_standard_input_can_be_piped():
    shown = run("-", input=TENANT % "A")
    assert shown.exit_code == 2
    assert shown.stdout.startswith("<stdin>:3: metadata.name: A is not a name")


def test_a_path_that_is_not_there_is_named_with_the_other_problems():
    shown = run(WRONG, "nowhere.yaml")
    assert shown.exit_code == 2
    assert "bad-enum.yaml:30" in shown.stdout
    assert "nowhere.yaml:1: The file cannot be read: No such file or directory" in shown.stdout


def test_colours_are_for_a_terminal_that_wants_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" not in run(WRONG).stdout
    coloured = run(WRONG, color=True).stdout
    assert "\x1b[" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run(WRONG, color=True).stdout


def test_thousands_of_problems_do_not_flood_the_terminal(tmp_path):
    path = tmp_path / "many.yaml"
    path.write_text("---\n".join(TENANT % f"A{n}" for n in range(300)))
    shown = run(path)
    assert len(shown.stdout.splitlines()) == 201
    assert shown.stdout.endswith("and 100 more; --output json has all of them\n")
    assert len(json.loads(run(path, "-o", "json").stdout)["problems"]) == 300


class Terminal(io.StringIO):
    def isatty(self):
        return True


def folder_of(tmp_path, count):
    for number in range(count):
        (tmp_path / f"{number:04}.yaml").write_text(TENANT % f"t-{number}")
    return tmp_path


@pytest.mark.parametrize(("stream", "lines"), [(Terminal(), 0), (io.StringIO(), 20)], ids=["terminal", "log"])
def test_a_thousand_files_show_how_far_it_is(tmp_path, stream, lines):
    time_s = iter(number * 0.1 for number in range(10_000))
    progress = Progress(stream, lambda: next(time_s))
    loaded = load([folder_of(tmp_path, 1000)], progress)
    progress.close()
    assert (len(loaded.resources), loaded.files) == (1000, 1000)
    shown = stream.getvalue()
    assert "of 1,000: " in shown
    assert shown.count("\n") == pytest.approx(lines, abs=1)
    if lines == 0:
        assert shown.endswith("\r")
        assert max(len(part) for part in shown.split("\r")) <= 80


def test_a_short_work_shows_no_progress():
    stream = Terminal()
    progress = Progress(stream, lambda: 0.0)
    load([WRONG], progress)
    progress.close()
    assert stream.getvalue() == ""


def test_the_command_itself_runs():
    command = [sys.executable, "-m", "wheeltapper_cli", "validate", str(WRONG)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "\x1b[" in done.stdout) == (2, False)
    assert "Traceback" not in done.stderr
