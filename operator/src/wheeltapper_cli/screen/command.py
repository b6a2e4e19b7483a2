"""``wheeltapper watch``: the screens on an installation that already runs."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Final

import click

from wheeltapper_cli import view
from wheeltapper_cli.errors import CommandError, InvalidInputError
from wheeltapper_cli.installation import STATE, access_of_running
from wheeltapper_cli.live import Watch, failure
from wheeltapper_cli.logs import start_logging
from wheeltapper_cli.reporters import Reporter, reporter

_LOOK_SECONDS: Final = 1.0


@click.command()
@STATE
@click.option(
    "--output",
    type=click.Choice(["auto", "table", "log", "json"]),
    default="auto",
    show_default=True,
    help="auto is screens in a terminal and lines elsewhere; json prints one document a line.",
)
def watch(state: Path, output: str) -> None:
    """Look at an installation that runs: all twins, one twin, one alert. To leave stops nothing but the looking.

    \b
    Examples:
      wheeltapper watch --state .wheeltapper
    """
    if not access_of_running(state):
        raise InvalidInputError(f"Nothing runs in {state}; start it with wheeltapper up, or name another with --state")
    asyncio.run(_watch(state, output))


async def _watch(state: Path, output: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    shown = reporter(output, on_leave=stop.set)
    start_logging(quiet=output != "log")
    watches: dict[str, Watch] = {}
    tasks: list[asyncio.Task[None]] = []
    try:
        while not stop.is_set():
            access = access_of_running(state)
            if not access:
                raise CommandError(f"The installation in {state} has stopped")
            for tenant, (url, credentials) in access.items():
                if tenant not in watches:
                    watches[tenant] = Watch(url, credentials, shown.event, shown.past, follow_configs=True)
                    tasks.append(asyncio.create_task(watches[tenant].run()))
            _show(shown, list(watches.values()))
            failure(tasks)
            await _pause(stop)
    finally:
        shown.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LOOK_SECONDS)


def _show(shown: Reporter, watches: list[Watch]) -> None:
    configs = [config for watch in watches for config in watch.picture.configs.values()]
    documents = {name: told for watch in watches for name, told in watch.picture.workers.items()}
    alerts = [alert for watch in watches for alert in watch.picture.open_alerts]
    shown.rows(view.twins(configs, documents, alerts, time.time_ns()), alerts, view.problems(documents))


async def _pause(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
    except TimeoutError:
        return
