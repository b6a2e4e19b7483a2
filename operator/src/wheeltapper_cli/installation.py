"""An installation on this machine: a plan on the process substrate, or one that is already running."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from wheeltapper_api.config import Role, WorkerConfig
from wheeltapper_api.plan import Plan
from wheeltapper_cli import pod
from wheeltapper_cli.errors import CommandError
from wheeltapper_cli.places import remember
from wheeltapper_cli.served import refuse_cluster
from wheeltapper_edge.substrates.processes import ProcessSubstrate, SubstrateError
from wheeltapper_edge.substrates.processes.files import running

STATE: Final = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".wheeltapper"),
    show_default=True,
    callback=refuse_cluster,
    help="Folder of streams, tables and checkpoints; a second start goes on from there.",
)
"""The option that names an installation."""


_RECENT_S: Final = 10.0
"""An end is told so long; most processes run again within a second, before anybody has looked."""


class Installation:
    """A plan that runs as processes.

    Parameters
    ----------
    extra
        Deployments beside the plan's, such as a simulator; started before the collectors that read it.
    tell
        Called with what happens while it starts.
    """

    def __init__(self, state: Path, plan: Plan, extra: tuple[dict[str, Any], ...], tell: Callable[[str], None]) -> None:
        self._plan, self._extra, self._tell, self._state = plan, extra, tell, state
        with _explained():
            self._substrate = ProcessSubstrate(state)
        self._collecting = False

    @property
    def configs(self) -> list[WorkerConfig]:
        """Config documents of all workers."""
        return [config for tenant in self._plan.tenants for config in tenant.configs]

    @property
    def access(self) -> dict[str, tuple[str, Path]]:
        """By tenant: address of the backbone, and the folder with the tenant's credentials."""
        tenants = [tenant.tenant for tenant in self._plan.tenants]
        return {name: (self._substrate.url, self._substrate.secrets / f"backbone-{name}") for name in tenants}

    async def start(self) -> None:
        """Start everything but the collectors."""
        self._tell("Starting the backbone")
        with _explained():
            await self._substrate.start(self._plan.tenants)
        remember(self._state, self.configs)
        self._tell("Starting the workers")
        await self._apply()

    async def start_collectors(self) -> None:
        """Start the collectors."""
        self._collecting = True
        await self._apply()

    async def apply(self, plan: Plan) -> None:
        """Follow another plan: running workers take their new documents over without a restart.

        Raises
        ------
        CommandError
            If it cannot be done now, as while the backbone is being restarted; what ran goes on.
        """
        with _explained():
            await self._substrate.ensure(plan.tenants)
        self._plan = plan
        remember(self._state, self.configs)
        await self._apply()

    def problems(self) -> list[str]:
        """Processes that ended lately, or wait for being started again."""
        return [
            f"{name} ended ({state.last_exit}) and is started again; its last words: {state.last_words[:200] or 'none'}"
            for name, state in self._substrate.status().items()
            if state.last_exit and (state.pid is None or time.monotonic() - state.last_exit_s < _RECENT_S)
        ]

    async def stop(self) -> None:
        """Stop every process in order."""
        await self._substrate.stop()

    async def _apply(self) -> None:
        collectors = {config.worker for config in self.configs if Role.COLLECT in config.roles}
        deployments = [m for tenant in self._plan.tenants for m in tenant.deployments]
        if not self._collecting:
            deployments = [d for d in deployments if d["metadata"]["name"] not in collectors]
        with _explained():
            await self._substrate.apply([*deployments, *self._extra])


def access_of_running(state: Path) -> dict[str, tuple[str, Path]]:
    """Address and credentials of each tenant of the installation that runs in a state folder; empty if none does.

    In a pod it is the tenant of the pod.
    """
    if (found := pod.here()) is not None:
        return {found.tenant: (found.backbone, found.credentials)}
    document = running(state)
    if not document:
        return {}
    secrets = Path(document["secrets"])
    return {tenant: (document["backbone"], secrets / f"backbone-{tenant}") for tenant in document["tenants"]}


@contextmanager
def _explained() -> Iterator[None]:
    """A refusal of the substrate ends the command in its words."""
    try:
        yield
    except SubstrateError as error:
        raise CommandError(str(error)) from error
