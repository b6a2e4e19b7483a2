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
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wheeltapper_edge.command import Command, SubstrateError
from wheeltapper_edge.substrates.processes import child as wrapper
from wheeltapper_edge.substrates.processes.lines import LineLog, OnLine, open_pipe

log = logging.getLogger(__name__)

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""Running so long makes a failure count as the first."""
GRACE_S: Final = 10.0
STOP_S: Final = 15.0
"""Ending all takes no longer, however many groups there are to end one after the other."""
_LEAST_GRACE: Final = 0.1
"""Share of its grace that a worker gets even when the time for all is used up."""
_LAST_WORDS_S: Final = 0.5
"""What a dead process wrote is read so long; its own children may hold the pipe open for ever."""
# What a child needs of this process's environment; anything else could be a secret of its user.
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV")


def next_delay(failures: int, chance: float) -> float:
    """Seconds to wait before the start after so many failures in a row; ``chance`` in 0..1 keeps many from one beat."""
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 10) * (0.75 + 0.5 * chance))


@dataclass(slots=True)
class State:
    """A worker as the supervisor sees it."""

    name: str
    pid: int | None = None
    restarts: int = 0
    failures: int = 0
    """In a row."""
    last_exit: str = ""
    last_exit_s: float = 0.0
    """On the clock of ``time.monotonic``."""
    last_words: str = ""
    """Its last line before that exit."""
    last_line: str = ""


class Child:
    """One supervised process."""

    def __init__(self, command: Command, logs: Path, on_line: OnLine) -> None:
        self.command = command
        self.state = State(command.name)
        self.lines: deque[str] = deque(maxlen=5)
        self._on_line = on_line
        self._log = LineLog(logs / f"{command.name}.log")
        self._stop = asyncio.Event()
        self._grace_s = GRACE_S
        self._task = asyncio.create_task(self._supervise(), name=command.name)

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Ask the process to stop, wait for it, and in the end kill it."""
        self._grace_s = grace_s
        self._stop.set()
        try:
            await self._task
        finally:
            self._log.close()

    async def _supervise(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                ended = _describe(await self._run())
            except OSError as error:  # no memory, no process to be had: it may be otherwise later
                ended = f"could not be started: {error.strerror or error}"
            self.state.pid = None
            if self._stop.is_set():
                return
            await self._back_off(ended, time.monotonic() - started)

    async def _back_off(self, ended: str, ran_s: float) -> None:
        state = self.state
        state.failures = 1 if ran_s > HEALTHY_S else state.failures + 1
        state.restarts += 1
        state.last_exit, state.last_exit_s, state.last_words = ended, time.monotonic(), state.last_line
        delay = next_delay(state.failures, random.random())  # noqa: S311 - spreads restarts, hides nothing
        log.warning("%s ended: %s; starting it again in %.1f s", self.command.name, ended, delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), delay)

    async def _run(self) -> int:
        write_end, reader = await open_pipe(self._take)
        try:
            try:
                process = await self._start(write_end)
            finally:
                os.close(write_end)  # the child has its own; with this one open the pipe would never end
            code = await self._until_exit(process)
            await asyncio.wait([reader], timeout=_LAST_WORDS_S)
        finally:
            reader.cancel()
        return code

    async def _until_exit(self, process: asyncio.subprocess.Process) -> int:
        self.state.pid = process.pid
        stopper = asyncio.create_task(self._terminate_when_asked(process))
        try:
            return await process.wait()
        finally:
            stopper.cancel()
            # What the process has started itself would live on, unsupervised.
            _signal(process, signal.SIGKILL)

    async def _start(self, output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *wrapper.PYTHON_OPTIONS,
            wrapper.__file__,
            str(os.getpid()),
            *self.command.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(self.command),
            start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor, which stops its children in order
        )

    async def _terminate_when_asked(self, process: asyncio.subprocess.Process) -> None:
        await self._stop.wait()
        _signal(process, signal.SIGTERM)
        await asyncio.sleep(self._grace_s)
        log.warning("%s did not stop within %.0f s and is killed", self.command.name, self._grace_s)
        _signal(process, signal.SIGKILL)

    def _take(self, line: str) -> None:
        if line:
            self.state.last_line = line
            self.lines.append(line)
        self._log.write(line)
        self._on_line(self.command.name, line)


class Supervisor:
    """A set of children that follows a list of commands."""

    def __init__(self, logs: Path, on_line: OnLine = lambda _name, _line: None) -> None:
        self._logs, self._on_line = logs, on_line
        self._children: dict[str, Child] = {}
        logs.mkdir(parents=True, exist_ok=True)

    async def apply(self, commands: Iterable[Command]) -> None:
        """Start what is new, stop what is gone, start anew what changed, and leave the rest alone.

        Raises
        ------
        SubstrateError
            If two commands have one name; then nothing is changed.
        """
        commands = list(commands)
        twice = [name for name, count in Counter(command.name for command in commands).items() if count > 1]
        if twice:
            raise SubstrateError(f"Two workers are named {twice[0]}; rename the tenant or the plant of one")
        wanted = {command.name: command for command in commands}
        await self._end([c for name, c in self._children.items() if wanted.get(name) != c.command], GRACE_S, STOP_S)
        for name, command in wanted.items():
            if name not in self._children:
                self._children[name] = Child(command, self._logs, self._on_line)

    async def stop(self, grace_s: float = GRACE_S, total_s: float = STOP_S) -> None:
        """Stop all, those of the lowest order first; those of one order together.

        Parameters
        ----------
        grace_s, total_s : float
            Seconds for each to stop before it is killed, and for all; the last ones get at least a tenth of theirs.
        """
        await self._end(list(self._children.values()), grace_s, total_s)

    def status(self) -> dict[str, State]:
        """State of every child."""
        return {name: child.state for name, child in self._children.items()}

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child, if it runs just now."""
        pid = self._children[name].state.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def last_lines(self, name: str) -> list[str]:
        """Newest lines of a child, the oldest first."""
        return list(self._children[name].lines) if name in self._children else []

    async def _end(self, children: list[Child], grace_s: float, total_s: float) -> None:
        deadline = time.monotonic() + total_s
        for order in sorted({child.command.stop_order for child in children}):
            same = [child for child in children if child.command.stop_order == order]
            left_s = max(_LEAST_GRACE * grace_s, min(grace_s, deadline - time.monotonic()))
            results = await asyncio.gather(*(child.stop(left_s) for child in same), return_exceptions=True)
            for child, result in zip(same, results, strict=True):
                self._children.pop(child.command.name, None)
                if isinstance(result, Exception):  # the others have to be stopped all the same
                    log.error("The supervision of %s had ended: %s", child.command.name, result)


def _environment(command: Command) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    inherited |= {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    return inherited | {"PYTHONUNBUFFERED": "1"} | dict(command.environment)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have numbers only
        return f"signal {-code}"
