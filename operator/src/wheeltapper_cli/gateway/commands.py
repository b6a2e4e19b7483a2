"""From a request to the command line of a child process. Nothing is run here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

from wheeltapper_cli.gateway.frames import Request
from wheeltapper_cli.main import cli
from wheeltapper_cli.served import Served

_Value = bool | str | Sequence[str]


class NotAcceptedError(Exception):
    """A request that no gateway runs; the message says why."""


def served(path: Sequence[str]) -> Served:
    """Command of a path of names such as ``get twins``.

    Raises
    ------
    NotAcceptedError
        If there is none, or it is not for gateways.
    """
    found: click.Command = cli
    context = click.Context(cli)
    for name in path:
        inner = found.get_command(context, name) if isinstance(found, click.Group) else None
        if inner is None:
            raise NotAcceptedError(
                f"This gateway knows no command {' '.join(path)}; both sides should be of one version"
            )
        found = inner
    if not isinstance(found, Served):
        raise NotAcceptedError(f"{' '.join(path)} is no command that a gateway runs")
    return found


def arguments(request: Request) -> list[str]:
    """Arguments for ``python -m wheeltapper_cli``.

    Every value stands behind the ``=`` of its option or behind ``--``, so none is ever taken for an option.

    Raises
    ------
    NotAcceptedError
        If the command or one of its options is not accepted.
    """
    command = served(request.command)
    accepted = command.accepted
    for name in sorted((request.options.keys() | request.files.keys()) - accepted.keys()):
        raise NotAcceptedError(f"{' '.join(request.command)} takes no {name} here; both sides should be of one version")
    names = [file.name for file in request.files.values()]
    if len(names) > len(set(names)):
        raise NotAcceptedError(f"Several files are named {names[0]}; give each a name of its own")
    options, positional = [*request.command], ["--"]
    for name, value in _values(command, request):
        parameter = accepted[name]
        if isinstance(parameter, click.Option):
            options += _option(parameter, value)
        else:
            positional.append(_text(name, value))
    return options + positional


def _values(command: Served, request: Request) -> Iterator[tuple[str, _Value]]:
    """Values in the order of the command's parameters; what files they name lie in the folder in which it runs."""
    given: Mapping[str, _Value] = request.options
    for name in command.accepted:
        if name in command.reads:
            if name in given:
                raise NotAcceptedError(f"{name} names a file; its content has to come with the request")
            if name in request.files:
                yield name, _plain_name(request.files[name].name)
        elif name in request.files:
            raise NotAcceptedError(f"{name} names no file that is read")
        elif name == command.writes and name in given:
            yield name, _plain_name(_text(name, given[name]))
        elif name in given:
            yield name, given[name]


def _option(option: click.Option, value: _Value) -> list[str]:
    flag = option.opts[0]
    if option.is_flag:
        if value is not True:
            raise NotAcceptedError(f"{flag} takes no value")
        return [flag]
    if option.multiple:
        if isinstance(value, bool | str):
            raise NotAcceptedError(f"{flag} takes a list")
        return [f"{flag}={_text(flag, one)}" for one in value]
    return [f"{flag}={_text(flag, value)}"]


def _text(name: str, value: _Value) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise NotAcceptedError(f"{name} takes one text")
    return value


def _plain_name(text: str) -> str:
    """Name of one file or folder: where it lies is the person's business."""
    if text in {"", ".", ".."} or {"/", "\0"} & set(text) or len(text.encode()) > 200:
        raise NotAcceptedError(f"{text!r} is no name of a file or folder")
    return text
