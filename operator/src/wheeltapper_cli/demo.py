"""``wheeltapper demo``: a simulated pump station with a healthy past, and a bearing that wears out in minutes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import click

from wheeltapper_cli.backfill import fill
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.installation import Installation
from wheeltapper_cli.reporters import Reporter
from wheeltapper_cli.up import Options, run, running_options
from wheeltapper_operator.build.labels import STOP_ORDER
from wheeltapper_workers.simulator.history import write_history
from wheeltapper_workers.simulator.scenario import load_scenario

STATION: Final = Path("examples/pump-station")
SCENARIO: Final = Path("examples/simulations/pump-station.yaml")
ENDPOINT: Final = "opc.tcp://127.0.0.1:48400"
_DAY_SECONDS: Final = 86_400
_LEARNED: Final = "learned"


@click.command()
@running_options
def demo(state: Path, output: str, stop_after: str | None, timeout: str | None) -> None:
    """Run four simulated pumps; the drive-end bearing of one begins to wear after half a minute.

    The first start lets the pumps learn from a simulated healthy day; later ones go on where the last one stopped.

    \b
    Examples:
      wheeltapper demo
      wheeltapper demo --stop-after first-alert --timeout 5m --output json
    """
    if not STATION.is_dir() or not SCENARIO.is_file():
        raise InvalidInputError(f"The demo runs in a clone of the repository: there is no {STATION} here")
    state = state.absolute()
    run((STATION,), Options(state, output, stop_after, timeout), learn(state), (simulator(state),))


def learn(state: Path) -> Any:
    """What happens before live data: at the first start the healthy day, later nothing."""

    async def before(installation: Installation, shown: Reporter) -> None:
        done = state / _LEARNED
        if done.exists():
            shown.progress("Going on from the stored state")
            return
        shown.progress("Simulating a healthy day of four pumps")
        day = state / "healthy-day.parquet"
        if not day.exists():  # a start that was interrupted goes on with the same day
            await asyncio.to_thread(write_history, load_scenario(SCENARIO), time.time_ns(), _DAY_SECONDS, day)
        await fill(installation.access, day, shown)
        done.touch()
        day.unlink()

    return before


def simulator(state: Path) -> dict[str, Any]:
    """Deployment of the simulated plant."""
    command = ["python", "-m", "wheeltapper_cli", "sim", "run", str(SCENARIO.absolute()), "--opcua", ENDPOINT]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "simulator", "annotations": {STOP_ORDER: "9"}},
        "spec": {
            "template": {
                "spec": {
                    "containers": [{"name": "simulator", "command": [*command, "--state", str(state / "simulator")]}]
                }
            }
        },
    }
