"""``wheeltapper evidence``: exit codes, what it prints, and what it says to wrong arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.replay.conftest import keep
from tests.support.lines import LINE
from wheeltapper_cli.main import cli


@pytest.fixture(scope="module")
def state(live, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    keep(live, str(folder / "tables"))
    return folder


def call(*arguments: str):
    found = CliRunner().invoke(cli, ["evidence", *arguments])
    assert "Traceback" not in found.output
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def test_help_has_examples_on_lines_of_their_own():
    assert "\n    wheeltapper evidence p-103-bearing-wear\n" in call("--help").stdout
    for command in ("export", "verify"):
        assert "Examples:" in call(command, "--help").stdout


def test_written_and_checked(live, tables, tmp_path, monkeypatch):
    keep(live, tables.root, storage_options=tables.options)
    state, here = tables.remembered(tmp_path, LINE.tenant), tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    written = call("p-2-wear", "--state", str(state), "--output", "json")
    assert written.exit_code == 0, written.output
    document = json.loads(written.stdout)
    (folder,) = (path.name for path in here.iterdir())
    assert folder == f"evidence-{document['alertId']}"
    checked = call("verify", folder, "--fingerprint", document["fingerprint"])
    assert checked.exit_code == 0, checked.output
    assert "every file is what was written" in checked.stdout
    assert "Everything is the same bits." in checked.stdout
    (here / folder / "index.html").write_text("all is well")
    checked = call("verify", folder)
    assert checked.exit_code == 1
    assert "CHANGED  index.html: was changed" in checked.stdout
    assert json.loads(call("verify", folder, "--output", "json").stdout)["sound"] is False


def test_plain_words(state, tmp_path):
    written = call("p-2-wear", "--state", str(state), "--to", str(tmp_path / "here"), "--context", "all")
    assert written.exit_code == 0, written.output
    assert "Everything is the same bits." in written.stdout
    assert "Fingerprint sha256:" in written.stdout
    assert str(tmp_path / "here") in written.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("p-2-waer",), "No alert of northwater has an id that begins with 'p-2-waer'"),
        (("p-2-wear", "--context", "long"), "--context: 'long' is not a duration"),
        (("p-2-wear", "--to", "."), "is there already; name another folder with --to"),
    ],
)
def test_wrong_arguments_end_with_2_and_a_remedy(state, tmp_path, arguments, said):
    found = call(*arguments, "--state", str(state))
    assert found.exit_code == 2, found.output
    assert said in found.stderr


def test_folder_that_is_no_evidence_ends_with_2(tmp_path):
    found = call("verify", str(tmp_path))
    assert found.exit_code == 2
    assert "name a folder that wheeltapper evidence has written" in found.stderr


def test_place_that_cannot_be_written_ends_with_1(state, tmp_path):
    (tmp_path / "file").write_text("")
    found = call("p-2-wear", "--state", str(state), "--to", str(tmp_path / "file" / "evidence"))
    assert found.exit_code == 1
    assert "name another folder with --to" in found.stderr
