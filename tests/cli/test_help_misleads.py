"""``--help`` is the first thing a person reads: each command has examples, each example stands on a line of its own."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from wheeltapper_cli.main import cli


def commands(group, path=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands(cli))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_reads_as_it_was_written(path):
    result = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80)
    assert result.exit_code == 0
    assert "\b" not in result.output
    assert "\\b" not in result.output
    if isinstance(COMMANDS[path], click.Group):
        return
    _, _, examples = result.output.partition("Examples:")
    lines = [line.strip() for line in examples.splitlines()]
    assert any(line.startswith(("wheeltapper ", "kubectl ", "helm ", "make ")) for line in lines), "it has no example"
