"""Completion in shells: ``wheeltapper completion SHELL``, and what kubectl asks for its plugin."""

from __future__ import annotations

import sys
from typing import Final

import click
from click.shell_completion import ShellComplete, get_completion_class

from wheeltapper_cli.served import PLUGIN

VARIABLE: Final = "_WHEELTAPPER_COMPLETE"
"""Environment variable by which a shell's script asks for completions."""
_PROGRAMS: Final = ("wheeltapper", "kubectl-twin")
_FILES, _NO_FILES = ":0", ":4"
"""Last line of an answer to kubectl (a directive of Cobra's): whether files may stand here."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script by which SHELL completes commands and options.

    kubectl completes its plugin by itself where kubectl_complete-twin is on the path, as it is beside kubectl-twin.

    \b
    Examples:
      wheeltapper completion bash > ~/.local/share/bash-completion/completions/wheeltapper
      wheeltapper completion zsh > ~/.zfunc/_wheeltapper
      wheeltapper completion fish > ~/.config/fish/completions/wheeltapper.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    for program in _PROGRAMS:
        click.echo(kind(_commands(), {}, program, VARIABLE).source())


def kubectl() -> None:
    """Entry point ``kubectl_complete-twin``: the words so far, the last of which is not finished yet."""
    *before, begun = sys.argv[1:] or [""]
    found = ShellComplete(_commands(), {"obj": PLUGIN}, PLUGIN, VARIABLE).get_completions(before, begun)
    for item in found:
        if item.type == "plain":
            click.echo(f"{item.value}\t{item.help or ''}")
    click.echo(_FILES if any(item.type in {"file", "dir"} for item in found) else _NO_FILES)


def _commands() -> click.Group:
    from wheeltapper_cli.main import cli  # noqa: PLC0415 - which has this among its commands

    return cli
