"""``wheeltapper validate``: what is wrong in files, for people on a terminal and for programs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO

import click

from wheeltapper_api.load import Loaded, Problem, load
from wheeltapper_api.validate import problems_of
from wheeltapper_cli.errors import InvalidInputError

_SHOWN: Final = 200
# A shorter wait needs no words; a log needs fewer than a terminal.
_SILENT_S: Final = 1.0
_TERMINAL_S: Final = 0.1
_LOG_S: Final = 5.0


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", show_default=True)
def validate(paths: tuple[Path, ...], output: str) -> None:
    """Check PATHS, files and folders together: fields, units, references between files. A dash is standard input.

    Prints file:line: field: what is wrong, what would be right. Ends with 0 if nothing is wrong, else with 2; that is
    also the end where PATHS hold no object of wheeltapper.dev.

    \b
    Examples:
      wheeltapper validate examples/pump-station
      helm template my-plant | wheeltapper validate - classes
      wheeltapper validate plants --output json
    """
    progress = Progress(sys.stderr, time.monotonic)
    loaded = load(list(paths), progress)
    progress.say(f"Checking {len(loaded.resources):,} resources against one another")
    problems = problems_of(loaded)
    progress.close()
    if output == "json":
        click.echo(json.dumps(report(loaded, problems), ensure_ascii=False, indent=2))
    else:
        _print(loaded, problems)
    if problems:
        raise click.exceptions.Exit(InvalidInputError.exit_code)
    if not loaded.resources:
        raise InvalidInputError(
            f"No resources of wheeltapper.dev in {', '.join(map(str, paths))}. Name files or folders that have some"
        )


def report(loaded: Loaded, problems: Sequence[Problem]) -> dict[str, object]:
    """Everything as one JSON document: ``problems``, each with its place and remedy, and a ``summary``."""
    summary = {
        "files": loaded.files,
        "filesWithProblems": len({problem.file for problem in problems}),
        "resources": len(loaded.resources),
        "problems": len(problems),
    }
    return {"problems": [problem.as_dict() for problem in problems], "summary": summary}


class Progress:
    """How far a longer work is, on a terminal in one line that is written over, in a log every five seconds.

    Parameters
    ----------
    stream
        Where to write; standard output is for results.
    clock
        Seconds of a clock that never goes back.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._next = clock() + (_SILENT_S if self._terminal else _LOG_S)
        self._width = 0

    def __call__(self, done: int, total: int, path: Path) -> None:
        """Called before each file."""
        self.say(f"Reading file {done + 1:,} of {total:,}: {path.name}")

    def say(self, text: str) -> None:
        """Write a line unless one was written just now."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + (_TERMINAL_S if self._terminal else _LOG_S)
        if self._terminal:
            text = text[:78]
            self._stream.write(f"\r{text:<{self._width}}")
            self._width = len(text)
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave no half line behind."""
        if self._width:
            self._stream.write(f"\r{'':<{self._width}}\r")
            self._stream.flush()


def _print(loaded: Loaded, problems: Sequence[Problem]) -> None:
    # https://no-color.org: a terminal, unless its user wants none; click takes the colours out where there is none.
    colour = False if os.environ.get("NO_COLOR") else None
    for problem in problems[:_SHOWN]:
        click.echo(_styled(problem), color=colour)
    if len(problems) > _SHOWN:
        click.echo(f"and {len(problems) - _SHOWN:,} more; --output json has all of them")
    click.echo(f"{len(loaded.resources)} resources, {len(problems)} problems", err=True)


def _styled(problem: Problem) -> str:
    """The problem's own text, place and field set apart."""
    place = f"{problem.file}:{problem.line}"
    rest = str(problem).removeprefix(f"{place}: ")
    field, message = "", rest
    if problem.field:
        field, message = click.style(problem.field, fg="cyan") + ": ", rest.removeprefix(f"{problem.field}: ")
    what, _, remedy = message.partition("; ")
    shown = f"{what}; {click.style(remedy, fg='green')}" if remedy else what
    return f"{click.style(place, bold=True)}: {field}{shown}"
