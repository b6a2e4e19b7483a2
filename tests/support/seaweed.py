"""A real object store that speaks S3, for tests: loopback ports, a folder of its own, stopped and started at will."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pyarrow.fs as pafs

from tests.support.nats import free_port
from wheeltapper_api.config import TablesConfig

BUCKET: Final = "plant-data"
KEYS: Final = {"owner": "only-for-tests-1", "writer": "only-for-tests-2", "reader": "only-for-tests-3"}
"""Access key and secret: ``owner`` may do all, ``writer`` what a historian has to, ``reader`` no more than read."""
_PORTS: Final = ("master.port", "volume.port", "filer.port", "s3.port")


class Seaweed:
    """One server process; ``kill`` and ``start`` keep ports and data."""

    def __init__(self, folder: Path, *tls: Path) -> None:
        self._folder, self._tls = folder, tls
        """Certificates of an authority and of the server, and the server's key; none for plain HTTP."""
        (folder / "data").mkdir(parents=True)
        self._ports = {name: free_port() for name in _PORTS}
        self._identities = folder / "identities.json"
        self.allow("Read", "Write", "List", "Tagging")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Address of the S3 interface."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._ports['s3.port']}"

    def place(self, prefix: str = "", user: str = "writer") -> TablesConfig:
        """Where the tables are, as a config document says it."""
        url = f"s3://{BUCKET}/{prefix}" if prefix else f"s3://{BUCKET}"
        return TablesConfig(url=url, endpoint=self.endpoint, region="us-east-1", secret=user)

    def secrets(self, folder: Path, **others: str) -> Path:
        """Folder with a Secret for each user; ``others`` replace secret keys."""
        for name, secret in (KEYS | others).items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "accessKeyId").write_text(f"key-of-{name}")
            (folder / name / "secretAccessKey").write_text(secret)
        return folder

    def allow(self, *actions: str) -> None:
        """Let the writer do this from the next start on."""
        may = {"owner": ["Admin"], "reader": ["Read", "List"], "writer": list(actions)}
        identities = [
            {
                "name": name,
                "credentials": [{"accessKey": f"key-of-{name}", "secretKey": KEYS[name]}],
                "actions": [action if action == "Admin" else f"{action}:{BUCKET}" for action in may[name]],
            }
            for name in KEYS
        ]
        self._identities.write_text(json.dumps({"identities": identities}))

    def start(self) -> None:
        """Start the server, wait until it answers, and make the bucket if it is not there."""
        tls = [f"-s3.cert.file={self._tls[1]}", f"-s3.key.file={self._tls[2]}"] if self._tls else []
        ports = [f"-{name}={port}" for name, port in self._ports.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(Path(sys.executable).parent / "weed", "server", f"-dir={self._folder / 'data'}"),
                    *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={self._identities}"),
                    *("-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
                    *(
                        "-master.electionTimeout=500ms",
                        "-master.volumeSizeLimitMB=64",
                        "-volume.max=0",
                        "-volume.minFreeSpace=1MiB",
                    ),
                    *ports,
                    *(f"-{name}.grpc={free_port()}" for name in _PORTS),
                    *tls,
                ],
                stdout=log,
                stderr=log,
            )
        self._ready()
        self.filesystem().create_dir(BUCKET)

    def filesystem(self) -> pafs.S3FileSystem:
        """All that is stored, as its owner sees it."""
        return pafs.S3FileSystem(
            access_key="key-of-owner",
            secret_key=KEYS["owner"],
            endpoint_override=f"127.0.0.1:{self._ports['s3.port']}",
            region="us-east-1",
            allow_bucket_creation=True,
            scheme="https" if self._tls else "http",
            tls_ca_file_path=str(self._tls[0]) if self._tls else None,
        )

    def kill(self) -> None:
        """End the process, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _ready(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self._ask()
            assert self._process is not None
            assert self._process.poll() is None, self._words()
            assert time.monotonic() < deadline, self._words()
            time.sleep(0.05)

    def _ask(self) -> None:
        address = ("127.0.0.1", self._ports["s3.port"])
        trusting = ssl.create_default_context(cafile=self._tls[0]) if self._tls else None
        connection = (
            http.client.HTTPSConnection(*address, timeout=2, context=trusting)
            if trusting
            else http.client.HTTPConnection(*address, timeout=2)
        )
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        finally:
            connection.close()

    def _words(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-4000:]
