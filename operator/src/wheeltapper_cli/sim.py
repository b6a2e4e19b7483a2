"""``wheeltapper sim``: a simulated plant, its healthy past, and recordings served as if they were live."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

import click

from wheeltapper_api.fields import duration_ns
from wheeltapper_cli.errors import CommandError
from wheeltapper_cli.logs import start_logging
from wheeltapper_workers.simulator import history, replay, server
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.load import load_plant

_SWITCH_S: Final = 0.0002
"""Loop and MQTT library pass the interpreter to and fro at every message; Python's 5 ms a pass would hold both up."""
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def sim() -> None:
    """Simulated machines and recordings, served over OPC UA and MQTT."""


@sim.command("run")
@click.argument("scenario", type=_EXISTING)
@click.option("--opcua", default="opc.tcp://127.0.0.1:48400", show_default=True, help="Where to serve OPC UA.")
@click.option("--mqtt", metavar="URL", help="Broker to publish to, for a scenario with an area that says mqtt.")
@click.option(
    "--credentials",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with the files username and password for the broker.",
)
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), default=Path(".wheeltapper/simulator"))
@click.option("--speed", default=1.0, show_default=True, help="Simulated seconds per second.")
def run_plant(
    scenario: Path, opcua: str, mqtt: str | None, credentials: Path | None, state: Path, speed: float
) -> None:
    """Serve the plant of a SCENARIO file until stopped; started again it goes on where its clock stands.

    \b
    Examples:
      wheeltapper sim run examples/simulations/pump-station.yaml --mqtt mqtt://127.0.0.1:1883
    """
    start_logging()
    sys.setswitchinterval(_SWITCH_S)
    endpoints = server.Endpoints(opcua, mqtt, credentials)
    _until_stopped(lambda stop: server.run(load_plant(scenario), endpoints, state, stop, speed=speed))


@sim.command("history")
@click.argument("scenario", type=_EXISTING)
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--duration", default="24h", show_default=True, help="Length of the past, ending now.")
@click.option("--faults", is_flag=True, help="Let the scenario's faults happen, counted from the beginning.")
def write_history(scenario: Path, output: Path, duration: str, faults: bool) -> None:
    """Write the past of the plant of a SCENARIO file to OUTPUT, a Parquet file for wheeltapper backfill.

    The machines are healthy in it, so that their twins can learn what is usual.

    \b
    Examples:
      wheeltapper sim history examples/simulations/pump-station.yaml healthy-day.parquet
    """
    try:
        seconds = duration_ns(duration) // 10**9
        rows = history.write_history(load_plant(scenario), time.time_ns(), seconds, output, faults=faults)
    except (SimulatorError, ValueError) as error:
        raise CommandError(str(error)) from error
    click.echo(f"Wrote {rows:,} samples to {output}")


@sim.command("replay")
@click.option("--csv", "path", type=_EXISTING, required=True, help="The recording; the separator is found out.")
@click.option("--timestamp", "column", required=True, help="Name of the column with the time.")
@click.option("--opcua", "url", default="opc.tcp://127.0.0.1:48400", show_default=True, help="Where to serve.")
@click.option("--speed", default=1.0, show_default=True, help="Recorded seconds per second.")
@click.option("--loop", is_flag=True, help="Begin again at the end.")
@click.option(
    "--timestamps",
    type=click.Choice(["shifted", "recorded"]),
    default="shifted",
    show_default=True,
    help="shifted: the recording ends in the present. recorded: source times as they are in the file.",
)
def replay_csv(
    path: Path, column: str, url: str, speed: float, loop: bool, timestamps: Literal["shifted", "recorded"]
) -> None:
    """Serve a recorded file row by row, each numeric column as a node.

    \b
    Examples:
      wheeltapper sim replay --csv 0.csv --timestamp datetime --speed 100
    """
    start_logging()
    _until_stopped(lambda stop: replay.serve_csv(path, column, url, speed, loop=loop, timestamps=timestamps, stop=stop))


def _until_stopped(serve: Callable[[asyncio.Event], Awaitable[object]]) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(stop)

    try:
        asyncio.run(main())
    except SimulatorError as error:
        raise CommandError(str(error)) from error
    sys.stdout.flush()
