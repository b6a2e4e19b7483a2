"""``wheeltapper up`` over a plant of a schedule's assets: all workers as processes, a real NATS server, real tables."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import yaml
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from tests.bench.harness import CannotRunError
from tests.bench.source.schedule import Schedule
from wheeltapper_api.wire import STATUS_BUCKET, Line, Stage
from wheeltapper_cli import live
from wheeltapper_cli.installation import access_of_running
from wheeltapper_workers.runtime import jetstream

TENANT: Final = "works"
PLANT: Final = "hall"
CLASS: Final = "machine"
NORMAL, LIMIT = 5.0, 20.0
"""Of the model ``level``: a score of 1 at the limit."""
_ROOT: Final = Path(__file__).parents[2]
_WRITERS: Final = {Stage.TELEMETRY: "main", Stage.FEATURES: "featurize", Stage.SCORES: "score"}
_API: Final = "wheeltapper.dev/v1alpha1"

T = TypeVar("T")


def resources(
    schedule: Schedule, connection: dict[str, Any], addresses: list[dict[str, Any]], **pipeline: Any
) -> list[dict[str, Any]]:
    """Manifests of a plant.

    Parameters
    ----------
    connection
        The connection's protocol and its settings.
    addresses
        How the signals ``s0``, ``s1`` ... are addressed, by tag.
    pipeline
        What differs from the usual: ``every``, ``window``, ``limit``, ``hold``, and the tenant's ``storage``.
    """
    given = {"every": "1s", "window": "2s", "limit": LIMIT, "hold": "5s", "storage": "20Gi"} | pipeline
    interval = f"{schedule.period_ns // 10**6}ms"
    own = {"namespace": TENANT}
    limits = {"twins": 5000, "signals": 50000, "samplesPerSecond": 200000, "storage": given["storage"]}
    return [
        _kind("TenantPolicy", {"name": TENANT}, title="Works", limits=limits, library={"failureModels": []}),
        _kind(
            "Plant",
            {"name": PLANT, **own},
            title="Hall",
            hosting="private",
            connections=[{"name": "main", **connection, "clock": {"maxAhead": "1m", "maxBehind": "90d"}}],
            addressing=[{"class": CLASS, "from": "main", "signals": addresses}],
        ),
        _asset_class(own, schedule.signals, interval, given),
        _model(
            own,
            "level",
            ["level"],
            {"fixedLimit": {"limits": [{"feature": "level", "normal": NORMAL, "limit": given["limit"]}]}},
            given["hold"],
        ),
        _model(own, "drift", ["level", "spread", "highest"], {"ewma": {"lambda": 0.2, "limit": 50}}, given["hold"]),
        *(
            _kind(
                "AssetTwin",
                {"name": schedule.asset(number), **own},
                title=f"Machine {number}",
                plant=PLANT,
                tag=f"M{number}",
                criticality="B",
                mode="review",
                **{"class": CLASS},
            )
            for number in range(schedule.assets)
        ),
    ]


def _kind(kind: str, metadata: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": spec}


def _asset_class(own: dict[str, Any], signals: int, interval: str, given: dict[str, Any]) -> dict[str, Any]:
    contract = {"interval": interval, "staleAfter": "60s", "range": {"min": 0, "max": 50}}
    features = [("level", "mean", 0), ("spread", "std", 1), ("highest", "max", 2), ("lowest", "min", 3)]
    features += [("roughness", "kurtosis", 4), ("force", "rms", 5)]
    return _kind(
        "AssetClass",
        {"name": CLASS, **own},
        title="Machine",
        version="1.0.0",
        signals=[
            {
                "name": f"s{number}",
                "title": f"Signal {number}",
                "kind": "gauge",
                "quantity": "temperature",
                "unit": "Cel",
                "contract": contract,
            }
            for number in range(signals)
        ],
        modes=[{"name": "running", "title": "Running"}],
        pipeline={
            "every": given["every"],
            "lateness": "0s",
            "features": [
                {"name": name, "title": name, "of": f"s{at}", "function": function, "window": given["window"]}
                for name, function, at in features
                if at < signals
            ],
        },
    )


def _model(own: dict[str, Any], name: str, inputs: list[str], detector: dict[str, Any], hold: str) -> dict[str, Any]:
    baseline = {} if "fixedLimit" in detector else {"baseline": {"from": "own", "atLeast": "10s"}}
    return _kind(
        "FailureModel",
        {"name": name, **own},
        version="1.0.0",
        failureMode={"title": name.capitalize(), "description": "Made up for the benchmark.", "progression": "1d"},
        inputs=[{"feature": feature, "direction": "up"} for feature in inputs],
        modes=["running"],
        detector=detector,
        minCoverage=40,
        severity=[{"name": "warn", "above": 1.0, "for": hold}],
        clear={"below": 0.9, "for": hold},
        action={"recommend": "Nothing", "when": "next-planned-stop"},
        **{"class": CLASS},
        **baseline,
    )


class Running:
    """``wheeltapper up`` in a folder that is deleted with it.

    Raises
    ------
    CannotRunError
        If it does not start.
    """

    def __init__(self, manifests: list[dict[str, Any]] | Path, *arguments: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
        root = Path(self._folder.name)
        self.state = root / "state"
        files = manifests if isinstance(manifests, Path) else root / "plant.yaml"
        if not isinstance(manifests, Path):
            files.write_text(yaml.safe_dump_all(manifests, sort_keys=False))
        self._errors = (root / "errors.txt").open("w+")
        command = [sys.executable, "-m", "wheeltapper_cli", "up", str(files), "--state", str(self.state)]
        self._process = subprocess.Popen(
            [*command, "--output", "json", *arguments],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=_ROOT,
        )
        self._told: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._errors.close()
        self._folder.cleanup()

    @property
    def tables(self) -> str:
        """Root of the tables."""
        return str(self.state / "tables")

    def wait(self, condition: Callable[[], T], seconds: float, what: str) -> T:
        """Result of the condition as soon as it is true.

        Raises
        ------
        CannotRunError
            If that takes longer, or the installation ends.
        """
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._errors.seek(0)
                last = "\n".join([*self._told[-3:], self._errors.read()[-2000:]])
                raise CannotRunError(f"{what} did not come about within {seconds:g} s: {last}")
            time.sleep(0.1)
        return found

    def processes(self) -> dict[str, int]:
        """Process ids: workers by their name, the backbone, and the command itself."""
        found = {"command": self._process.pid}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self._process.pid:
                    variables = dict(
                        part.partition("=")[::2] for part in (folder / "environ").read_text().split("\0") if part
                    )
                    name = variables.get("WHEELTAPPER_WORKER", "").removeprefix(f"{TENANT}-").removeprefix(f"{PLANT}-")
                    found[name or (folder / "comm").read_text().strip()] = int(folder.name)
            except (OSError, ValueError, IndexError):
                continue  # ended just now
        return found

    def ask(self, question: Callable[[Client], Awaitable[T]]) -> T:
        """Answer of a question put to the tenant's account."""

        async def connected() -> T:
            (url, credentials), *_ = access_of_running(self.state).values()
            client = await jetstream.connect(url, credentials, "bench")
            try:
                return await question(client)
            finally:
                await client.close()

        return asyncio.run(connected())

    def parts(self) -> dict[str, dict[str, Any]]:
        """Summaries of the workers' parts, by key."""

        async def read(client: Client) -> dict[str, dict[str, Any]]:
            found = await live.documents(client, STATUS_BUCKET)
            return {key: part for text in found.values() for key, part in json.loads(text)["parts"].items()}

        return self.ask(read)

    def positions(self) -> dict[str, int]:
        """Sequence of the newest block in each stream; ticks, which nobody stores, do not count."""
        line = Line(tenant=TENANT, plant=PLANT, asset_class=CLASS)

        async def read(client: Client) -> dict[str, int]:
            found = {}
            for stage, writer in _WRITERS.items():
                with contextlib.suppress(NotFoundError):
                    last = await client.jetstream().get_last_msg(stage.stream, line.subject(stage, writer))
                    found[stage.stream] = int(last.seq or 0)
            return found

        return self.ask(read)

    def stored(self) -> bool:
        """Whether everything was worked through and the tables have it."""
        last, parts = self.positions(), self.parts()
        roles = [part for key, part in parts.items() if key.startswith(("featurize-", "score-"))]
        sources = (last.get(Stage.TELEMETRY.stream, 0), last.get(Stage.FEATURES.stream, 0))
        through = len(roles) == 2 and all(role["position"] >= sources[role["role"] == "score"] for role in roles)
        covered = parts.get("store", {}).get("positions", {})
        return through and all(covered.get(name, 0) >= sequence for name, sequence in last.items())

    def stop(self) -> None:
        """Stop it in order."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self._process.kill()  # its children end with it
                self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if '"type": "twins"' not in line:
                self._told = [*self._told[-20:], line.strip()]
