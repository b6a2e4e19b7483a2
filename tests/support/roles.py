"""Roles of a line, and whole workers, in the test's own process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from tests.support.nats import Server
from wheeltapper_api.config import LineConfig, Role, WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET
from wheeltapper_workers.main import make_parts, make_step
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.configs import line_generation
from wheeltapper_workers.runtime.line import LineRole
from wheeltapper_workers.runtime.worker import Environment, Worker


@contextlib.asynccontextmanager
async def running_role(
    server: Server, folder: Path, role: Role, config: LineConfig, earlier: Iterable[LineConfig] = ()
) -> AsyncIterator[tuple[LineRole, asyncio.Task[None]]]:
    """A role at work, which ends as a killed one does: nothing is saved."""
    client = await jetstream.connect(server.url, server.credentials, role.value)
    one = LineRole(client, role, config, make_step(role, config), CheckpointStore(folder, role.value))
    try:
        await one.start({line_generation(each): each for each in earlier})
        task = asyncio.create_task(one.run())
        try:
            yield one, task
        finally:
            task.cancel()
            await asyncio.wait([task])
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def running_worker(server: Server, folder: Path, name: str) -> AsyncIterator[tuple[Worker, asyncio.Task[None]]]:
    """A worker at work, with its files and tables in a folder."""
    tables = str(folder / "tables")
    environment = Environment(name, server.url, server.credentials, folder / "state", tables, folder)
    client = await jetstream.connect(server.url, server.credentials, name)
    one = Worker(environment, client, make_step, make_parts)
    task = asyncio.create_task(one.run())
    try:
        yield one, task
    finally:
        task.cancel()
        await asyncio.wait([task])
        await one.stop()
        await client.close()


async def put_config(client, config: WorkerConfig) -> None:
    """Put a worker's document."""
    await client.jetstream().publish(f"$KV.{CONFIG_BUCKET}.{config.worker}", config.model_dump_json().encode())
