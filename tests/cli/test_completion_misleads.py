"""What a shell offers is what there is, quickly, and kubectl understands it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.cli.test_help_misleads import COMMANDS
from wheeltapper_cli.gateway.offered import described
from wheeltapper_cli.main import _COMMANDS, _HERE_ALONE, cli
from wheeltapper_cli.served import PLUGIN

KUBECTL = "import sys; from wheeltapper_cli.completion import kubectl; kubectl()"


def kubectl(*words):
    """Lines that kubectl is told, the directive last."""
    done = subprocess.run(
        [sys.executable, "-c", KUBECTL, *words], capture_output=True, text=True, check=True, timeout=100
    )
    return done.stdout.splitlines()


def test_kubectl_is_offered_commands_and_options():
    *commands, directive = kubectl("")
    assert "query\tAsk the tables with SQL" in commands
    assert not any(line.startswith("up\t") for line in commands)
    assert directive == ":4"
    twins, directive = kubectl("get", "tw")
    assert twins.startswith("twins\tShow every twin with")
    assert directive == ":4"
    assert [line.split("\t")[0] for line in kubectl("get", "alerts", "--output", "")] == ["text", "json", ":4"]
    assert "--namespace" in {line.split("\t")[0] for line in kubectl("trace", "--")}


def test_kubectl_is_told_where_files_may_stand():
    assert kubectl("validate", "") == [":0"]


def test_entry_points_are_the_names_that_kubectl_looks_for():
    scripts = tomllib.loads(Path("pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["kubectl-twin"] == scripts["wheeltapper"] == "wheeltapper_cli.main:main"
    assert scripts["kubectl_complete-twin"] == "wheeltapper_cli.completion:kubectl"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_for_both_names(shell):
    found = CliRunner().invoke(cli, ["completion", shell])
    assert found.exit_code == 0
    assert "_WHEELTAPPER_COMPLETE" in found.output
    assert "kubectl-twin" in found.output


def test_bash_is_offered_what_there_is():
    program = "from wheeltapper_cli.main import main; main()"
    told = {"_WHEELTAPPER_COMPLETE": "bash_complete", "COMP_WORDS": "wheeltapper ge", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "plain,get\n"


def test_names_are_offered_without_loading_the_commands():
    code = f"{KUBECTL}; assert not {{'pyarrow', 'kubernetes'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code, "qu"], capture_output=True, check=True, timeout=100)


def test_plugin_shows_what_a_cluster_answers():
    """A command is either hidden there, or answers from a cluster, or needs files alone."""
    shown = CliRunner().invoke(cli, ["--help"], obj=PLUGIN).output
    for name in _COMMANDS:
        own = [
            command for path, command in COMMANDS.items() if path[0] == name and not isinstance(command, click.Group)
        ]
        needs_state = all(any(parameter.name == "state" for parameter in command.params) for command in own)
        served = any(path.split()[0] == name for path in described())
        assert (f"\n  {name} " in shown) == (name not in _HERE_ALONE)
        if name in _HERE_ALONE:
            assert not served
        else:
            assert served or not needs_state, name
