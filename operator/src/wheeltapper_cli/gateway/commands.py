"""From a request to the command line of a child process. Nothing is run here."""

from __future__ import annotations

from collections.abc import Sequence

from wheeltapper_cli.gateway.frames import Request
from wheeltapper_cli.gateway.offered import Menu, Offered, Parameter

_Value = bool | str | Sequence[str]
_LONGEST_NAME = 200


class NotAcceptedError(Exception):
    """A request that no gateway runs; the message says why."""


def chosen(menu: Menu, path: Sequence[str]) -> Offered:
    """Command of a path of names such as ``get``, ``twins``.

    Raises
    ------
    NotAcceptedError
        If there is none.
    """
    found = menu.get(" ".join(path))
    if found is None or any(" " in name for name in path):
        raise NotAcceptedError(f"A gateway does not run {' '.join(path)!r}; it runs {', '.join(menu)}")
    return found


def arguments(menu: Menu, request: Request) -> list[str]:
    """Arguments for ``python -m wheeltapper_cli``.

    Every value stands behind the ``=`` of its option or behind ``--``, so none is ever taken for an option.

    Raises
    ------
    NotAcceptedError
        If the command or something given to it is not accepted.
    """
    command = chosen(menu, request.command)
    _refuse_what_it_does_not_take(command, request)
    options, positional = [*request.command], ["--"]
    for parameter in command.parameters:
        for value in _values(parameter, request):
            if parameter.option:
                options.append(parameter.option if value is True else f"{parameter.option}={value}")
            else:
                positional.append(str(value))
    return options + positional


def _refuse_what_it_does_not_take(command: Offered, request: Request) -> None:
    known = {parameter.name: parameter.takes for parameter in command.parameters}
    for name in sorted(request.options.keys() | request.files.keys()):
        if name not in known:
            raise NotAcceptedError(
                f"{' '.join(request.command)} takes no {name!r} here; both sides should be of one version"
            )
        if (known[name] == "file") != (name in request.files) or name in request.options.keys() & request.files.keys():
            raise NotAcceptedError(f"{name}: the content of a file has to come with the request, and only of a file")
    names = [file.name for file in request.files.values()]
    if len(names) > len(set(names)):
        raise NotAcceptedError(f"Several files are named {names[0]}; give each a name of its own")


def _values(parameter: Parameter, request: Request) -> Sequence[str | bool]:
    """Values of a parameter, checked; what files they name lie in the folder in which the command runs."""
    name = parameter.name
    if parameter.takes == "file":
        return [_plain_name(request.files[name].name)] if name in request.files else []
    if name not in request.options:
        return []
    value: _Value = request.options[name]
    match parameter.takes:
        case "flag":
            if value is not True:
                raise NotAcceptedError(f"{name} takes no value")
            return [True]
        case "texts":
            if isinstance(value, bool | str):
                raise NotAcceptedError(f"{name} takes a list")
            return [_text(name, one) for one in value]
        case "target":
            return [_plain_name(_text(name, value))]
        case "text":
            return [_text(name, value)]


def _text(name: str, value: _Value) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise NotAcceptedError(f"{name} takes one text")
    return value


def _plain_name(text: str) -> str:
    """Name of one file or folder: where it lies is the person's business."""
    if text in {"", ".", ".."} or {"/", "\0"} & set(text) or len(text.encode()) > _LONGEST_NAME:
        raise NotAcceptedError(f"{text!r} is no name of a file or folder")
    return text
