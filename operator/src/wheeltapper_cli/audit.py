"""``wheeltapper audit``: who asked what through the gateway, and whether the log of it is whole."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import click
from nats.aio.client import Client
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from wheeltapper_cli.audit_log import Check, Checked, Record, read
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.installation import STATE, access_of_running
from wheeltapper_cli.options import OUTPUT, TENANT
from wheeltapper_cli.served import Served
from wheeltapper_workers.runtime import jetstream

_SHOWN: Final = 50


@click.group()
def audit() -> None:
    """Show who asked what through the gateway, or check that the log of it is whole."""


@audit.command(name="list", cls=Served, resource="audit")
@STATE
@TENANT
@OUTPUT
@click.option("--last", type=click.IntRange(1, 10_000), default=_SHOWN, show_default=True, help="So many records.")
def show(state: Path, tenant: str | None, output: str, last: int) -> None:
    """Show the newest records, the oldest of them first.

    \b
    Examples:
      wheeltapper audit list --last 10
      kubectl twin audit list --output json
    """
    records = asyncio.run(_newest(state, tenant, last))
    if output == "json":
        click.echo(json.dumps([{"number": n, **record.model_dump(exclude_defaults=True)} for n, record in records]))
        return
    Console().print(_table(records))


@audit.command(cls=Served, resource="audit")
@STATE
@TENANT
@OUTPUT
@click.option("--contains", metavar="sha256:…", help="Digest that was noted once; its record has to be there still.")
@click.pass_context
def verify(context: click.Context, /, state: Path, tenant: str | None, output: str, contains: str | None) -> None:
    """Check that no record was changed, left out or put in. Ends with 0 if so, with 1 if not.

    Note the digest it prints where nobody can change it: it binds every record up to now.

    \b
    Examples:
      wheeltapper audit verify
      kubectl twin audit verify --contains sha256:1f00ba11…
    """
    found = asyncio.run(_checked(state, tenant, contains))
    click.echo(found.model_dump_json() if output == "json" else "\n".join(_text(found)))
    if not found.sound:
        context.exit(1)


async def _newest(state: Path, tenant: str | None, last: int) -> list[tuple[int, Record]]:
    kept: deque[tuple[int, bytes]] = deque(maxlen=last)
    async with _connected(state, tenant) as client:
        async for found in read(client):
            kept.append(found)
    return [(number, _record(number, data)) for number, data in kept]


def _record(number: int, data: bytes) -> Record:
    try:
        return Record.model_validate_json(data)
    except ValidationError:
        raise InvalidInputError(f"Record {number} is none; see wheeltapper audit verify") from None


async def _checked(state: Path, tenant: str | None, contains: str | None) -> Checked:
    check = Check(contains)
    async with _connected(state, tenant) as client:
        async for number, data in read(client):
            check.add(number, data)
    return check.result()


@asynccontextmanager
async def _connected(state: Path, tenant: str | None) -> AsyncIterator[Client]:
    access = access_of_running(state)
    if tenant is None and len(access) > 1:
        raise InvalidInputError(f"There are several tenants ({', '.join(access)}); choose one with --tenant")
    if not access or (tenant is not None and tenant not in access):
        raise InvalidInputError(f"Nothing runs in {state}{f' for {tenant}' if tenant else ''}")
    url, credentials = access[tenant or next(iter(access))]
    client = await jetstream.connect(url, credentials, "wheeltapper-cli")
    try:
        yield client
    finally:
        await client.close()


def _table(records: list[tuple[int, Record]]) -> Table:
    """A line for each request: what was asked and how it ended are two records."""
    table = Table(pad_edge=False)
    for name in ("Number", "Time", "Who", "What", "How it ended"):
        table.add_column(name, overflow="fold")
    ends = {record.request: record for _, record in records if record.event == "ended"}
    asked = {record.request for _, record in records if record.event == "asked"}
    for number, record in records:
        if record.event != "ended" or record.request not in asked:
            end = ends.get(record.request, record)
            table.add_row(str(number), record.time, record.user or "nobody known", _what(record), _how(end))
    return table


def _what(record: Record) -> str:
    if record.asked is None:
        return ""
    options = (f"{name}={value}" for name, value in record.asked.options.items())
    return " ".join([*record.asked.command, *options, *(f"{name}={file}" for name, file in record.asked.files.items())])


def _how(record: Record) -> str:
    if record.event == "asked":
        return "not ended yet"
    if record.event == "refused":
        return f"refused: {record.outcome}"
    ended = f"exit code {record.exit_code}" if record.exit_code is not None else "cut off"
    return f"{ended}{f': {record.outcome}' if record.outcome else ''}"


def _text(found: Checked) -> Iterator[str]:
    if not found.records:
        yield "There is no record: nothing has come through a gateway."
    else:
        yield f"{found.records:,} records, {found.first} to {found.last}"
    for line in found.broken:
        yield f"  BROKEN  {line}"
    if found.sound and found.records:
        yield "Every record is what was written."
        yield f"The newest is {found.head}"
