"""``wheeltapper get``, ``trace`` and ``query``: what an installation knows, running or stopped."""

from __future__ import annotations

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from wheeltapper_api.wire import STATUS_BUCKET, Alert
from wheeltapper_cli import live, view
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.get_workers import get_workers
from wheeltapper_cli.installation import STATE, access_of_running
from wheeltapper_cli.options import OUTPUT, TENANT
from wheeltapper_cli.places import Place, explained, place, tenants
from wheeltapper_cli.reporters import twin_table
from wheeltapper_cli.served import Served
from wheeltapper_cli.view import TwinRow
from wheeltapper_workers.history import query as tables
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.trace import trace as trace_alert
from wheeltapper_workers.history.trace_text import render_text
from wheeltapper_workers.runtime import jetstream


@click.group()
def get() -> None:
    """Show twins, alerts or workers."""


get.add_command(get_workers)


@get.command(cls=Served, resource="telemetry")
@STATE
@OUTPUT
def twins(state: Path, output: str) -> None:
    """Show every twin with freshness, mode, score and health; of a stopped installation the last that is stored.

    \b
    Examples:
      wheeltapper get twins --output json
    """
    access = access_of_running(state)
    rows = asyncio.run(_live_twins(access)) if access else _stored_twins(state)
    if output == "json":
        click.echo(json.dumps([row.as_dict() for row in rows]))
        return
    if not access:
        click.echo(f"Nothing runs in {state}; this is what was stored last", err=True)
    Console().print(twin_table(rows))


@get.command(cls=Served, resource="alerts")
@STATE
@OUTPUT
@click.option("--all", "everything", is_flag=True, help="Cleared ones too.")
def alerts(state: Path, output: str, everything: bool) -> None:
    """Show open alerts, the newest first.

    \b
    Examples:
      wheeltapper get alerts --all
    """
    access = access_of_running(state)
    found = asyncio.run(_live_alerts(access)) if access else _stored_alerts(state)
    shown = [alert for alert in found if everything or alert.state == "open"]
    if output == "json":
        click.echo(json.dumps([alert.model_dump(mode="json") for alert in shown]))
        return
    if not shown:
        click.echo("No alerts" if everything else "No open alerts")
        return
    table = Table(pad_edge=False)
    for name in ("Alert", "Severity", "State", "Since", "Score", "Confidence"):
        table.add_column(name, overflow="fold")
    for alert in shown:
        severity, since = alert.severity, alert.since.replace("T", " ").rstrip("Z")
        table.add_row(alert.alert_id, severity, alert.state, since, f"{alert.score:.2f}", f"{alert.confidence:.0%}")
    Console().print(table)


@click.command(cls=Served, resource="alerts")
@click.argument("alert")
@STATE
@TENANT
@OUTPUT
def trace(alert: str, state: Path, tenant: str | None, output: str) -> None:
    """Follow ALERT (the beginning of its id is enough) back to scores, features, blocks and sensors.

    Every hop comes with the time it took.

    \b
    Examples:
      wheeltapper trace p-103-bearing-wear
    """
    with explained():
        where = place(state, tenant)
        found = trace_alert(where.root, where.tenant, alert, storage_options=where.options)
    click.echo(found.model_dump_json() if output == "json" else render_text(found))


@click.command(cls=Served, resource="tables")
@click.argument("sql", required=False)
@STATE
@TENANT
@OUTPUT
def query(sql: str | None, state: Path, tenant: str | None, output: str) -> None:
    """Ask the tables raw, features, scores and events with SQL; without SQL, list their columns.

    \b
    Examples:
      wheeltapper query "SELECT asset, max(score) FROM scores GROUP BY asset"
      wheeltapper query "SELECT window_end, vibration_de_level FROM features WHERE asset = 'p-103' LIMIT 10"
    """
    with explained():
        if sql is None:
            click.echo(_tables_text([place(state, name) for name in ([tenant] if tenant else tenants(state))]))
            return
        result = _query(state, sql, tenant)
    rows = _plain(result)
    if output == "json":
        click.echo(json.dumps(rows, default=str))
        return
    table = Table(pad_edge=False)
    for name in result.column_names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table)


async def _live_twins(access: dict[str, tuple[str, Path]]) -> list[TwinRow]:
    rows: list[TwinRow] = []
    for url, credentials in access.values():
        client = await jetstream.connect(url, credentials, "wheeltapper-cli")
        try:
            stored = await live.documents(client, STATUS_BUCKET)
            told = {name: json.loads(data) for name, data in stored.items() if data}
            open_alerts = [alert for alert in await live.alerts(client) if alert.state == "open"]
            rows += view.twins(await live.configs(client), told, open_alerts, time.time_ns())
        finally:
            await client.close()
    return rows


async def _live_alerts(access: dict[str, tuple[str, Path]]) -> list[Alert]:
    found: list[Alert] = []
    for url, credentials in access.values():
        client = await jetstream.connect(url, credentials, "wheeltapper-cli")
        try:
            found += await live.alerts(client)
        finally:
            await client.close()
    return found


@explained()
def _stored_twins(state: Path) -> list[TwinRow]:
    """Twins as the tables know them: nothing is fresh any more."""
    rows: dict[tuple[str, str], TwinRow] = {}
    for tenant in tenants(state):
        where = place(state, tenant)
        try:
            scores = tables.latest_scores(where.root, tenant, storage_options=where.options).to_pylist()
        except QueryError:
            continue
        for score in scores:
            key = (tenant, score["asset"])
            row = rows.setdefault(key, TwinRow(tenant, score["plant"], score["asset"], score["asset"], ""))
            row.mode = score["mode"]
            if score["score"] is not None and (row.score is None or score["score"] > row.score):
                row.score, row.failure_model, row.health = round(score["score"], 2), score["failure_model"], "good"
    for alert in _stored_alerts(state):
        view.add_alert(rows.values(), alert)
    return [rows[key] for key in sorted(rows)]


@explained()
def _stored_alerts(state: Path) -> list[Alert]:
    places = [place(state, tenant) for tenant in tenants(state)]
    return [e.data for p in places for e in tables.alerts(p.root, p.tenant, storage_options=p.options)]


def _query(state: Path, sql: str, tenant: str | None) -> pa.Table:
    """Without a tenant the tables of all, if they are in one place."""
    places = [place(state, name) for name in ([tenant] if tenant else tenants(state))]
    if len({found.root for found in places}) > 1:
        raise InvalidInputError("The tenants' tables are in several places; choose one with --tenant")
    only = places[0].tenant if len(places) == 1 else None
    return tables.query(places[0].root, sql, only, storage_options=places[0].options)


def _tables_text(places: list[Place]) -> str:
    lines = []
    for found in places:
        for table in tables.tables_info(found.root, found.tenant, storage_options=found.options):
            lines.append(f"{table.name}  ({', '.join(f'{n}: {rows:,} rows' for n, rows in table.rows.items())})")
            lines.extend(f"  {column.name:28} {column.kind:22} {column.meaning}" for column in table.columns)
    return "\n".join(lines)


def _plain(result: pa.Table) -> list[dict[str, Any]]:
    """Rows as JSON carries them: times as text, no NaN."""
    rows = pa.table([_timeless(column) for column in result.columns], names=result.column_names).to_pylist()
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]


def _timeless(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as text. Arrow would ask the system's time zones what UTC is, and an image need not have any."""
    if not pa.types.is_temporal(column.type):
        return column
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        return column.cast(pa.string())
    text = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    return pc.binary_join_element_wise(text, "Z", "")
