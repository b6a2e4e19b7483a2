"""A real mosquitto broker for one test: free loopback port, own store, stopped and started at will."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.nats import free_port


class Broker:
    """One broker process; ``kill`` and ``start`` keep port and store."""

    def __init__(self, folder: Path, *lines: str, persistence: bool = True) -> None:
        self.port, self.folder = free_port(), folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "mosquitto.conf"
        self.log = folder / "mosquitto.log"
        stored = [f"persistence {str(persistence).lower()}", f"persistence_location {folder}/", "autosave_interval 1"]
        given = "\n".join(lines)
        access = [] if "allow_anonymous" in given else ["allow_anonymous true"]
        queue = ["max_queued_messages 0", "max_inflight_messages 0", "autosave_on_changes false"]
        self.config.write_text("\n".join([f"listener {self.port} 127.0.0.1", *lines, *access, *stored, *queue]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        if not Path(binary).exists() and not os.environ.get("CI"):
            pytest.skip("mosquitto is not installed; apt-get install mosquitto")
        with self.log.open("ab") as log:
            # As root it would change to a user that may not read the test's folder.
            self._process = subprocess.Popen([binary, "-c", self.config], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            except OSError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
            else:
                return

    def stop(self) -> None:
        """End it orderly: it saves what it keeps."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
