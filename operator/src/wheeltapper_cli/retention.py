"""``wheeltapper retention``: what is past its age and what alerts keep. The historian removes by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from wheeltapper_api.config import RetentionConfig
from wheeltapper_cli.files import PATHS, load_valid
from wheeltapper_cli.installation import STATE
from wheeltapper_cli.options import OUTPUT
from wheeltapper_cli.places import explained, place
from wheeltapper_operator.compile import compile_plan
from wheeltapper_workers.history.cleaner import clean, look
from wheeltapper_workers.history.retention import Decision, Part, ages_ns, day_text


@click.command()
@PATHS
@STATE
@OUTPUT
@click.option("--apply", "do", is_flag=True, help="Remove it; without it, only look.")
def retention(paths: tuple[Path, ...], state: Path, output: str, *, do: bool) -> None:
    """Show what the retention of the TenantPolicy in PATHS would remove now, and what alerts and holds keep.

    A running installation removes it by itself, every hour.

    \b
    Examples:
      wheeltapper retention examples/pump-station
      wheeltapper retention examples/pump-station --apply --output json
    """
    plan = compile_plan(load_valid(paths))
    ages = {w.tenant: w.store.retention for t in plan.tenants for w in t.configs if w.store and w.store.retention}
    found = {tenant: _tenant(state, tenant, kept, do=do) for tenant, kept in ages.items()}
    if output == "json":
        click.echo(json.dumps({tenant: _plain(decision) for tenant, decision in found.items()}))
        return
    for tenant, decision in found.items():
        click.echo("\n".join(_text(tenant, ages[tenant], decision, do=do)))


def _tenant(state: Path, tenant: str, kept: RetentionConfig, *, do: bool) -> Decision:
    now_ns = time.time_ns()
    with explained("Cannot remove what is past its age" if do else "Cannot read the tables"):
        store = place(state, tenant).store
        decision = look(store, tenant, kept, now_ns)
        if do:
            clean(store, tenant, kept, now_ns)
        return decision


def _plain(decision: Decision) -> dict[str, Any]:
    return {
        "expired": [_row(part) for part in decision.expired],
        "pinned": [_row(part) | {"alert": pin.alert_id, "held": pin.held} for part, pin in decision.pinned],
    }


def _row(part: Part) -> dict[str, Any]:
    return {
        "table": part.table,
        "plant": part.plant,
        "class": part.asset_class,
        "day": str(part.date),
        "rows": part.rows,
        "bytes": part.size_bytes,
    }


def _text(tenant: str, kept: RetentionConfig, decision: Decision, *, do: bool) -> Iterator[str]:
    ages = ", ".join(f"{table} {day_text(age)}" for table, age in ages_ns(kept).items())
    yield f"{tenant} keeps {ages}; what is around an alert {day_text(kept.around_incidents_ns)}"
    yield f"{'Removed' if do else 'Past its age'}: {len(decision.expired) or 'nothing'}"
    for part in decision.expired:
        yield f"  {_part(part)}"
    yield f"Kept for an alert: {len(decision.pinned) or 'nothing'}"
    for part, pin in decision.pinned:
        yield f"  {_part(part)}  {'held for' if pin.held else 'for'} {pin.alert_id}"
    if do:
        yield "The historian deletes their files in a day, when no reader can have them open any more"
    elif decision.expired:
        yield "The historian removes it within an hour; --apply does it now"


def _part(part: Part) -> str:
    size = f"{part.rows:,} rows, {part.size_bytes / 1e6:,.1f} MB"
    return f"{part.table:<9}{part.date}  {part.plant}/{part.asset_class}  {size}"
