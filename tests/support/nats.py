"""A real NATS server with JetStream for one test module: free loopback port, own store, stopped and started at will."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nats
from nats.js.api import KeyValueConfig, StreamConfig

from wheeltapper_api.backbone import checkpoints
from wheeltapper_api.wire import CONFIG_BUCKET, STATUS_BUCKET, Stage
from wheeltapper_backbone.tenant import ensure_streams

USER, PASSWORD = "northwater", "only-for-this-test"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server process; ``kill`` and ``start`` keep port and store."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.credentials = folder / "credentials"
        self.credentials.mkdir()
        (self.credentials / "username").write_text(USER)
        (self.credentials / "password").write_text(PASSWORD)
        self._store, self._kept = folder / "store", folder / "kept"
        self._config = folder / "nats.conf"
        self._config.write_text(
            f"listen: 127.0.0.1:{self.port}\n"
            f'jetstream {{ store_dir: "{self._store}", max_memory_store: 64MB, max_file_store: 1GB }}\n'
            "max_payload: 8MB\n"
            f'accounts {{ T {{ jetstream: enabled, users: [{{user: "{USER}", password: "{PASSWORD}"}}] }} }}\n'
        )
        self._log = folder / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = Path(sys.executable).parent / "nats-server"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([binary, "-c", self._config], stdout=log, stderr=log)

    async def ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + 15
        while True:
            with contextlib.suppress(Exception):
                client = await self.connect()
                await client.jetstream().account_info()
                await client.close()
                return
            assert asyncio.get_running_loop().time() < deadline, self._log.read_text()
            await asyncio.sleep(0.05)

    async def connect(self) -> nats.NATS:
        return await nats.connect(
            self.url,
            user=USER,
            password=PASSWORD,
            allow_reconnect=False,
            connect_timeout=1,
            reconnect_time_wait=0.05,
            error_cb=_quiet,
        )

    async def streams(self) -> None:
        client = await self.connect()
        jetstream = client.jetstream()
        for stage in Stage:
            await jetstream.add_stream(StreamConfig(name=stage.stream, subjects=[f"{stage.value}.>"]))
        await ensure_streams(client, [checkpoints(2**28)], [])
        await jetstream.create_key_value(KeyValueConfig(bucket=CONFIG_BUCKET, history=64))
        await jetstream.create_key_value(KeyValueConfig(bucket=STATUS_BUCKET))
        await client.close()

    async def keep(self) -> None:
        """Remember what is on the disk, for :meth:`lose`."""
        self.kill()
        shutil.copytree(self._store, self._kept)
        self.start()
        await self.ready()

    async def lose(self) -> None:
        """Lose what came since :meth:`keep`, as a power failure takes what was acknowledged and not on the disk yet."""
        self.kill()
        shutil.rmtree(self._store)
        self._kept.rename(self._store)
        self.start()
        await self.ready()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


async def _quiet(_: Exception) -> None:
    """Connection errors are what these tests are about."""
