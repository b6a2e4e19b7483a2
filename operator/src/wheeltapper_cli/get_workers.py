"""``wheeltapper get workers``: how each worker is, and how full the streams are."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wheeltapper_api.wire import STATUS_BUCKET
from wheeltapper_cli import live
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.installation import STATE, access_of_running
from wheeltapper_cli.options import OUTPUT
from wheeltapper_cli.served import Served
from wheeltapper_cli.view_workers import Documents, StreamRow, WorkerRow, streams, workers
from wheeltapper_workers.runtime import jetstream


@click.command("workers", cls=Served, resource="workers")
@STATE
@OUTPUT
def get_workers(state: Path, output: str) -> None:
    """Show every worker with what holds it up, and how full each stream is.

    \b
    Examples:
      wheeltapper get workers
      wheeltapper get workers --output json
    """
    access = access_of_running(state)
    if not access:
        raise InvalidInputError(f"Nothing runs in {state}; start it with wheeltapper up, or name it with --state")
    documents = asyncio.run(_documents(access))
    rows, filled = workers(documents, time.time_ns()), streams(documents)
    if output == "json":
        click.echo(
            json.dumps({"workers": [row.as_dict() for row in rows], "streams": [row.as_dict() for row in filled]})
        )
        return
    console = Console()
    console.print(worker_table(rows))
    console.print()
    console.print(stream_table(filled))


async def _documents(access: dict[str, tuple[str, Path]]) -> Documents:
    found: dict[str, Any] = {}
    for url, credentials in access.values():
        client = await jetstream.connect(url, credentials, "wheeltapper-cli")
        try:
            stored = await live.documents(client, STATUS_BUCKET)
            found |= {name: json.loads(data) for name, data in stored.items() if data}
        finally:
            await client.close()
    return found


def worker_table(rows: list[WorkerRow]) -> Table:
    """A line for each condition that does not hold, or one line for a worker that is well."""
    table = _table("Worker", "Reported", "Condition", "Because")
    for row in rows:
        reported = Text(f"{row.reported_s:.0f} s ago", style="red" if row.silent else "")
        if row.silent:
            table.add_row(row.worker, reported, Text("silent", style="red"), "It does not run, or cannot report")
        for condition in row.wrong:
            name = Text(f"{condition['type']} is {condition['status']}: {condition['reason']}", style="yellow")
            table.add_row(row.worker, reported, name, condition["message"])
        if not row.silent and not row.wrong:
            table.add_row(row.worker, reported, Text("as expected", style="green"), "")
    return table


def stream_table(rows: list[StreamRow]) -> Table:
    """How full each stream is and who needs most of it."""
    table = _table("Stream", "Filled", "When full", "Slowest reader")
    for row in rows:
        filled = f"{row.bytes / row.max_bytes:.0%} of {row.max_bytes // 2**20} MiB"
        slowest = f"{row.slowest}, {row.unread} messages" if row.unread else "none waits" if row.slowest else "-"
        table.add_row(row.stream, filled, row.when_full, slowest)
    return table


def _table(*names: str) -> Table:
    table = Table(pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table
