"""Supervised child processes: started, restarted with back-off, logged by name, stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from wheeltapper_edge.substrates.processes.binding import Command

log = logging.getLogger(__name__)

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""Running so long makes a failure count as the first."""
GRACE_S: Final = 10.0
_LINE_BYTES: Final = 4096
_LOG_BYTES: Final = 5 * 2**20
# What a child needs of this process's environment; anything else could be a secret of its user.
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV")

OnLine = Callable[[str, str], None]


def next_delay(failures: int, chance: float) -> float:
    """Seconds to wait before the start after so many failures in a row; ``chance`` in 0..1 keeps many from one beat."""
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 10)) * (0.75 + 0.5 * chance)


@dataclass(slots=True)
class State:
    """A worker as the supervisor sees it."""

    name: str
    pid: int | None = None
    restarts: int = 0
    failures: int = 0
    """In a row."""
    last_exit: str = ""
    last_line: str = ""


class Child:
    """One supervised process."""

    def __init__(self, command: Command, logs: Path, on_line: OnLine) -> None:
        self.command = command
        self.state = State(command.name)
        self._on_line = on_line
        self._log = _line_log(logs / f"{command.name}.log")
        self._stop = asyncio.Event()
        self._grace_s = GRACE_S
        self._task = asyncio.create_task(self._supervise(), name=command.name)

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Ask the process to stop, wait for it, and in the end kill it."""
        self._grace_s = grace_s
        self._stop.set()
        await self._task
        self._log.close()

    async def _supervise(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            code = await self._run()
            self.state.pid = None
            if self._stop.is_set():
                return
            self.state.failures = 1 if time.monotonic() - started > HEALTHY_S else self.state.failures + 1
            self.state.restarts += 1
            self.state.last_exit = _describe(code)
            delay = next_delay(self.state.failures, random.random())  # noqa: S311 - spreads restarts, hides nothing
            log.warning("%s ended: %s; starting it again in %.1f s", self.command.name, self.state.last_exit, delay)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), delay)

    async def _run(self) -> int:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "wheeltapper_edge.substrates.processes.child",
            str(os.getpid()),
            *self.command.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment | {"PYTHONUNBUFFERED": "1"} | dict(self.command.environment),
            start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor, which stops its children in order
            limit=2 * _LINE_BYTES,
        )
        self.state.pid = process.pid
        stopper = asyncio.create_task(self._terminate_when_asked(process))
        await self._read_lines(process)
        code = await process.wait()
        stopper.cancel()
        return code

    async def _terminate_when_asked(self, process: asyncio.subprocess.Process) -> None:
        await self._stop.wait()
        _signal(process, signal.SIGTERM)
        await asyncio.sleep(self._grace_s)
        log.warning("%s did not stop within %.0f s and is killed", self.command.name, self._grace_s)
        _signal(process, signal.SIGKILL)

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        while True:
            try:
                line = await process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError as rest:
                line = rest.partial
            except asyncio.LimitOverrunError as overrun:  # a line without an end is cut, not kept
                line = await process.stdout.readexactly(overrun.consumed)
            if not line:
                return
            text = line[:_LINE_BYTES].decode(errors="replace").rstrip()
            self.state.last_line = text
            self._log.handle(logging.LogRecord("", logging.INFO, "", 0, text.replace("%", "%%"), (), None))
            self._on_line(self.command.name, text)


class Supervisor:
    """A set of children that follows a list of commands."""

    def __init__(self, logs: Path, on_line: OnLine = lambda _name, _line: None) -> None:
        self._logs, self._on_line = logs, on_line
        self._children: dict[str, Child] = {}
        logs.mkdir(parents=True, exist_ok=True)

    async def apply(self, commands: Iterable[Command]) -> None:
        """Start what is new, stop what is gone, start anew what changed, and leave the rest alone."""
        wanted = {command.name: command for command in commands}
        ended = [c for name, c in self._children.items() if wanted.get(name) != c.command]
        for child in sorted(ended, key=lambda child: child.command.stop_order):
            await child.stop()
            del self._children[child.command.name]
        for name, command in wanted.items():
            if name not in self._children:
                self._children[name] = Child(command, self._logs, self._on_line)

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Stop all, those of the lowest order first; those of one order together."""
        for order in sorted({child.command.stop_order for child in self._children.values()}):
            same = [child for child in self._children.values() if child.command.stop_order == order]
            await asyncio.gather(*(child.stop(grace_s) for child in same))
        self._children.clear()

    def status(self) -> dict[str, State]:
        """State of every child."""
        return {name: child.state for name, child in self._children.items()}


def _line_log(path: Path) -> Any:
    handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    return handler


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
