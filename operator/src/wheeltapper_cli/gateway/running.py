"""One command in a child process, its output passed on as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wheeltapper_cli.gateway.commands import arguments, chosen
from wheeltapper_cli.gateway.frames import LARGEST, Kind, Request
from wheeltapper_cli.gateway.limits import Limits
from wheeltapper_cli.gateway.offered import Menu
from wheeltapper_cli.served import SHOWN_FOLDER

Send = Callable[[Kind, bytes], Awaitable[None]]

_LOOK_S: Final = 0.5
_WORK: Final = "work"
"""Folder in which a command runs, within its own."""
_FAILED: Final = 1
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "PYTHONPATH", "TZ")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; ``why`` is empty unless it was ended."""

    code: int
    why: str = ""


async def run(menu: Menu, request: Request, limits: Limits, send: Send) -> Ended:
    """Run a command and send what it says and, when it has ended, what it wrote.

    Raises
    ------
    NotAcceptedError
        Before anything is run, if the request is not accepted.
    """
    line = arguments(menu, request)
    with tempfile.TemporaryDirectory(prefix="command-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        _lay_out(folder, request)
        ended = await _run(line, folder, request, limits, send)
        if chosen(menu, request.command).writes and not ended.why:
            async for kind, content in _files(folder / _WORK):
                await send(kind, content)
        return ended


def _lay_out(folder: Path, request: Request) -> None:
    (folder / _WORK).mkdir()
    for file in request.files.values():
        (folder / _WORK / file.name).write_text(file.text, encoding="utf-8")


async def _run(line: list[str], folder: Path, request: Request, limits: Limits, send: Send) -> Ended:
    bounds = (limits.memory_bytes, limits.written_bytes)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wheeltapper_cli.gateway.child", *map(str, bounds), *line,
        cwd=folder / _WORK, env=_environment(folder, request), start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    why = ""
    try:
        async with asyncio.timeout(limits.seconds):
            await _follow(process, folder, limits, send)
    except TimeoutError:
        why = f"it took longer than {limits.seconds:g} s"
    except _TooMuchError as error:
        why = str(error)
    finally:
        await _end(process)
    if not why and process.returncode and process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        why = f"{name}, as when it needs more than {limits.memory_bytes // 2**20} MiB of memory"
    if why:
        await send(Kind.ERROR, f"Error: The gateway ended the command: {why}\n".encode())
        return Ended(_FAILED, why)
    return Ended(process.returncode or 0)


async def _follow(process: asyncio.subprocess.Process, folder: Path, limits: Limits, send: Send) -> None:
    """Pass on what a command says until it has ended."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    assert process.stderr is not None  # noqa: S101
    pipes = [(Kind.OUT, process.stdout), (Kind.ERROR, process.stderr)]
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(_watch(folder, limits.written_bytes))
            for task in [group.create_task(_pass_on(pipe, kind, send)) for kind, pipe in pipes]:
                await task
            await process.wait()
            watching.cancel()
    except ExceptionGroup as group_of:
        raise group_of.exceptions[0] from None  # one is enough: the others were ended because of it


class _TooMuchError(Exception):
    """A command that writes more than it may."""


async def _watch(folder: Path, most: int) -> None:
    """Look at what is written: the kernel bounds each file, not all of them together."""
    while True:
        size = await asyncio.to_thread(_size, folder)
        if size > most:
            raise _TooMuchError(f"it wrote more than {most // 2**20} MiB; ask for less at a time")
        await asyncio.sleep(_LOOK_S)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
            total += 0 if path.is_dir() else path.lstat().st_size
    return total


async def _pass_on(pipe: asyncio.StreamReader, kind: Kind, send: Send) -> None:
    while content := await pipe.read(LARGEST):
        await send(kind, content)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave nothing of the command behind, whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # The end of a process counts only when its pipes are empty, and nobody reads them any more.
    for pipe in (process.stdout, process.stderr):
        while pipe is not None and await pipe.read(LARGEST):
            pass
    await process.wait()


async def _files(folder: Path) -> AsyncIterator[tuple[Kind, bytes]]:
    for path in await asyncio.to_thread(lambda: sorted(_regular(folder))):
        yield Kind.FILE, path.relative_to(folder).as_posix().encode()
        with path.open("rb") as file:
            while content := await asyncio.to_thread(file.read, LARGEST):
                yield Kind.CONTENT, content


def _regular(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _environment(folder: Path, request: Request) -> dict[str, str]:
    """What a command is told: where the tenant's things are and how wide the person's terminal is."""
    kept = {name: text for name, text in os.environ.items() if name in _KEPT or name.startswith("WHEELTAPPER_")}
    told = {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "COLUMNS": str(request.columns),
        SHOWN_FOLDER: request.folder,
    }
    return kept | told | ({"FORCE_COLOR": "1", "TERM": "xterm-256color"} if request.colours else {})
