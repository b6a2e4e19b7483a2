"""``wheeltapper backfill``: history from a file, through the same steps as live data."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from wheeltapper_api.config import Role
from wheeltapper_api.wire import Line
from wheeltapper_cli.errors import CommandError
from wheeltapper_cli.installation import Installation
from wheeltapper_cli.live import Watch
from wheeltapper_cli.reporters import Reporter
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.line import FLOW
from wheeltapper_workers.sources.recorded import RecordingError
from wheeltapper_workers.sources.recorded import backfill as write_history

_LOOK_SECONDS: Final = 0.3
_TELL_ROWS: Final = 500_000


async def fill(installation: Installation, path: Path, shown: Reporter) -> None:
    """Write a file of history into the telemetry streams and wait until every step has worked it through.

    Raises
    ------
    CommandError
        If the file cannot be used or live data came first.
    """
    for tenant in installation.tenants:
        collectors = [c for config in installation.configs if config.tenant == tenant for c in config.collectors]
        if collectors:
            await _fill(installation, tenant, collectors, path, shown)


async def _fill(installation: Installation, tenant: str, collectors: Any, path: Path, shown: Reporter) -> None:
    url, credentials = installation.access(tenant)
    client = await jetstream.connect(url, credentials, "wheeltapper-backfill")
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if done - told >= _TELL_ROWS or done == total:
            told = done
            shown.progress(f"History: {done:,} of {total:,} samples")

    try:
        result = await write_history(client, collectors, path, progress)
        if result.unknown:
            shown.progress(f"History: {result.unknown:,} samples are of twins or signals that are not configured")
        await _worked_through(client, Watch(url, credentials), result.last_sequence, shown)
    except RecordingError as error:
        raise CommandError(str(error)) from error
    finally:
        await client.close()


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
