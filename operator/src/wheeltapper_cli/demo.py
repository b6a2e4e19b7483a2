"""``wheeltapper demo``: a simulated pump station with a healthy past, in which two pumps fail within minutes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import click

from wheeltapper_cli import broker
from wheeltapper_cli.backfill import fill
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.installation import Installation
from wheeltapper_cli.reporters import Reporter
from wheeltapper_cli.up import Options, run, running_options
from wheeltapper_operator.build.labels import STOP_ORDER
from wheeltapper_workers.simulator.history import write_history
from wheeltapper_workers.simulator.load import load_plant

STATION: Final = Path("examples/pump-station")
SCENARIO: Final = Path("examples/simulations/pump-station.yaml")
OPCUA: Final = "opc.tcp://127.0.0.1:48400"
MQTT: Final = "mqtt://127.0.0.1:48401"
CREDENTIALS: Final = "hall-2-broker"
"""Name of the Secret."""
_DAY_SECONDS: Final = 86_400
_LEARNED: Final = "learned"


@click.command()
@running_options
def demo(state: Path, output: str, stop_after: str | None, timeout: str | None) -> None:
    """Run six simulated pumps in two halls, one served over OPC UA, the other over MQTT.

    After half a minute the drive-end bearing of one begins to wear, and a minute later the shaft seal of another
    to leak. The first start lets the pumps learn from a simulated healthy day; later ones go on where the last one
    stopped.

    \b
    Examples:
      wheeltapper demo
      wheeltapper demo --stop-after first-alert --timeout 5m --output json
    """
    if not STATION.is_dir() or not SCENARIO.is_file():
        raise InvalidInputError(f"The demo runs in a clone of the repository: there is no {STATION} here")
    state = state.absolute()
    run((STATION,), Options(state, output, stop_after, timeout), learn(state), (hall_broker(state), simulator(state)))


def learn(state: Path) -> Any:
    """What happens before live data: at the first start the healthy day, later nothing."""

    async def before(installation: Installation, shown: Reporter) -> None:
        done = state / _LEARNED
        if done.exists():
            shown.progress("Going on from the stored state")
            return
        shown.progress("Simulating a healthy day of six pumps")
        day = state / "healthy-day.parquet"
        if not day.exists():  # a start that was interrupted goes on with the same day
            await asyncio.to_thread(write_history, load_plant(SCENARIO), time.time_ns(), _DAY_SECONDS, day)
        await fill(installation.access, state, day, shown)
        done.touch()
        day.unlink()

    return before


def hall_broker(state: Path) -> dict[str, Any]:
    """Deployment of the second hall's broker; it is there before those who publish, and stopped after them."""
    return _deployment("hall-broker", broker.command(state, MQTT, CREDENTIALS), stop_order=10)


def simulator(state: Path) -> dict[str, Any]:
    """Deployment of the simulated plant."""
    command = ["python", "-m", "wheeltapper_cli", "sim", "run", str(SCENARIO.absolute()), "--opcua", OPCUA]
    command += ["--mqtt", MQTT, "--credentials", str(state / "secrets" / CREDENTIALS)]
    return _deployment("simulator", [*command, "--state", str(state / "simulator")], stop_order=9)


def _deployment(name: str, command: list[str], stop_order: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": {STOP_ORDER: str(stop_order)}},
        "spec": {"template": {"spec": {"containers": [{"name": name, "command": command}]}}},
    }
