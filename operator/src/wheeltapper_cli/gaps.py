"""``wheeltapper gaps``: the ledger of what is missing, running or stopped."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from wheeltapper_api.fields import duration_ns, duration_text
from wheeltapper_api.wire import Stage
from wheeltapper_cli.installation import STATE, access_of_running
from wheeltapper_cli.options import TENANT
from wheeltapper_cli.places import explained, place
from wheeltapper_cli.replay import moment
from wheeltapper_cli.served import Served
from wheeltapper_workers.history.ledger import LedgerGap, ledger, stored
from wheeltapper_workers.history.rows import Entry, read_entry, rows_of
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.jetstream import StreamReader


@click.command(cls=Served, resource="telemetry")
@STATE
@TENANT
@click.option("--twin", help="Only gaps of this twin.")
@click.option("--since", help="Only gaps that end after a time (UTC), or that long ago: 2026-03-01, 7d.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def gaps(state: Path, tenant: str | None, twin: str | None, since: str | None, output: str) -> None:
    """Show which samples are missing: signal, from, to, cause, and whether they came later after all.

    From is the last sample before the gap and To the first one behind it. Of a running installation the newest are
    shown before they are stored.

    \b
    Examples:
      wheeltapper gaps
      wheeltapper gaps --twin p-103 --since 7d
      wheeltapper gaps --since 2026-03-01 --output json
    """
    after_ns = None if since is None else _since(since)
    with explained():
        where = place(state, tenant)
        rows = stored(where.store, where.tenant)
    if access := access_of_running(state).get(where.tenant):
        last = pc.max(rows["block_sequence"]).as_py() or 0
        rows = pa.concat_tables([rows, rows_of(Stage.GAPS, asyncio.run(_unstored(*access, last)))])
    if twin is not None:
        rows = rows.filter(pc.field("asset") == twin)
    found = ledger(rows, since_ns=after_ns)
    if output == "json":
        click.echo(json.dumps([_plain(gap) for gap in found]))
    elif not found:
        click.echo("No gaps")
    else:
        Console().print(_table(found))


async def _unstored(url: str, credentials: Path, position: int) -> list[Entry]:
    """What the stream has behind a position."""
    client = await jetstream.connect(url, credentials, "wheeltapper-cli")
    try:
        last = (await client.jetstream().stream_info(Stage.GAPS.stream)).state.last_seq
        reader = StreamReader(client, Stage.GAPS.stream, [f"{Stage.GAPS.value}.>"], position)
        found: list[Entry] = []
        while reader.position < last:
            messages = await reader.read(256)
            found += [
                read_entry(Stage.GAPS, one.sequence, one.published_ns, one.subject, one.data, one.headers)
                for one in messages
                if one.data
            ]
            if not messages:  # the last ones have left the stream
                break
        await reader.close()
    finally:
        await client.close()
    return found


def _since(text: str) -> int:
    try:
        return time.time_ns() - duration_ns(text)
    except ValueError:
        return moment(text, "--since") * 1000


def _plain(gap: LedgerGap) -> dict[str, Any]:
    return {
        "plant": gap.plant,
        "class": gap.asset_class,
        "twin": gap.asset,
        "signal": gap.signal,
        "from": _text(gap.since_ns),
        "to": _text(gap.until_ns),
        "cause": gap.cause,
        "recovered": gap.recovered,
        "samples": gap.samples,
    }


def _table(found: list[LedgerGap]) -> Table:
    table = Table(pad_edge=False)
    for name in ("Twin", "Signal", "From", "To", "Length", "Recovered", "Cause"):
        table.add_column(name, overflow="fold")
    for gap in found:
        came = "yes" if gap.recovered else f"{gap.samples} samples" if gap.samples else "no"
        length = duration_text(gap.until_ns - gap.since_ns)
        begin, end = (_text(time_ns)[:19].replace("T", " ") for time_ns in (gap.since_ns, gap.until_ns))
        table.add_row(gap.asset, gap.signal, begin, end, length, came, gap.cause)
    return table


def _text(time_ns: int) -> str:
    """Time in UTC to the millisecond."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
