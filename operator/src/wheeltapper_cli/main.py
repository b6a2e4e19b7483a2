"""Entry point of the command line."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from wheeltapper_cli.completion import VARIABLE
from wheeltapper_cli.served import PLUGIN, cluster_options

_PLUGIN_FILE: Final = "kubectl-twin"

# Loaded when called: `wheeltapper validate` should not wait for onnxruntime.
_COMMANDS: Final = {
    "audit": ("wheeltapper_cli.audit", "audit", "Show who asked what through the gateway, or check the log of it"),
    "backfill": ("wheeltapper_cli.backfill", "backfill", "Fill a running installation with history from a file"),
    "backup": ("wheeltapper_cli.backup", "backup", "Copy a running installation whole and consistent"),
    "completion": ("wheeltapper_cli.completion", "completion", "Print a script by which a shell completes commands"),
    "demo": ("wheeltapper_cli.demo", "demo", "A simulated pump station, from its manifests to an explained alert"),
    "evidence": (
        "wheeltapper_cli.evidence",
        "evidence",
        "Write an alert with all it rests on, or check what was written",
    ),
    "explain-field": ("wheeltapper_cli.fields", "explain_field", "Explain a field of a kind, like kubectl explain"),
    "export": ("wheeltapper_cli.export", "export", "Write rows of the tables as Parquet or CSV"),
    "gaps": ("wheeltapper_cli.gaps", "gaps", "Show which samples are missing, and why"),
    "get": ("wheeltapper_cli.get", "get", "Show twins, alerts or workers"),
    "library": ("wheeltapper_cli.library", "library", "Show the classes and failure models of the library"),
    "plan": ("wheeltapper_cli.files", "plan", "Print what resources compile to"),
    "query": ("wheeltapper_cli.get", "query", "Ask the tables with SQL"),
    "replay": ("wheeltapper_cli.replay", "replay", "Compute an alert again, or with another model or policy"),
    "restore": ("wheeltapper_cli.backup", "restore", "Make an installation of a backup"),
    "retention": ("wheeltapper_cli.retention", "retention", "Show or remove what is past its age"),
    "schema": ("wheeltapper_cli.fields", "schema", "Print the JSON Schema of the kinds, for editors"),
    "sim": ("wheeltapper_cli.sim", "sim", "Simulated machines and recordings, served over OPC UA"),
    "trace": ("wheeltapper_cli.get", "trace", "Follow an alert back to its sensors"),
    "up": ("wheeltapper_cli.up", "up", "Run resources as plain processes on this machine"),
    "validate": ("wheeltapper_cli.validation", "validate", "Check files and folders of resources"),
    "watch": ("wheeltapper_cli.screen.command", "watch", "Look at a running installation: twins, features, alerts"),
}
_HERE_ALONE: Final = {"backfill", "backup", "demo", "restore", "retention", "sim", "up", "watch"}


class _Commands(click.Group):
    """Commands by name, imported at their first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands; of those that need an installation on this machine, none to a plugin of kubectl."""
        hidden = _HERE_ALONE if ctx.find_root().obj == PLUGIN else set()
        return sorted(_COMMANDS.keys() - hidden)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Command of a name."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][2]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands without importing them."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=_COMMANDS[name][2]) for name in names), *options]


@click.group(
    cls=_Commands,
    params=cluster_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="wheeltapper")
def cli() -> None:
    """Predictive-maintenance twins, from the sensor to the work order.

    \b
    Examples:
      wheeltapper validate examples/pump-station
      wheeltapper up examples/pump-station
      wheeltapper get twins
      wheeltapper trace p-103-bearing-wear-1f00ba11
    """


def main(**options: Any) -> None:
    """Run the command line; called by the name of a plugin of kubectl, it speaks to the cluster."""
    name, told = ("wheeltapper", None) if Path(sys.argv[0]).name != _PLUGIN_FILE else (PLUGIN, PLUGIN)
    cli(prog_name=name, complete_var=VARIABLE, obj=told, **options)
