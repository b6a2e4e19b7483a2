"""A plan as processes: backbone first, then workers, stopped the other way round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.js.errors import KeyNotFoundError

from wheeltapper_api.plan import TenantPlan
from wheeltapper_api.wire import CONFIG_BUCKET
from wheeltapper_edge.backbone import NAME, Backbone, ensure_streams
from wheeltapper_edge.substrates.processes.binding import Command, bind
from wheeltapper_edge.substrates.processes.files import RunLock, write_secret
from wheeltapper_edge.substrates.processes.supervisor import State, Supervisor

Deployment = Mapping[str, Any]


class ProcessSubstrate:
    """Runs Deployments as supervised processes in a state folder.

    The folder has ``backbone`` (the NATS server), ``tables``, ``workers/<worker>``, ``secrets`` and ``logs``.
    """

    def __init__(self, state: Path, on_line: Callable[[str, str], None] = lambda _name, _line: None) -> None:
        self._state = state.absolute()
        self._lock = RunLock(self._state)
        self._supervisor = Supervisor(self._state / "logs", on_line)
        self._backbone: Backbone | None = None

    @property
    def secrets(self) -> Path:
        """Folder of the Secrets."""
        return self._state / "secrets"

    @property
    def tables(self) -> Path:
        """Folder of the tables."""
        return self._state / "tables"

    @property
    def url(self) -> str:
        """Address of the backbone."""
        return self._backbone.url if self._backbone else ""

    async def start(self, tenants: list[TenantPlan]) -> None:
        """Start the backbone with the tenants' accounts, streams and buckets.

        Raises
        ------
        SubstrateError
            If it does not come up.
        """
        backbone = self._backbone = Backbone(self._state / "backbone", [tenant.tenant for tenant in tenants])
        for tenant in tenants:
            write_secret(self.secrets, f"backbone-{tenant.tenant}", backbone.credentials(tenant.tenant))
        await self._supervisor.apply([backbone.command()])
        await backbone.ready(lambda: self._supervisor.status()[NAME].last_line)
        self._lock.tell({"backbone": backbone.url, "tenants": backbone.tenants, "secrets": str(self.secrets)})
        await self.ensure(tenants)

    async def ensure(self, tenants: list[TenantPlan]) -> None:
        """Create or change streams and buckets, and put the workers' config documents where they differ."""
        for tenant in tenants:
            if self._backbone is None:
                return
            client = await self._backbone.connect(tenant.tenant)
            try:
                await ensure_streams(client, tenant.streams, tenant.buckets)
                await _put_configs(client, tenant)
            finally:
                await client.close()

    async def apply(self, deployments: Iterable[Deployment]) -> None:
        """Run exactly these Deployments."""
        commands = [self._bind(deployment) for deployment in deployments]
        backbone = [self._backbone.command()] if self._backbone else []
        await self._supervisor.apply([*backbone, *commands])

    def status(self) -> dict[str, State]:
        """State of every process, the backbone's among them."""
        return self._supervisor.status()

    async def stop(self) -> None:
        """Stop everything in order; nothing is left behind."""
        await self._supervisor.stop()
        self._lock.release()

    def _bind(self, deployment: Deployment) -> Command:
        own = self._state / "workers" / deployment["metadata"]["name"]
        own.mkdir(parents=True, exist_ok=True)
        symbols = {
            "backbone.url": self.url,
            "storage.tables": str(self.tables),
            "state": str(own),
            "secrets": str(self.secrets),
        }
        return bind(deployment, symbols)


async def _put_configs(client: Client, tenant: TenantPlan) -> None:
    """An equal document is not written again, so that nobody has to compare it."""
    bucket = await client.jetstream().key_value(CONFIG_BUCKET)
    for config in tenant.configs:
        data = config.model_dump_json().encode()
        try:
            current = (await bucket.get(config.worker)).value
        except KeyNotFoundError:
            current = None
        if current != data:
            await bucket.put(config.worker, data)
