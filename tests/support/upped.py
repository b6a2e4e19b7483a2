"""``wheeltapper up --output json`` as a process whose documents a test can wait for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.station import Station
from wheeltapper_api.wire import STATUS_BUCKET
from wheeltapper_cli import live
from wheeltapper_cli.installation import access_of_running
from wheeltapper_workers.runtime import jetstream


class Up:
    """A running command; its output is read all the time, and every line has to be a JSON document."""

    def __init__(self, station: Station, *arguments: str) -> None:
        self.station = station
        self.documents: list[dict[str, Any]] = []
        self.other: list[str] = []
        paths = [str(station.files), "--state", str(station.state), "--output", "json"]
        self.process: subprocess.Popen[str] = station.start("up", *paths, *arguments)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def told(self, text: str, since: int = 0) -> bool:
        """Whether a progress or a problem with this text has been told after the first ``since`` documents."""
        return any(text in document.get("message", "") for document in self.documents[since:])

    def fresh(self, since: int = 0) -> bool:
        """Whether all twins have data of late, in the newest table after the first ``since`` documents."""
        tables = [document for document in self.documents[since:] if document["type"] == "twins"]
        return bool(tables) and not any(twin["stale"] for twin in tables[-1]["twins"])

    def alerts(self) -> list[dict[str, Any]]:
        """Events of alerts so far."""
        return [document["event"] for document in self.documents if document["type"] == "alert"]

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition; it fails at once when the command ends."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.tail()}"
            assert time.monotonic() < deadline, f"{what} did not come about in {seconds} s: {self.tail()}"
            time.sleep(0.05)

    def end(self, number: signal.Signals | None = None, seconds: float = 20) -> int:
        """Exit code after a signal, or of itself."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.other += self.process.stderr.read().splitlines()
        self.close()
        return code

    def close(self) -> None:
        """Kill the command if it still runs; its children die with it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._reader.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def tail(self) -> str:
        """What it said last."""
        return "\n".join([*(json.dumps(document) for document in self.documents[-4:]), *self.other[-20:]])

    async def status(self) -> dict[str, dict[str, Any]]:
        """Newest status document of every worker."""
        (url, credentials), *_ = access_of_running(self.station.state).values()
        client = await jetstream.connect(url, credentials, "test")
        try:
            found = await live.documents(client, STATUS_BUCKET)
        finally:
            await client.close()
        return {name: json.loads(document) for name, document in found.items()}

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # closed while being read
            for line in self.process.stdout:
                try:
                    self.documents.append(json.loads(line))
                except json.JSONDecodeError:
                    self.other.append(line)


def left_behind(state: Path) -> list[str]:
    """Processes that have a state folder in their command line or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if os.fsencode(state) in command + (folder / "environ").read_bytes():
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found
