"""What a gateway runs, as its command line says it: ``python -m wheeltapper_cli.gateway.offered``.

The gateway asks this of a process of its own when it starts. The commands' imports take three times the memory of all
the rest of it, and the gateway itself needs none of them.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from typing import Literal

import click
from pydantic import TypeAdapter

from wheeltapper_api.fields import Model
from wheeltapper_cli.served import Resource, Served


class Parameter(Model):
    """A parameter that may come with a request."""

    name: str
    option: str
    """Such as ``--output``; empty for an argument."""
    takes: Literal["flag", "text", "texts", "file", "target"]
    """``file``: the content of a file comes with the request. ``target``: the name of what is written."""


class Offered(Model):
    """A command that a gateway runs."""

    resource: Resource
    parameters: list[Parameter]

    @property
    def writes(self) -> bool:
        """Whether what is in its folder at the end is sent."""
        return any(parameter.takes == "target" for parameter in self.parameters)


Menu = dict[str, Offered]
"""By the command's path, such as ``get twins``."""
_MENU: TypeAdapter[Menu] = TypeAdapter(Menu)


def described() -> Menu:
    """Every command that is marked as served, of the whole tree."""
    main = importlib.import_module("wheeltapper_cli.main")
    return {" ".join(path): _offered(command) for path, command in _served(main.cli, ())}


async def ask() -> Menu:
    """The same, found out in another process.

    Raises
    ------
    RuntimeError
        If that fails; what it said is in the log.
    """
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("The command line cannot be asked for its commands")
    return _MENU.validate_json(told)


def _served(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Served]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _served(command, (*path, name))
        elif isinstance(command, Served):
            yield (*path, name), command


def _offered(command: Served) -> Offered:
    return Offered(
        resource=command.resource,
        parameters=[_parameter(command, name, found) for name, found in command.accepted.items()],
    )


def _parameter(command: Served, name: str, found: click.Parameter) -> Parameter:
    takes: Literal["flag", "text", "texts", "file", "target"] = "texts" if found.multiple else "text"
    if name in command.reads:
        takes = "file"
    elif name == command.writes:
        takes = "target"
    elif isinstance(found, click.Option) and found.is_flag:
        takes = "flag"
    return Parameter(name=name, option=found.opts[0] if isinstance(found, click.Option) else "", takes=takes)


if __name__ == "__main__":
    click.echo(_MENU.dump_json(described()))
