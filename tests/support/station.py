"""The pump station of the examples on a port of its own, and the command line that runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.nats import free_port
from wheeltapper_cli import broker, demo

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "ignore", "-m", "wheeltapper_cli"]


class Station:
    """A copy of the example in a folder, with its own OPC UA server, MQTT broker and state."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"opc.tcp://127.0.0.1:{self.port}"
        self.broker_url = f"mqtt://127.0.0.1:{free_port()}"
        self.files = folder / "station"
        self.state = folder / "state"
        self.scenario = folder / "scenario.yaml"
        shutil.copytree(ROOT / "examples" / "pump-station", self.files)
        shutil.copy(ROOT / "examples" / "simulations" / "pump-station.yaml", self.scenario)
        self.edit("plant.yaml", demo.OPCUA, self.url)
        self.edit("plant.yaml", demo.MQTT, self.broker_url)

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

    def simulator(self, speed: float = 1.0) -> Plant:
        """Start the simulated plant and the broker of its second hall."""
        folder, secret = str(self.state.parent / "simulator"), str(self.state / "secrets" / demo.CREDENTIALS)
        command = broker.command(self.state, self.broker_url, demo.CREDENTIALS)
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ways = ("--opcua", self.url, "--mqtt", self.broker_url, "--credentials", secret)
        options = (*ways, "--state", folder, "--speed", str(speed))
        return Plant(self.start("sim", "run", str(self.scenario), *options), server)


@dataclass(frozen=True)
class Plant:
    """Processes of the simulated plant."""

    simulator: subprocess.Popen[str]
    broker: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Stop them."""
        for process in (self.simulator, self.broker):
            process.terminate()
            process.communicate(timeout=20)


def documents(output: str) -> list[dict[str, Any]]:
    """JSON documents of ``--output json``, one a line."""
    return [json.loads(line) for line in output.splitlines()]
