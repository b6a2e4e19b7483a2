"""What a child writes: cut into lines of bounded length, kept in a log of bounded size."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

LINE_BYTES: Final = 4096
LOG_BYTES: Final = 5 * 2**20
_READ_BYTES: Final = 64 * 2**10

OnLine = Callable[[str, str], None]


class LineCutter:
    """Bytes in, whole lines out; of a line longer than ``LINE_BYTES`` only the beginning is kept. Pure."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[str]:
        """Lines that end in ``data``, and the beginning of one that has grown too long, at once."""
        *whole, rest = (self._rest + data).split(b"\n")
        if self._skipping:
            if not whole:
                self._rest = b""
                return []
            whole, self._skipping = whole[1:], False
        self._rest = rest
        lines = [_text(line) for line in whole]
        if len(rest) > LINE_BYTES:
            lines.append(_text(rest))
            self._rest, self._skipping = b"", True
        return lines

    def end(self) -> list[str]:
        """What came after the last line's end."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _text(line: bytes) -> str:
    cut = " [cut]" if len(line) > LINE_BYTES else ""
    return line[:LINE_BYTES].decode(errors="replace").rstrip() + cut


class LineLog:
    """A file of lines with their time, and the one before it; together at most twice ``LOG_BYTES``."""

    def __init__(self, path: Path) -> None:
        self._handler = _QuietHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def write(self, line: str) -> None:
        """Add a line."""
        self._handler.handle(logging.LogRecord("", logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _QuietHandler(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """A full disk costs log lines; it must not cover the terminal with traces."""


async def open_pipe(take: Callable[[str], None]) -> tuple[int, asyncio.Task[None]]:
    """Write end of a pipe for a child's output, and the task that reads it until its end.

    The caller closes the one and cancels the other. The pipe is not asyncio's own, since a process of asyncio waits for
    the end of its pipes, which the child's own children may hold open after its death. Slow taking slows the writer, so
    nothing piles up.
    """
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader(limit=_READ_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
    )
    task = asyncio.create_task(_read(reader, take))
    task.add_done_callback(lambda _: transport.close())
    return write_end, task


async def _read(reader: asyncio.StreamReader, take: Callable[[str], None]) -> None:
    cutter = LineCutter()
    try:
        while data := await reader.read(_READ_BYTES):
            for line in cutter.feed(data):
                take(line)
    finally:
        for line in cutter.end():
            take(line)
