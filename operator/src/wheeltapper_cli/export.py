"""``wheeltapper export``: rows of the tables in open formats, with a data dictionary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from wheeltapper_api.wire import Stage
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.installation import STATE
from wheeltapper_cli.options import OUTPUT, TENANT
from wheeltapper_cli.places import Place, explained, place
from wheeltapper_cli.replay import moment
from wheeltapper_cli.served import Served, shown
from wheeltapper_workers.history.export import FORMATS, Wanted
from wheeltapper_workers.history.export import export as export_rows
from wheeltapper_workers.history.tables import TABLE_OF, TABLES

_DEFAULT: Final = tuple(TABLE_OF[stage] for stage in Stage)
"""What machines said and what was made of it; of these a table without data is passed over."""


@click.command(cls=Served, resource="tables", writes="target")
@STATE
@TENANT
@OUTPUT
@click.option(
    "--table",
    "tables",
    type=click.Choice(TABLES),
    multiple=True,
    help="May be given again.  [default: all that have data, but configs, ticks and removed]",
)
@click.option("--twin", help="Only rows of this twin.")
@click.option("--from", "start", help="Begin of the period by event time, in UTC, such as 2026-03-01.")
@click.option("--until", "end", help="End of the period; what is at it is no longer in.")
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="File of one table, or folder.")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="parquet", show_default=True, help="In a folder.")
def export(
    state: Path,
    tenant: str | None,
    output: str,
    tables: tuple[str, ...],
    twin: str | None,
    start: str | None,
    end: str | None,
    target: Path,
    kind: str,
) -> None:
    """Write rows as Parquet or CSV, with a data dictionary beside them (datapackage.json).

    It takes little memory, however many rows there are. Rows come as they are stored: by file, not sorted.

    \b
    Examples:
      wheeltapper export --table raw --twin p-103 --from 2026-03-01 --until 2026-03-08 --to p-103.csv
      wheeltapper export --to everything
      wheeltapper export --table features --table scores --to for-training --output json
    """
    where = place(state, tenant)
    start_us, end_us = (moment(text, name) if text else None for text, name in ((start, "--from"), (end, "--until")))
    if start_us is not None and end_us is not None and end_us <= start_us:
        raise InvalidInputError(f"The period ends before it begins: --from {start} --until {end}")
    single = target.suffix.removeprefix(".").lower() in FORMATS
    if single and len(tables) != 1:
        raise InvalidInputError(f"{target} is one file; choose one table with --table, or name a folder")
    written = []
    with explained(f"{target} was not written", "; choose another place with --to if it is not the tables"):
        for table in tables or _with_data(where):
            file = target if single else target / f"{table}.{kind}"
            wanted = Wanted(table, twin, start_us, end_us)
            written.append(export_rows(where.root, where.tenant, wanted, file, storage_options=where.options))
    written = [one.model_copy(update={"file": shown(one.file), "dictionary": shown(one.dictionary)}) for one in written]
    if output == "json":
        click.echo(json.dumps([one.model_dump(mode="json") for one in written]))
        return
    for one in written:
        click.echo(f"{one.rows:,} rows of {one.table} in {one.file} ({one.size_bytes / 1e6:,.1f} MB), {one.dictionary}")


def _with_data(where: Place) -> list[str]:
    return [table for table in _DEFAULT if where.store.dataset(where.tenant, table) is not None]
