"""A gateway as a process on this machine, and requests to it as anybody could send them."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.access import Access
from tests.support.nats import Server, free_port
from tests.support.waiting import wait
from wheeltapper_cli.gateway.frames import PATH, FrameError, Kind, read_frame
from wheeltapper_operator.build.gateway_certificate import Pair, certificate


@dataclass
class Answer:
    """What a gateway answered."""

    status: int
    message: str = ""
    out: bytes = b""
    error: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    code: int | None = None
    """None if the answer was cut off."""


class GatewayProcess:
    """``python -m wheeltapper_cli.gateway`` on loopback, with a real API server and a real backbone."""

    def __init__(self, folder: Path, cluster: Access, nats: Server, tables: str, namespace: str, token: str) -> None:
        self.namespace, self.port, self.log = namespace, free_port(), folder / "gateway.log"
        self.pair: Pair = certificate(bytes(32), namespace, datetime(2026, 1, 1, tzinfo=UTC))
        self.scratch = folder / "tmp"
        for name in ("tls", "account", "tmp"):
            (folder / name).mkdir()
        (folder / "tls" / "tls.crt").write_text(self.pair.certificate)
        (folder / "tls" / "tls.key").write_text(self.pair.key)
        with cluster.api() as api:
            host, port = api.configuration.host.removeprefix("https://").split(":")
            (folder / "account" / "ca.crt").write_bytes(Path(api.configuration.ssl_ca_cert).read_bytes())
        (folder / "account" / "token").write_text(token)
        self._environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.scratch),
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
            "WHEELTAPPER_TENANT": "northwater",
            "WHEELTAPPER_NAMESPACE": namespace,
            "WHEELTAPPER_BACKBONE_URL": nats.url,
            "WHEELTAPPER_BACKBONE_CREDENTIALS": str(nats.credentials),
            "WHEELTAPPER_TABLES": tables,
            "WHEELTAPPER_SECRETS": str(folder),
            "WHEELTAPPER_GATEWAY_TLS": str(folder / "tls"),
            "WHEELTAPPER_GATEWAY_ACCOUNT": str(folder / "account"),
            "WHEELTAPPER_GATEWAY_HOST": "127.0.0.1",
            "WHEELTAPPER_GATEWAY_PORT": str(self.port),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **limits: str) -> None:
        command = [sys.executable, "-m", "wheeltapper_cli.gateway"]
        own = {f"WHEELTAPPER_GATEWAY_{name}": value for name, value in limits.items()}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment | own, stdout=log, stderr=log)
        wait(self.answers, 60, "the gateway", self.log.read_text)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            connection = self.connect()
        except OSError:
            return False
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            assert self.process.wait(30) == 0, self.log.read_text()
            self.process = None

    def memory(self) -> int:
        """Bytes that the process itself has in memory at most so far."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def children(self) -> list[int]:
        """Processes that it runs now."""
        assert self.process is not None
        task = Path(f"/proc/{self.process.pid}/task")
        found: list[int] = []
        for children in task.glob("*/children"):
            found += map(int, children.read_text().split())
        return found

    def tls(self, seconds: float = 60) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=self.pair.certificate)
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        try:
            return context.wrap_socket(raw, server_hostname=f"gateway.{self.namespace}.svc")
        except OSError:
            raw.close()
            raise

    def connect(self, seconds: float = 60) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("gateway")
        connection.sock = self.tls(seconds)
        return connection

    def ask(self, token: str, *command: str, **more: Any) -> Answer:
        """Have a command run."""
        return self.send(token, json.dumps({"command": command, **more}).encode())

    def send(self, token: str, body: bytes) -> Answer:
        """Send a body, whatever it is."""
        connection = self.connect(110)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("POST", PATH, body, headers)
        with contextlib.closing(connection), connection.getresponse() as answer:
            return received(answer)


def received(answer: http.client.HTTPResponse) -> Answer:
    """An answer, read to its end."""
    if answer.status != 200:
        text = answer.read().decode()
        return Answer(answer.status, json.loads(text)["message"] if text.startswith("{") else text)
    found, out, error, file = Answer(200), io.BytesIO(), io.BytesIO(), ""
    try:
        while found.code is None:
            kind, content = read_frame(answer.read)
            match kind:
                case Kind.OUT:
                    out.write(content)
                case Kind.ERROR:
                    error.write(content)
                case Kind.FILE:
                    file = content.decode()
                    found.files[file] = b""
                case Kind.CONTENT:
                    found.files[file] += content
                case Kind.END:
                    found.code = int(content)
    except (FrameError, http.client.HTTPException, OSError):
        found.code = None
    found.out, found.error = out.getvalue(), error.getvalue().decode()
    return found
