"""The pump station of the examples on a port of its own, and the command line that runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.nats import free_port

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "ignore", "-m", "wheeltapper_cli"]


class Station:
    """A copy of the example in a folder, with its own OPC UA port and state."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"opc.tcp://127.0.0.1:{self.port}"
        self.files = folder / "station"
        self.state = folder / "state"
        self.scenario = folder / "scenario.yaml"
        shutil.copytree(ROOT / "examples" / "pump-station", self.files)
        shutil.copy(ROOT / "examples" / "simulations" / "pump-station.yaml", self.scenario)
        self.edit("plant.yaml", "opc.tcp://127.0.0.1:48400", self.url)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text in one of the resource files."""
        path = self.files / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of wheeltapper."""
        return subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.files
        )

    def run(self, *arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Run a command of wheeltapper to its end."""
        return subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout, check=False, cwd=self.files
        )

    def simulator(self, speed: float = 1.0) -> subprocess.Popen[str]:
        """Start the simulated plant."""
        folder = str(self.state.parent / "simulator")
        return self.start(
            "sim", "run", str(self.scenario), "--opcua", self.url, "--state", folder, "--speed", str(speed)
        )


def documents(output: str) -> list[dict[str, Any]]:
    """JSON documents of ``--output json``, one a line."""
    return [json.loads(line) for line in output.splitlines()]
