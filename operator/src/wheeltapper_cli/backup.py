"""``wheeltapper backup`` and ``restore``: streams, buckets, tables and checkpoints together, of what may be running.

Everything is copied in the order against the flow, so that whatever refers to something is copied before it: positions
in checkpoints and tables before the streams they point into, and an output before the input that it was made of.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import click
from deltalake.exceptions import DeltaError
from nats.aio.client import Client

from wheeltapper_api.config import Role, StoreConfig
from wheeltapper_api.fields import Model
from wheeltapper_api.plan import TenantPlan
from wheeltapper_api.wire import CONFIG_BUCKET, STATUS_BUCKET, Stage
from wheeltapper_cli.errors import CommandError, InvalidInputError
from wheeltapper_cli.installation import STATE, access_of_running
from wheeltapper_cli.options import OUTPUT
from wheeltapper_cli.places import place, tenants
from wheeltapper_edge.command import SubstrateError
from wheeltapper_edge.snapshots import restore_stream, save_stream
from wheeltapper_edge.substrates.processes import ProcessSubstrate
from wheeltapper_workers.history.copying import copy_tenant, put_tenant
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.retention import now_text
from wheeltapper_workers.history.sealed import SealError, broken, read_manifest, seal
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.checkpoint import decode
from wheeltapper_workers.runtime.line import FLOW

LAYOUT: Final = "wheeltapper-backup/1"
_FLOW: Final = (Stage.TELEMETRY, Stage.FEATURES, Stage.SCORES, Stage.EVENTS)
_STREAMS: Final = (
    *(stage.stream for stage in reversed(_FLOW)),
    Stage.GAPS.stream,
    f"KV_{CONFIG_BUCKET}",
    f"KV_{STATUS_BUCKET}",
)
"""Against the flow; then the gaps, entered before the samples behind them, and the configs, told before their ticks."""
_OF_THE_SEAL: Final = ("layout", "files", "fingerprint")
_CHECKPOINTS: Final = "*/checkpoints/*.checkpoint*"
_FRESH: Final = ".new"
"""What a checkpoint is called while it is written."""


class Backup(Model):
    """What a backup holds."""

    tenants: list[str]
    made: str
    streams: dict[str, dict[str, int]]
    """Last sequence by stream, by tenant: what was published later is not in it."""
    tables: dict[str, dict[str, int]]
    """Last sequence that each stream's table contains, by tenant."""
    checkpoints: dict[str, int]
    """Positions by the path of the checkpoint."""


@click.command()
@STATE
@OUTPUT
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="Folder to write.")
def backup(state: Path, output: str, target: Path) -> None:
    """Copy an installation into a folder: streams, buckets, tables and checkpoints, so that they fit together.

    It may go on running: what is published after its moment is in the next backup. Secrets are not copied.

    \b
    Examples:
      wheeltapper backup --to /backup/2026-03-01
      wheeltapper backup --state .wheeltapper --to /backup/2026-03-01 --output json
    """
    _refuse_object_stores(state)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidInputError(f"{target} is there already; name another folder with --to")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        made = asyncio.run(_backup(state, partial))
        seal(partial, {"layout": LAYOUT, **made.model_dump(mode="json")})
        if target.exists():
            target.rmdir()
        partial.replace(target)
    except (SubstrateError, DeltaError, QueryError, OSError) as error:
        raise CommandError(f"No backup was made: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    click.echo(made.model_dump_json() if output == "json" else _text(made, target))


@click.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@STATE
@OUTPUT
def restore(source: Path, state: Path, output: str) -> None:
    """Make an installation of the backup in the folder SOURCE, in an empty state folder; then start it with up.

    Every file is checked first. The backbone's passwords are made anew; put the secrets of connections back yourself.

    \b
    Examples:
      wheeltapper restore /backup/2026-03-01 --state restored
      wheeltapper up examples/pump-station --state restored
    """
    if state.exists() and any(state.iterdir()):
        raise InvalidInputError(f"{state} is not empty; name another folder with --state")
    made = _read(source)
    try:
        asyncio.run(_restore(source, state, made))
    except BaseException as error:
        shutil.rmtree(state, ignore_errors=True)  # it was empty: half an installation is none
        if isinstance(error, SubstrateError | DeltaError | QueryError | OSError):
            raise CommandError(f"Nothing was restored: {error}") from error
        raise
    click.echo(made.model_dump_json() if output == "json" else f"Restored {', '.join(made.tenants)} into {state}")


def uncovered(made: Backup) -> list[str]:
    """Positions that point behind the end of their stream: such a backup would lose what comes next."""
    found = []
    for tenant, tables in made.tables.items():
        last = made.streams[tenant]
        found += [
            f"the table of {stream} of {tenant} has block {number}, and the stream ends with {last[stream]}"
            for stream, number in tables.items()
            if number > last[stream]
        ]
    highest = {stage.stream: max((last[stage.stream] for last in made.streams.values()), default=0) for stage in Stage}
    for path, position in made.checkpoints.items():
        stream = _input_of(Path(path).name)
        if stream and position > highest[stream]:
            found.append(f"the checkpoint {path} is at {position} of {stream}, which ends with {highest[stream]}")
    return found


def _input_of(name: str) -> str:
    """Stream that a checkpoint's position is in; none for a collector's."""
    role = next((role for role in FLOW if name.startswith(f"{role.value}-")), None)
    return FLOW[Role(role)][0].stream if role else ""


def _refuse_object_stores(state: Path) -> None:
    """A restore would write into the very tables that are still there."""
    for tenant in tenants(state):
        where = place(state, tenant)
        if where.options is not None:
            raise InvalidInputError(
                f"The tables of {tenant} are in {where.root}, which a backup does not copy; have that store keep "
                "versions or copies of its own"
            )


async def _backup(state: Path, folder: Path) -> Backup:
    async with _access(state) as access:
        made = now_text(time.time_ns())
        checkpoints = _copy_checkpoints(state / "workers", folder / "workers")
        tables: dict[str, dict[str, int]] = {}
        for tenant in access:
            copy_tenant(Store(str(state / "tables")), tenant, folder / "tables", _tell)
            tables[tenant] = _positions(folder / "tables", tenant)
        streams = {tenant: await _save_streams(tenant, *access[tenant], folder / "streams") for tenant in access}
    found = Backup(tenants=sorted(access), made=made, streams=streams, tables=tables, checkpoints=checkpoints)
    if wrong := uncovered(found):
        raise SubstrateError(f"The parts do not fit together: {'; '.join(wrong)}. See that nobody else writes")
    return found


async def _restore(source: Path, state: Path, made: Backup) -> None:
    if (source / "workers").is_dir():
        shutil.copytree(source / "workers", state / "workers")
    for tenant in made.tenants:
        if (source / "tables" / tenant).is_dir():
            put_tenant(source / "tables", Store(str(state / "tables")), tenant)
    async with _backbone(state, made.tenants) as access:
        for tenant, (url, credentials) in access.items():
            client = await jetstream.connect(url, credentials, "wheeltapper-restore")
            try:
                for path in sorted((source / "streams" / tenant).glob("*.json")):
                    _tell(f"Restoring {path.stem} of {tenant}")
                    await restore_stream(client, json.loads(path.read_text()), path.with_suffix(".snapshot"))
            finally:
                await client.close()


def _read(source: Path) -> Backup:
    """Manifest of a backup in which nothing was changed."""
    try:
        document: dict[str, Any] = read_manifest(source)
    except SealError as error:
        raise InvalidInputError(f"{error}; name a folder that wheeltapper backup has written") from error
    if document.get("layout") != LAYOUT:
        raise InvalidInputError(f"{source} is no backup of the layout {LAYOUT}")
    if wrong := broken(source):
        shown = "\n".join(f"  {one}" for one in wrong[:20])
        raise InvalidInputError(f"This backup is not what was written; take another one:\n{shown}")
    return Backup.model_validate({name: said for name, said in document.items() if name not in _OF_THE_SEAL})


@asynccontextmanager
async def _access(state: Path) -> AsyncIterator[dict[str, tuple[str, Path]]]:
    """Address and credentials of each tenant; of an installation that is stopped, the backbone is started for it."""
    if access := access_of_running(state):
        yield access
        return
    tenants = [path.name.removeprefix("backbone-") for path in sorted((state / "secrets").glob("backbone-*"))]
    async with _backbone(state, tenants) as access:
        yield access


@asynccontextmanager
async def _backbone(state: Path, tenants: list[str]) -> AsyncIterator[dict[str, tuple[str, Path]]]:
    """A backbone without workers."""
    substrate = ProcessSubstrate(state)
    try:
        await substrate.start(
            [TenantPlan(tenant=t, namespace=t, streams=[], buckets=[], configs=[], manifests=[]) for t in tenants]
        )
        yield access_of_running(state)
    finally:
        await substrate.stop()


def _copy_checkpoints(source: Path, target: Path) -> dict[str, int]:
    """Copy what is whole; one that a crash has spoilt is passed over, as at a start. Returns the positions."""
    found = {}
    for path in sorted(source.glob(_CHECKPOINTS)):
        if path.name.endswith(_FRESH):
            continue
        try:
            data = path.read_bytes()
            position = decode(data).position
        except (FileNotFoundError, ValueError):
            continue
        name = path.relative_to(source)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)
        found[name.as_posix()] = position
    return found


def _positions(folder: Path, tenant: str) -> dict[str, int]:
    config = StoreConfig(tenant=tenant, lines=[], commit_every_ns=1, commit_rows=1)
    return Historian(str(folder), config).positions()


async def _save_streams(tenant: str, url: str, credentials: Path, folder: Path) -> dict[str, int]:
    """Save all streams of a tenant; returns their last sequences."""
    client: Client = await jetstream.connect(url, credentials, "wheeltapper-backup")
    found = {}
    (folder / tenant).mkdir(parents=True)
    try:
        for stream in _STREAMS:
            _tell(f"Copying {stream} of {tenant}")
            told = await save_stream(client, stream, folder / tenant / f"{stream}.snapshot")
            (folder / tenant / f"{stream}.json").write_text(json.dumps(told))
            found[stream] = int(told["state"]["last_seq"])
    finally:
        await client.close()
    return found


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _text(made: Backup, target: Path) -> str:
    lines = [f"Backup of {made.made} in {target}"]
    for tenant, streams in made.streams.items():
        ends = ", ".join(f"{stage.stream} {streams[stage.stream]:,}" for stage in _FLOW)
        lines.append(f"  {tenant} up to {ends}")
    return "\n".join(lines)
