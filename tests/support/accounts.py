"""A real NATS server that takes its accounts from an authority, as in a cluster; alone, or several joined."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.nats import free_port
from wheeltapper_backbone.tenant import BackboneError
from wheeltapper_operator.backbone.accounts import connect
from wheeltapper_operator.backbone.authority import Authority


class AccountServer:
    """One server process; ``stop`` and ``start`` keep port and store."""

    def __init__(self, folder: Path, authority: Authority, cluster: dict[str, int] | None = None) -> None:
        """Parameters: ``cluster`` gives by name the port at which each server of the cluster hears the others."""
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.authority = authority
        self.accounts = folder / "accounts"
        (folder / "resolver.conf").write_text(authority.resolver_config(str(self.accounts)))
        self._config = folder / "nats.conf"
        self._config.write_text(
            f"listen: 127.0.0.1:{self.port}\nserver_name: {folder.name}\n"
            f'jetstream {{ store_dir: "{folder / "store"}", max_memory_store: 64MB, max_file_store: 1GB }}\n'
            "include resolver.conf\n" + _routes(folder.name, cluster or {})
        )
        self._log = folder / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = Path(sys.executable).parent / "nats-server"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([binary, "-c", self._config], stdout=log, stderr=log)

    async def ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + 30
        while True:
            with suppress(BackboneError):
                await (await connect(self.url, self.authority.system_user())).close()
                return
            assert asyncio.get_running_loop().time() < deadline, self._log.read_text()
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


def _routes(name: str, cluster: dict[str, int]) -> str:
    if not cluster:
        return ""
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in cluster.values())
    return f"cluster {{ name: backbone, listen: 127.0.0.1:{cluster[name]}, routes: [{routes}] }}\n"
