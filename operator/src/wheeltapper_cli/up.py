"""``wheeltapper up``: resources as plain processes on this machine, watched until told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from wheeltapper_api.fields import duration_ns
from wheeltapper_cli import view
from wheeltapper_cli.backfill import fill
from wheeltapper_cli.errors import CommandError, InvalidInputError
from wheeltapper_cli.files import PATHS, load_valid
from wheeltapper_cli.follow import Files
from wheeltapper_cli.installation import STATE, Installation
from wheeltapper_cli.live import Watch
from wheeltapper_cli.logs import start_logging
from wheeltapper_cli.reporters import Reporter, reporter
from wheeltapper_operator.compile import compile_plan

FIRST_ALERT: Final = "first-alert"
_LOOK_SECONDS: Final = 1.0

Before = Callable[[Installation, Reporter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of ``up`` and ``demo``."""

    state: Path
    output: str = "auto"
    stop_after: str | None = None
    timeout: str | None = None

    def __post_init__(self) -> None:
        for name, text in (("--stop-after", self.stop_after), ("--timeout", self.timeout)):
            if text not in (None, FIRST_ALERT) or (name == "--timeout" and text == FIRST_ALERT):
                _duration_s(name, text or "")


def _duration_s(name: str, text: str) -> float:
    try:
        return duration_ns(text) / 1e9
    except ValueError as error:
        hint = f" or {FIRST_ALERT}" if name == "--stop-after" else ""
        raise InvalidInputError(f"{name}: {error}{hint}") from error


def running_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that ``up`` and ``demo`` share."""
    decorators = (
        STATE,
        click.option(
            "--output",
            type=click.Choice(["auto", "table", "log", "json"]),
            default="auto",
            show_default=True,
            help="auto is screens in a terminal and lines elsewhere; json prints one document a line.",
        ),
        click.option(
            "--stop-after", metavar="TIME|first-alert", help="End with 0 after 90s, say, or at an open alert."
        ),
        click.option("--timeout", metavar="TIME", help="End with 1 if --stop-after has not ended it by then."),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


@click.command()
@PATHS
@running_options
@click.option(
    "--backfill",
    "history",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="History (Parquet or CSV) that is learned from before live data is read; only into an empty state folder.",
)
def up(
    paths: tuple[Path, ...],
    state: Path,
    output: str,
    stop_after: str | None,
    timeout: str | None,
    history: Path | None,
) -> None:
    """Run the resources in PATHS on this machine: no cluster, no container engine, no root.

    \b
    Examples:
      wheeltapper up examples/pump-station
      wheeltapper up examples/pump-station --backfill healthy-day.parquet
      wheeltapper up examples/pump-station --stop-after first-alert --timeout 5m --output json
    """
    options = Options(state, output, stop_after, timeout)

    async def before(installation: Installation, shown: Reporter) -> None:
        if history is not None:
            await fill(installation.access, state, history, shown)

    run(paths, options, before)


def run(paths: tuple[Path, ...], options: Options, before: Before, extra: tuple[dict[str, Any], ...] = ()) -> None:
    """Run resources until a stop condition, and end the command with its exit code.

    Parameters
    ----------
    before
        Called while everything but the collectors runs; history has its place there.
    extra
        Deployments beside the plan's, such as the demo's simulator.
    """
    shown = reporter(options.output)
    start_logging(quiet=options.output != "log")
    try:
        asyncio.run(_run(paths, options, before, extra, shown))
    finally:
        shown.close()


async def _run(
    paths: tuple[Path, ...], options: Options, before: Before, extra: tuple[dict[str, Any], ...], shown: Reporter
) -> None:
    files = Files(paths)  # before they are read: an edit during a long start is not missed
    plan = compile_plan(load_valid(paths))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the last when the terminal is closed
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    installation = Installation(options.state, plan, extra, shown.progress)
    try:
        await _unless(stop, _start(installation, before, shown))
        if not stop.is_set():
            await _watch(installation, files, options, shown, stop)
    finally:
        try:
            shown.progress("Stopping")
        finally:  # whoever read the output may be gone
            await installation.stop()


async def _start(installation: Installation, before: Before, shown: Reporter) -> None:
    await installation.start()
    await before(installation, shown)
    await installation.start_collectors()


async def _unless(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Do the work, or leave it where it is when asked to stop."""
    task, asked = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
    elif not task.cancelled():
        task.result()


async def _watch(
    installation: Installation, files: Files, options: Options, shown: Reporter, stop: asyncio.Event
) -> None:
    """Show what happens until a stop condition holds."""
    started = time.monotonic()
    watches: dict[str, Watch] = {}
    tasks: list[asyncio.Task[None]] = []
    try:
        while not stop.is_set():
            for tenant, (url, credentials) in installation.access.items():
                if tenant not in watches:  # an edit may bring one
                    watches[tenant] = Watch(url, credentials, shown.event, shown.past)
                    tasks.append(asyncio.create_task(watches[tenant].run()))
            documents = {k: v for watch in watches.values() for k, v in watch.picture.workers.items()}
            alerts = [alert for watch in watches.values() for alert in watch.picture.open_alerts]
            rows = view.twins(installation.configs, documents, alerts, time.time_ns())
            shown.rows(rows, alerts, [*installation.problems(), *view.problems(documents)])
            _check(options, time.monotonic() - started, alerts=bool(alerts), stop=stop)
            _raise_failure(tasks)
            await files.follow(installation, shown)
            await _pause(stop)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:  # not longer: the processes have to be stopped, and what is left ends with the command
            await asyncio.wait(tasks, timeout=_LOOK_SECONDS)


def _check(options: Options, elapsed_s: float, *, alerts: bool, stop: asyncio.Event) -> None:
    wanted = options.stop_after
    if wanted == FIRST_ALERT:
        if alerts:
            stop.set()
    elif wanted is not None and elapsed_s >= _duration_s("--stop-after", wanted):
        stop.set()
    if not stop.is_set() and options.timeout and elapsed_s >= _duration_s("--timeout", options.timeout):
        raise CommandError(f"Timed out after {options.timeout} without {wanted or 'being told to stop'}")


def _raise_failure(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def _pause(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
    except TimeoutError:
        return
