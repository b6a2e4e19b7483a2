"""A command that a gateway runs: what was asked is sent, what comes back is shown and written."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from wheeltapper_cli.cluster.reach import Cluster
from wheeltapper_cli.cluster.received import Received
from wheeltapper_cli.errors import CommandError, InvalidInputError
from wheeltapper_cli.gateway.frames import PATH, FrameError, Kind, Refusal, Request, Text, read_frame
from wheeltapper_cli.served import Choice, Served

_LARGEST_FILE: Final = 512 * 2**10
_USABLE: Final = range(400, 429)
"""Answers that say that what was given cannot be used; others, that it does not work now."""


def run(choice: Choice, command: Served, context: click.Context) -> int:
    """Have the gateway of the chosen tenant run a command; its exit code."""
    target, request = target_of(command, context), request_of(command, context)
    with (
        Received(target, command.writes_default) as received,
        contextlib.closing(Cluster(choice)) as cluster,
        cluster.connected(cluster.gateway()) as connection,
    ):
        try:
            answer = _asked(connection, request, cluster.token())
            return _shown(answer, received)
        except (FrameError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise CommandError(f"The gateway's answer broke off: {error or type(error).__name__}") from error


def request_of(command: Served, context: click.Context) -> Request:
    """What a person asked, as it is sent: what they left to the command's own defaults is left out."""
    values = {name: context.params[name] for name in command.accepted if _is_given(context, name)}
    target = target_of(command, context)
    if target is not None:
        values[command.writes] = target.name
    return Request(
        command=_path(context),
        options={name: _plain(value) for name, value in values.items() if name not in command.reads},
        files={name: _read(value) for name, value in values.items() if name in command.reads},
        folder=str(Path(context.params[command.writes]).parent) if target is not None else "",
        columns=min(max(shutil.get_terminal_size().columns, 20), 1000),
        colours=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
    )


def target_of(command: Served, context: click.Context) -> Path | None:
    """What a person wants written, its whole path."""
    given = context.params.get(command.writes)
    return Path(os.path.abspath(given)) if given is not None else None  # noqa: PTH100 - no link is to be followed


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}


def _path(context: click.Context) -> list[str]:
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, str(context.info_name))
        context = context.parent
    return names


def _plain(value: Any) -> bool | str | list[str]:
    if isinstance(value, bool):
        return value
    return [str(one) for one in value] if isinstance(value, tuple) else str(value)


def _read(path: Path) -> Text:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InvalidInputError(f"{path} is larger than {_LARGEST_FILE // 2**10} KiB")
        return Text(name=path.name, text=path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from error


def _asked(connection: http.client.HTTPConnection, request: Request, token: str) -> http.client.HTTPResponse:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", PATH, request.model_dump_json(exclude_defaults=True).encode(), headers)
    answer = connection.getresponse()
    if answer.status == http.HTTPStatus.OK:
        return answer
    try:
        message = Refusal.model_validate_json(answer.read(2**20)).message
    except ValueError:
        message = f"The gateway answers {answer.status} {answer.reason}"
    raise InvalidInputError(message) if answer.status in _USABLE else CommandError(message)


def _shown(answer: http.client.HTTPResponse, received: Received) -> int:
    streams = {Kind.OUT: sys.stdout.buffer, Kind.ERROR: sys.stderr.buffer}
    while True:
        kind, content = read_frame(answer.read)
        match kind:
            case Kind.OUT | Kind.ERROR:
                streams[kind].write(content)
                streams[kind].flush()
            case Kind.FILE:
                received.begin(content.decode(errors="replace"))
            case Kind.CONTENT:
                received.content(content)
            case Kind.END:
                received.finish()
                return int(content) if content.isdigit() else 1
