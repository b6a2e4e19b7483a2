"""The operator's own connection to a tenant's account: what it puts there, and what the workers tell."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from wheeltapper_api.backbone import AUDIT
from wheeltapper_api.plan import TenantPlan
from wheeltapper_api.wire import STATUS_BUCKET
from wheeltapper_backbone.tenant import BackboneError, ensure_streams, put_configs
from wheeltapper_operator.backbone.accounts import connect

log = logging.getLogger(__name__)

_RECONNECT_S: Final = 1
_ATTEMPTS: Final = 3
_STATUS: Final = f"$KV.{STATUS_BUCKET}."


def storage_bytes(plan: TenantPlan, replicas: int) -> int:
    """What a tenant's streams and buckets may take of the backbone's disks, on all its servers together."""
    streams = sum(stream.max_bytes for stream in (*plan.streams, AUDIT))
    return replicas * (streams + sum(bucket.max_bytes for bucket in plan.buckets))


class TenantBackbone:
    """A tenant's account, as the operator uses it.

    Only the difference to what it put there last is put; after a new connection everything is looked at again, since
    the server may have come back with less.

    Parameters
    ----------
    on_report
        Called whenever a worker has told something.
    on_change
        Called when a connection that was lost is there again, or given up.
    """

    def __init__(self, url: str, creds: str, on_report: Callable[[], None], on_change: Callable[[], None]) -> None:
        self._url, self._creds = url, creds
        self._on_report, self._on_change = on_report, on_change
        self._client: Client | None = None
        self._streams: object = None
        self._given: dict[str, str] = {}
        self.reports: dict[str, dict[str, Any]] = {}
        """Newest status document of each worker."""

    async def ensure(self, plan: TenantPlan, replicas: int) -> None:
        """Have streams, buckets and documents be as the plan says, on so many servers.

        Raises
        ------
        BackboneError
            If the backbone refuses something or does not answer.
        """
        client = await self._connected()
        definitions = (plan.streams, plan.buckets)
        if self._streams != definitions:
            await ensure_streams(client, plan.streams, plan.buckets, replicas=replicas)
            self._streams = definitions
        changed = [config for config in plan.configs if self._given.get(config.worker) != config.generation]
        await put_configs(client, changed)
        self._given = {config.worker: config.generation for config in plan.configs}
        self.reports = {worker: report for worker, report in self.reports.items() if worker in self._given}

    async def delete_everything(self) -> None:
        """Delete all streams of the account, buckets among them.

        Raises
        ------
        BackboneError
            If the backbone refuses it or does not answer.
        """
        client = await self._connected()
        try:
            for stream in await client.jetstream().streams_info():
                await client.jetstream().delete_stream(str(stream.config.name))
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BackboneError(f"The streams cannot be deleted: {error or type(error).__name__}") from error
        self.look_again()

    def look_again(self) -> None:
        """Compare everything with the server the next time."""
        self._streams, self._given = None, {}

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> Client:
        if self._client is not None and not self._client.is_closed:
            return self._client
        self._client = None
        client = self._client = await connect(
            self._url,
            self._creds,
            reconnect_time_wait=_RECONNECT_S,
            max_reconnect_attempts=_ATTEMPTS,
            error_cb=_note,
            reconnected_cb=self._changed,
            closed_cb=self._changed,
        )
        try:
            await client.subscribe(f"{_STATUS}>", cb=self._take)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await self.close()
            raise BackboneError(f"The backbone gives no reports: {error or type(error).__name__}") from error
        self.look_again()
        return client

    async def _changed(self) -> None:
        """The connection is there again, or given up: what it holds has to be looked at, over a new one if need be."""
        if self._client is not None:  # else it is our own end, or was never there
            self.look_again()
            self._on_change()

    async def _take(self, message: Msg) -> None:
        """Status documents are read as they pass: one comes every second from each worker."""
        try:
            report = json.loads(message.data)
        except ValueError:
            log.warning("A status document on %s cannot be read", message.subject)
            return
        if isinstance(report, dict):
            self.reports[message.subject.removeprefix(_STATUS)] = report
            self._on_report()


async def _note(error: Exception) -> None:
    log.debug("Backbone: %s", error)
