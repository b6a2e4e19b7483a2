"""What exporting traces costs: one worker over the same recorded stream, with an OTLP collector and without."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

import numpy as np
import yaml
from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from tests.bench.harness import CannotRunError, Goal, Options, Result, compared, rounded
from tests.bench.installation import resources
from tests.bench.machine import cpu_seconds
from tests.bench.source.process import SourceProcess
from tests.bench.source.schedule import Schedule
from tests.support.nats import Server
from wheeltapper_api.config import CollectorConfig, LineConfig, Role, WorkerConfig
from wheeltapper_api.load import load
from wheeltapper_api.wire import CONFIG_BUCKET, HEADER_TRACE, STATUS_BUCKET, Stage
from wheeltapper_cli import live
from wheeltapper_operator.compile import compile_plan
from wheeltapper_workers.contracts.check import check
from wheeltapper_workers.contracts.raw import raw_batch
from wheeltapper_workers.contracts.state import initial
from wheeltapper_workers.contracts.table import series_table
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.jetstream import Message, StreamReader
from wheeltapper_workers.runtime.line import FLOW

NAME: Final = "instrumentation"
_WORKER: Final = "bench-analyse"
_START_NS: Final = 1_790_000_000 * 10**9
_PLANT: Final = Schedule(assets=100, signals=10, period_ns=100 * 10**6, first_ns=_START_NS)
_ROLES: Final = [Role.FEATURIZE, Role.SCORE, Role.ALERT]


def run(options: Options) -> Result:
    """Samples for a CPU second of the worker, export on and off in turn."""
    count = 100 if options.quick else 1_000
    with tempfile.TemporaryDirectory(prefix="bench-") as name, SourceProcess("otlp_sink", _PLANT) as sink:
        folder = Path(name)
        server = Server(folder)
        server.start()
        try:
            asyncio.run(_record(server, count, folder))
            endpoint = f"http://127.0.0.1:{sink.answer('port')['port']}"
            on, off = [], []
            for turn in range(options.rounds(10)):
                # Off and on, on and off: what drifts on the machine meets both alike.
                for exports in (turn % 2 == 1, turn % 2 == 0):
                    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} if exports else {}
                    (on if exports else off).append(_measure(server, folder / f"{turn}-{exports}", given))
                on[-1]["spans"] = sink.ask("spans")["spans"]
                compared(
                    ("Bytes of features and scores with export", on[-1]["digest"], off[0]["digest"]),
                    ("Bytes of features and scores without", off[-1]["digest"], off[0]["digest"]),
                    ("At least a span for each block", on[-1]["spans"] >= on[-1]["blocks"], True),
                )
        finally:
            server.kill()
    rows = count * _PLANT.series
    ours, peer = ([rows / one["cpuSeconds"] for one in runs] for runs in (on, off))
    costs = [100 * (one["cpuSeconds"] / other["cpuSeconds"] - 1) for one, other in zip(on, off, strict=True)]
    walls = [100 * (one["seconds"] / other["seconds"] - 1) for one, other in zip(on, off, strict=True)]
    return Result(
        NAME,
        f"One worker (features, scores, alerts) over {count:,} recorded blocks, with OTLP export",
        "samples/CPU-s",
        ours,
        "features and scores have the same bytes on and off, and the collector got one span for each message",
        peer=peer,
        peer_name="the same without export",
        goals=[
            Goal("more CPU with export", median(costs), "%", most=3, turns=costs),
            Goal("more wall time with export", median(walls), "%", most=3, turns=walls),
        ],
        details={
            "moreCpuPercentByTurn": [rounded(one) for one in costs],
            "moreWallTimePercentByTurn": [rounded(one) for one in walls],
            "blocks": count,
            "rowsPerBlock": _PLANT.series,
            "spans": on[0]["spans"],
        },
    )


async def _record(server: Server, count: int, folder: Path) -> None:
    """Fill the telemetry stream, each block with a trace, as a collector does."""
    await server.ready()
    await server.streams()
    collector, line = _configs(folder)
    table = series_table(collector)
    place = {(series.asset, series.signal): at for at, series in enumerate(collector.series)}
    names = [(_PLANT.asset(asset), f"s{signal}") for asset in range(_PLANT.assets) for signal in range(_PLANT.signals)]
    series = np.array([place[name] for name in names])
    state = initial(table, _START_NS)
    client = await server.connect()
    stream = client.jetstream()
    subject = line.line.subject(Stage.TELEMETRY, "main")
    for number in range(count):
        first, end = number * _PLANT.series, (number + 1) * _PLANT.series
        times = _PLANT.times_ns(first, end)
        state, checked = check(state, raw_batch(series, times, _PLANT.values(first, end), times), table)
        for _, batch in checked.blocks(table):
            trace = hashlib.sha256(str(number).encode()).hexdigest()
            headers = {HEADER_TRACE: f"00-{trace[:32]}-{trace[32:48]}-01"}
            await stream.publish(subject, to_bytes(batch), headers=headers)
    config = WorkerConfig(worker=_WORKER, tenant=line.line.tenant, roles=_ROLES, lines=[line])
    await stream.publish(f"$KV.{CONFIG_BUCKET}.{_WORKER}", config.model_dump_json().encode())
    await client.close()


def _configs(folder: Path) -> tuple[CollectorConfig, LineConfig]:
    addresses = [{"name": f"s{at}", "node": f"ns=2;s={{tag}}.S{at}"} for at in range(_PLANT.signals)]
    manifests = resources(_PLANT, {"opcua": {"endpoint": "opc.tcp://127.0.0.1:1"}}, addresses)
    (folder / "plant.yaml").write_text(yaml.safe_dump_all(manifests))
    (tenant,) = compile_plan(load([folder / "plant.yaml"]).resources).tenants
    (collector,) = [one for worker in tenant.configs for one in worker.collectors]
    return collector, next(line for worker in tenant.configs for line in worker.lines)


def _measure(server: Server, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """CPU and wall seconds of a worker from its first output to its end, and what it made."""
    _ask(server, _forget_outputs)
    folder.mkdir()
    given = {
        "WHEELTAPPER_WORKER": _WORKER,
        "WHEELTAPPER_BACKBONE_URL": server.url,
        "WHEELTAPPER_BACKBONE_CREDENTIALS": str(server.credentials),
        "WHEELTAPPER_STATE": str(folder),
        "WHEELTAPPER_TABLES": str(folder / "tables"),
        "WHEELTAPPER_SECRETS": str(folder),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    worker = subprocess.Popen(
        [sys.executable, "-m", "wheeltapper_workers"], env=kept | given | environment, stderr=subprocess.DEVNULL
    )
    try:
        _until(worker, lambda: _ask(server, _first_output))
        before = cpu_seconds(worker.pid)
        _until(worker, lambda: _ask(server, _worked_through))
        worker.send_signal(signal.SIGTERM)  # what waits for export is sent at the end, and counts
        _, status, usage = os.wait4(worker.pid, 0)
        worker.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if worker.returncode is None:
            worker.kill()
            worker.wait()
    made = _ask(server, _outputs)
    return {
        "cpuSeconds": usage.ru_utime + usage.ru_stime - before,
        "seconds": (made[-1].published_ns - made[0].published_ns) / 1e9,
        "digest": hashlib.sha256(b"".join(message.data for message in made)).hexdigest(),
        "blocks": _ask(server, _telemetry_blocks) + len(made),
    }


T = TypeVar("T")


def _ask(server: Server, question: Callable[[Client], Awaitable[T]]) -> T:
    async def connected() -> T:
        client = await server.connect()
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(connected())


def _until(worker: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        if worker.poll() is not None or time.monotonic() > deadline:
            raise CannotRunError(f"The worker did not work its stream through (exit code {worker.returncode})")
        time.sleep(0.1)


async def _forget_outputs(client: Client) -> None:
    for stage in (Stage.FEATURES, Stage.SCORES, Stage.EVENTS):
        # Made anew and not only emptied: a score names the sequence of its features, which begins at 1 again.
        await client.jetstream().delete_stream(stage.stream)
        await client.jetstream().add_stream(StreamConfig(name=stage.stream, subjects=[f"{stage.value}.>"]))
    with contextlib.suppress(NotFoundError):
        await (await client.jetstream().key_value(STATUS_BUCKET)).delete(_WORKER)


async def _first_output(client: Client) -> bool:
    return (await client.jetstream().stream_info(Stage.FEATURES.stream)).state.messages > 0


async def _telemetry_blocks(client: Client) -> int:
    return int((await client.jetstream().stream_info(Stage.TELEMETRY.stream)).state.messages)


async def _worked_through(client: Client) -> bool:
    """Whether each role stands at the newest block of its input."""
    jetstream = client.jetstream()
    found = await live.documents(client, STATUS_BUCKET)
    status = json.loads(found.get(_WORKER) or b'{"parts": {}}')  # deleted before each run
    roles = {part["role"]: part["position"] for part in status["parts"].values()}
    for role, (source, _) in FLOW.items():
        info = await jetstream.stream_info(source.stream)
        # The newest of the scores may be a tick that came after the status was told.
        if info.state.messages == 0 or roles.get(role.value, 0) < info.state.last_seq - (role is Role.ALERT):
            return False
    return True


async def _outputs(client: Client) -> list[Message]:
    """Blocks of features and scores."""
    found: list[Message] = []
    for stage in (Stage.FEATURES, Stage.SCORES):
        last = (await client.jetstream().stream_info(stage.stream)).state.last_seq
        reader = StreamReader(client, stage.stream, [f"{stage.value}.>"], position=0)
        while reader.position < last:
            found += [message for message in await reader.read(512) if message.data]
        await reader.close()
    return found
