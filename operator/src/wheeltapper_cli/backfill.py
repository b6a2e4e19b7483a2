"""``wheeltapper backfill``: history from a file, through the same steps as live data."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from wheeltapper_api.config import CollectorConfig, Role
from wheeltapper_api.wire import Line
from wheeltapper_cli import live
from wheeltapper_cli.errors import CommandError, InvalidInputError
from wheeltapper_cli.installation import STATE, access_of_running
from wheeltapper_cli.live import Watch
from wheeltapper_cli.places import explained, place
from wheeltapper_cli.reporters import LogReporter, Reporter
from wheeltapper_workers.history.known_samples import KnownSamples
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.line import FLOW
from wheeltapper_workers.sources.recorded import backfill as write_history
from wheeltapper_workers.sources.recorded_file import RecordingError

_LOOK_SECONDS: Final = 0.3
_TELL_ROWS: Final = 500_000


async def fill(access: dict[str, tuple[str, Path]], state: Path, path: Path, shown: Reporter) -> None:
    """Write a file of history into the telemetry streams and wait until every step has worked it through.

    Parameters
    ----------
    access
        Address of the backbone and folder of the credentials, by tenant.
    state
        Folder of the installation, which tells where the tables are.

    Raises
    ------
    CommandError
        If the file cannot be used.
    """
    for tenant, (url, credentials) in access.items():
        client = await jetstream.connect(url, credentials, "wheeltapper-backfill")
        try:
            collectors = [collector for config in await live.configs(client) for collector in config.collectors]
            if collectors:
                tables = place(state, tenant)
                known = KnownSamples(Store(tables.root, tables.options), tenant)
                with explained():
                    last = await _write(client, collectors, path, known, shown)
                await _worked_through(client, Watch(url, credentials), last, shown)
        except RecordingError as error:
            raise CommandError(str(error)) from error
        finally:
            await client.close()


async def _write(
    client: Client, collectors: list[CollectorConfig], path: Path, known: KnownSamples, shown: Reporter
) -> dict[Line, int]:
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if done - told >= _TELL_ROWS or done == total:
            told = done
            shown.progress(f"History: {done:,} of {total:,} samples")

    result = await write_history(client, collectors, path, known, progress)
    if result.unknown:
        shown.progress(f"History: {result.unknown:,} samples are of twins or signals that are not configured")
    if result.repeated:
        shown.progress(f"History: {result.repeated:,} samples are stored already")
    return result.last_sequence


async def _worked_through(client: Client, watch: Watch, last: dict[Line, int], shown: Reporter) -> None:
    """Wait until featurizer, scorer and alerter have each read what the one before them wrote."""
    following = asyncio.create_task(watch.run())
    try:
        for role in (Role.FEATURIZE, Role.SCORE, Role.ALERT):
            shown.progress(f"History: waiting for {role.value}")
            for line, sequence in last.items():
                wanted = sequence if role is Role.FEATURIZE else await _last(client, role, line)
                while _position(watch, role, line) < wanted:
                    if following.done():
                        following.result()
                    await asyncio.sleep(_LOOK_SECONDS)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    shown.progress("History: learned")


async def _last(client: Client, role: Role, line: Line) -> int:
    """Sequence of the newest message in the role's input."""
    stage = FLOW[role][0]
    try:
        message = await client.jetstream().get_last_msg(stage.stream, line.filter(stage))
    except NotFoundError:
        return 0
    return message.seq or 0


def _position(watch: Watch, role: Role, line: Line) -> int:
    for document in watch.picture.workers.values():
        for part in document["parts"].values():
            if part.get("role") == role.value and part.get("line") == line.model_dump():
                return int(part["position"])
    return -1


@click.command()
@click.argument("history", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@STATE
def backfill(history: Path, state: Path) -> None:
    """Fill the running installation with HISTORY, a Parquet or CSV file with time, asset, signal, value and maybe text.

    Times are ISO 8601, in UTC without an offset, or seconds, ms, µs or ns since 1970. What is stored already is left
    out, so the same file twice adds nothing. What is older than the newest sample of its twin comes late: it raises no
    alert, and corrects features and scores of its time.

    \b
    Examples:
      wheeltapper backfill healthy-day.parquet
      wheeltapper backfill last-winter.csv --state /srv/wheeltapper

    \b
    A CSV file:
      time,asset,signal,value,text
      2026-03-01T06:00:00Z,p-103,flow,41.7,
      2026-03-01T06:00:12.5Z,p-103,recipe,,cap-28
    """
    access = access_of_running(state)
    if not access:
        raise InvalidInputError(f"Nothing runs in {state}; start it with wheeltapper up, or name it with --state")
    asyncio.run(fill(access, state, history, LogReporter()))
