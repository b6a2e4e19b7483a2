"""A tenant's account of the backbone, seen from outside of the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from nats.aio.client import Client

from tests.cluster.installation import NAMESPACE
from tests.cluster.operated import Operated
from wheeltapper_api.config import WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET
from wheeltapper_operator import names
from wheeltapper_operator.backbone.accounts import connect, has_account
from wheeltapper_operator.backbone.authority import Authority

T = TypeVar("T")


@asynccontextmanager
async def _connected(operated: Operated, creds: Callable[[Authority], str]) -> AsyncIterator[tuple[Client, Authority]]:
    where = f"--namespace={NAMESPACE}"
    authority = Authority.from_secret(operated.get("secret", names.KEYS_SECRET, where)["data"])
    address = operated.get("service", names.NATS, where)["spec"]["clusterIP"]
    with operated.cluster.sandbox.forwarded("account", f"{address}:{names.NATS_PORT}") as port:
        client = await connect(f"nats://127.0.0.1:{port}", creds(authority))
        try:
            yield client, authority
        finally:
            await client.close()


def documents(operated: Operated, tenant: str) -> dict[str, WorkerConfig]:
    """Document of each worker."""

    async def read() -> dict[str, WorkerConfig]:
        async with _connected(operated, lambda authority: authority.user(tenant, "test")) as (client, _):
            bucket = await client.jetstream().key_value(CONFIG_BUCKET)
            found = {}
            for worker in await bucket.keys():
                value = (await bucket.get(worker)).value
                assert value is not None
                found[worker] = WorkerConfig.model_validate_json(value)
            return found

    return _run(read())


def streams(operated: Operated, tenant: str) -> dict[str, Any]:
    """When each of the account's streams was made; buckets are streams, too."""

    async def read() -> dict[str, Any]:
        async with _connected(operated, lambda authority: authority.user(tenant, "test")) as (client, _):
            return {str(one.config.name): one.created for one in await client.jetstream().streams_info()}

    return _run(read())


def known(operated: Operated, tenant: str) -> bool:
    """Whether the servers know the account."""

    async def ask() -> bool:
        async with _connected(operated, lambda authority: authority.system_user()) as (client, authority):
            return await has_account(client, authority, tenant)

    return _run(ask())


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
