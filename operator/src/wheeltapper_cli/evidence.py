"""``wheeltapper evidence``: an alert with all it rests on as a folder, and the check of such a folder."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from wheeltapper_api.fields import duration_ns
from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.installation import STATE
from wheeltapper_cli.options import OUTPUT, TENANT
from wheeltapper_cli.places import explained, place
from wheeltapper_cli.replay import progress_lines, what_differs
from wheeltapper_cli.served import Served, shown
from wheeltapper_workers.history.evidence import Evidence, export_evidence
from wheeltapper_workers.history.evidence_check import Verified, verify_evidence
from wheeltapper_workers.history.holds import Hold, holds, place_hold, release_hold
from wheeltapper_workers.history.query import QueryError, alert_history
from wheeltapper_workers.history.replay import Replay, Which
from wheeltapper_workers.history.retention import now_text

_ALL: Final = "all"
_WIDTH: Final = 78


class _Evidence(click.Group):
    """Group whose first word may be an alert instead of a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what is no command and no option of the group's own as the alert of ``export``."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["export", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Evidence)
def evidence() -> None:
    """Write ALERT with all it rests on into a folder that can be checked elsewhere, or check such a folder.

    The folder has every row, model, config and policy, an HTML page that tells what happened, and checksums.

    \b
    Examples:
      wheeltapper evidence p-103-bearing-wear
      wheeltapper evidence p-103-bearing-wear --to /media/stick/p-103 --context 1d
      wheeltapper evidence verify evidence-p-103-bearing-wear-1f00ba11
      wheeltapper evidence hold p-103-bearing-wear --reason "Claim 4711 with the maker"
    """


@evidence.command(cls=Served, resource="evidence", writes="target", writes_default="evidence-")
@click.argument("alert")
@STATE
@TENANT
@OUTPUT
@click.option("--to", "target", type=click.Path(path_type=Path), help="Folder to write.  [default: evidence-ALERT]")
@click.option(
    "--event", type=click.Choice(["last", "opened"]), default="last", show_default=True, help="Event to go up to."
)
@click.option(
    "--context", default="1h", show_default=True, metavar="TIME|all", help="How long before the alert the rows begin."
)
@click.pass_context
def export(
    context_: click.Context,
    /,
    alert: str,
    state: Path,
    tenant: str | None,
    output: str,
    target: Path | None,
    event: Which,
    context: str,
) -> None:
    """Write ALERT (the beginning of its id is enough) with all it rests on into a folder.

    The whole computation is done again on the way. Ends with 0 if it came out the same, with 1 if something differs
    (the folder is written, and says so), and with 2 if it could not be tried.

    \b
    Examples:
      wheeltapper evidence p-103-bearing-wear
      wheeltapper evidence p-103-bearing-wear --event opened --context all --output json
    """
    where = place(state, tenant)
    with explained("The evidence was not written", "; name another folder with --to if it is not the tables"):
        found = export_evidence(
            where.root,
            where.tenant,
            alert,
            lambda whole: target or Path(f"evidence-{whole}"),
            which=event,
            context_ns=_context(context),
            progress=progress_lines(),
            storage_options=where.options,
        )
    found = found.model_copy(update={"folder": shown(found.folder)})
    click.echo(found.model_dump_json() if output == "json" else "\n".join(_written(found)))
    if not found.replay.same:
        context_.exit(1)


@evidence.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--fingerprint", metavar="sha256:…", help="As it was noted when the folder was written.")
@OUTPUT
@click.pass_context
def verify(context: click.Context, /, folder: Path, fingerprint: str | None, output: str) -> None:
    """Check that nothing in FOLDER was changed, and that the alert follows from its rows to the same bits.

    Nothing else is needed: no tables, no server. Ends with 0 if all is sound, with 1 if something was changed or
    differs, and with 2 if FOLDER is no evidence.

    \b
    Examples:
      wheeltapper evidence verify evidence-p-103-bearing-wear-1f00ba11
      wheeltapper evidence verify . --fingerprint sha256:1f00ba11… --output json
    """
    try:
        found = verify_evidence(folder, fingerprint=fingerprint, progress=progress_lines())
    except QueryError as error:
        raise InvalidInputError(str(error)) from error
    click.echo(found.model_dump_json() if output == "json" else "\n".join(_checked(found)))
    if not found.sound:
        context.exit(1)


@evidence.command()
@click.argument("alert")
@click.option("--reason", required=True, help="Why, for those who find it later.")
@STATE
@TENANT
@OUTPUT
def hold(alert: str, reason: str, state: Path, tenant: str | None, output: str) -> None:
    """Keep all data around ALERT (the beginning of its id is enough), whatever its age, until it is released.

    \b
    Examples:
      wheeltapper evidence hold p-103-bearing-wear --reason "Claim 4711 with the maker"
    """
    with explained("Cannot place the hold"):
        where = place(state, tenant)
        found = alert_history(where.store, where.tenant, alert)["alert_id"][0].as_py()
        placed = Hold(alert_id=found, reason=reason, since=now_text(time.time_ns()))
        place_hold(where.store, where.tenant, placed)
    text = f"Held: {found}. What is stored around it stays until: wheeltapper evidence release {found}"
    click.echo(placed.model_dump_json() if output == "json" else text)


@evidence.command()
@click.argument("alert")
@STATE
@TENANT
def release(alert: str, state: Path, tenant: str | None) -> None:
    """Let go of the hold on ALERT (its whole id); its data goes when it is past its age.

    \b
    Examples:
      wheeltapper evidence release p-103-bearing-wear-1f00ba11
    """
    with explained("Cannot release the hold"):
        where = place(state, tenant)
        release_hold(where.store, where.tenant, alert)
    click.echo(f"Released: {alert}")


@evidence.command(name="holds", cls=Served, resource="evidence")
@STATE
@TENANT
@OUTPUT
def show_holds(state: Path, tenant: str | None, output: str) -> None:
    """Show all holds.

    \b
    Examples:
      wheeltapper evidence holds --output json
    """
    with explained():
        where = place(state, tenant)
        found = holds(where.store, where.tenant)
    if output == "json":
        click.echo(json.dumps([one.model_dump(mode="json") for one in found]))
        return
    click.echo("\n".join(f"{one.alert_id}  since {one.since}  {one.reason}" for one in found) or "No holds")


def _context(text: str) -> int | None:
    if text == _ALL:
        return None
    try:
        return duration_ns(text)
    except ValueError as error:
        raise InvalidInputError(f"--context: {error}, or {_ALL}") from error


def _written(found: Evidence) -> Iterator[str]:
    yield f"Evidence of {found.alert_id}"
    yield f"  {found.files} files, {found.size_bytes / 1e6:,.1f} MB, in {found.folder}"
    yield "  " + ", ".join(f"{count:,} rows of {table}" for table, count in found.rows.items())
    yield from _replayed(found.replay)
    yield f"Fingerprint {found.fingerprint}"
    yield "  Note it where nobody can change it: it binds every file."
    yield "To be checked with"
    yield f"  wheeltapper evidence verify {found.folder}"


def _checked(found: Verified) -> Iterator[str]:
    yield f"Evidence of {found.alert_id or 'an unknown alert'} in {found.folder}"
    for line in found.broken:
        yield f"  CHANGED  {line}"
    if found.replay is None:
        yield "Not what was written: nothing was computed again, since it would prove nothing."
        return
    if not found.broken:
        yield "  every file is what was written"
    yield from _replayed(found.replay)


def _replayed(replay: Replay) -> Iterator[str]:
    yield f"  {replay.rows:,} rows in {replay.blocks:,} blocks computed again in {replay.seconds:.1f} s"
    for hop in replay.hops:
        yield f"  {hop.name:<10}{hop.rows:>12,} rows compared{hop.equal:>12,} the same"
    yield from what_differs(replay)
    for note in replay.notes:
        yield from textwrap.wrap(f"! {note}.", _WIDTH, subsequent_indent="  ")
