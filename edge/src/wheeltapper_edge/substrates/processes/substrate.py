"""A plan as processes: backbone first, then workers, stopped the other way round."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import nats.errors

from wheeltapper_api.plan import TenantPlan
from wheeltapper_backbone.tenant import BackboneError, ensure_streams, put_configs
from wheeltapper_edge.backbone import NAME, Backbone
from wheeltapper_edge.command import Command, SubstrateError
from wheeltapper_edge.private import write_secret
from wheeltapper_edge.substrates.processes.binding import bind
from wheeltapper_edge.substrates.processes.files import RunLock
from wheeltapper_edge.substrates.processes.room import DiskGuard
from wheeltapper_edge.substrates.processes.supervisor import State, Supervisor

Deployment = Mapping[str, Any]
_FAILED_STARTS: Final = 3


class ProcessSubstrate:
    """Runs Deployments as supervised processes in a state folder.

    The folder has ``backbone`` (the NATS server), ``tables``, ``workers/<worker>``, ``secrets`` and ``logs``.
    """

    def __init__(self, state: Path, on_line: Callable[[str, str], None] = lambda _name, _line: None) -> None:
        self._state = state.absolute()
        self._lock = RunLock(self._state)
        try:
            self._supervisor = Supervisor(self._state / "logs", self._hear)
        except OSError as error:
            self._lock.release()
            raise SubstrateError(f"The folder {self._state / 'logs'} cannot be written: {error.strerror}") from error
        self._on_line = on_line
        self._backbone: Backbone | None = None
        self._guard: DiskGuard | None = None

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
        if not tenants:
            raise SubstrateError("There is no twin to run: no tenant has an AssetTwin")
        backbone = self._backbone = Backbone(self._state / "backbone", [tenant.tenant for tenant in tenants])
        self._guard = DiskGuard(self._state / "backbone", self._restart_backbone)
        await self._supervisor.apply([backbone.command()])
        await self._open(backbone)
        await self.ensure(tenants)

    async def ensure(self, tenants: list[TenantPlan]) -> None:
        """Create or change accounts, streams and buckets, and put the workers' config documents where they differ.

        Raises
        ------
        SubstrateError
            If the backbone does not answer, as while it is being restarted, or refuses something.
        """
        backbone = self._backbone
        if backbone is None:
            return
        if backbone.extend(tenant.tenant for tenant in tenants):
            self._supervisor.send_signal(NAME, signal.SIGHUP)  # the server reads its accounts anew
            await self._open(backbone)
        for tenant in tenants:
            try:
                await _ensure(backbone, tenant)
            except BackboneError as error:
                raise SubstrateError(str(error)) from error
            except (nats.errors.Error, OSError, TimeoutError) as error:
                raise SubstrateError(f"The backbone does not answer: {error or type(error).__name__}") from error

    async def _open(self, backbone: Backbone) -> None:
        """Wait for the server, and tell workers and commands how to reach it."""
        for tenant in backbone.tenants:
            write_secret(self.secrets, f"backbone-{tenant}", backbone.credentials(tenant))
        await backbone.ready(
            self._backbone_fails, lambda: self._supervisor.last_lines(NAME), self._state / "logs" / f"{NAME}.log"
        )
        self._lock.tell({"backbone": backbone.url, "tenants": backbone.tenants, "secrets": str(self.secrets)})

    async def apply(self, deployments: Iterable[Deployment]) -> None:
        """Run exactly these Deployments.

        Raises
        ------
        SubstrateError
            If one cannot be run as a process; then nothing is changed.
        """
        commands = [self._bind(deployment) for deployment in deployments]
        backbone = [self._backbone.command()] if self._backbone else []
        await self._supervisor.apply([*backbone, *commands])

    def status(self) -> dict[str, State]:
        """State of every process, the backbone's among them."""
        return self._supervisor.status()

    @property
    def problem(self) -> str:
        """What is wrong with the machine underneath and what to do, or nothing."""
        return self._guard.problem if self._guard else ""

    async def stop(self) -> None:
        """Stop everything in order; nothing is left behind."""
        try:
            if self._guard is not None:
                await self._guard.stop()
            await self._supervisor.stop()
        finally:
            self._lock.release()

    def _hear(self, name: str, line: str) -> None:
        if name == NAME and self._guard is not None:
            self._guard.hear(line)
        self._on_line(name, line)

    def _restart_backbone(self) -> None:
        self._supervisor.send_signal(NAME, signal.SIGTERM)  # the supervisor starts it again

    def _backbone_fails(self) -> bool:
        state = self._supervisor.status()[NAME]
        return state.pid is None and state.failures >= _FAILED_STARTS

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


async def _ensure(backbone: Backbone, tenant: TenantPlan) -> None:
    client = await backbone.connect(tenant.tenant)
    try:
        await ensure_streams(client, tenant.streams, tenant.buckets)
        await put_configs(client, tenant.configs)
    finally:
        await client.close()
