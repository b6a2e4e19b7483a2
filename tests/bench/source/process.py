"""A source as a process of its own: started, told what to send, and measured apart."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from tests.bench.harness import CannotRunError
from tests.bench.source.schedule import Schedule

_ROOT = Path(__file__).parents[3]


class SourceProcess:
    """``python -m tests.bench.source.NAME`` with a schedule."""

    def __init__(self, name: str, schedule: Schedule, **options: Any) -> None:
        command = [sys.executable, "-m", f"tests.bench.source.{name}", json.dumps(schedule.document())]
        if options:
            command.append(json.dumps(options))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=_ROOT
        )
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def answer(self, key: str, seconds: float = 60) -> dict[str, Any]:
        """The next answer that has this key; others are passed over.

        Raises
        ------
        CannotRunError
            If it does not come.
        """
        while True:
            try:
                found = self._answers.get(timeout=seconds)
            except queue.Empty:
                raise CannotRunError(f"The source did not say {key!r} within {seconds:g} s") from None
            if key in found:
                return found

    def send(self, how: str, schedule: Schedule, rows: int, **more: Any) -> None:
        """Send rows of a schedule: ``flood`` or ``pace``; or ``prepare`` them, where a source does so first."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({how: rows, "schedule": schedule.document(), **more}) + "\n")

    def ask(self, key: str) -> dict[str, Any]:
        """Answer to an empty question."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        return self.answer(key)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
