"""A scorer stops under load: streams fill on disk up to their limits, memory does not, and then nothing is missing.

The whole way is bounded: FEATURES holds the featurizer, so TELEMETRY fills and holds its writer. The workers are real
processes, and the scorer is stopped by SIGSTOP, which it cannot see.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from tests.support.drive import drive
from tests.support.lines import ASSETS, LINE, SECOND, START, Samples, line_config
from tests.support.waiting import until
from wheeltapper_api.config import Role, StoreConfig, WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET, HEADER_INPUT, STATUS_BUCKET, Stage
from wheeltapper_cli import live
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.query import QueryError, query
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.fenced import FencedWriter

MIB = 2**20
FEATURES_LIMIT, TELEMETRY_LIMIT = 200_000, 16 * MIB
BLOCKS, BLOCK_SECONDS, RATE = 120, 50, 20
"""Of 50 s with 20 samples a second of each of 6 series: 0.27 MB each, 32 MB in all, more than the stream takes."""


def worker_configs():
    store = StoreConfig(tenant=LINE.tenant, lines=[line_config()], commit_every_ns=SECOND, commit_rows=100_000)
    roles = {"featurize": Role.FEATURIZE, "score": Role.SCORE, "alert": Role.ALERT}
    found = [
        WorkerConfig(worker=name, tenant=LINE.tenant, roles=[role], lines=[line_config()])
        for name, role in roles.items()
    ]
    return [*found, WorkerConfig(worker="store", tenant=LINE.tenant, roles=[Role.STORE], store=store)]


def block(number):
    """One block of the load: every series at its rate, in order of time."""
    random = np.random.default_rng(number)
    steps = BLOCK_SECONDS * RATE
    time = np.repeat(START + (number * steps + np.arange(steps)) * (SECOND // RATE), len(ASSETS) * 2)
    asset, signal = np.tile(np.repeat(np.arange(len(ASSETS)), 2), steps), np.tile(np.arange(2), steps * len(ASSETS))
    value = np.where(signal == 0, random.normal(2.0, 0.1, len(time)), random.normal(1480, 3, len(time)))
    return Samples(asset, signal, time, value).batch()


class Plant:
    """Writes the load as a collector would, as fast as the stream takes it."""

    def __init__(self, client):
        self.writer = FencedWriter(client, Stage.TELEMETRY.stream, LINE.subject(Stage.TELEMETRY, "scada"))
        self.written = 0

    async def run(self):
        await self.writer.open()
        for number in range(BLOCKS):
            await self.writer.write(to_bytes(block(number)), {HEADER_INPUT: f"{number + 1}:0"})
            self.written += 1


class Workers:
    """The four processes."""

    def __init__(self, server, folder: Path):
        self._processes = {}
        self._log = (folder / "workers.log").open("wb")
        for config in worker_configs():
            environment = {
                "WHEELTAPPER_WORKER": config.worker,
                "WHEELTAPPER_BACKBONE_URL": server.url,
                "WHEELTAPPER_BACKBONE_CREDENTIALS": str(server.credentials),
                "WHEELTAPPER_STATE": str(folder / config.worker),
                "WHEELTAPPER_TABLES": str(folder / "tables"),
                "WHEELTAPPER_SECRETS": str(folder),
            }
            command = [sys.executable, "-m", "wheeltapper_workers"]
            self._processes[config.worker] = subprocess.Popen(
                command, env=os.environ | environment, stdout=self._log, stderr=self._log
            )

    def rss(self, name):
        return rss(self._processes[name].pid)

    def send(self, name, number):
        self._processes[name].send_signal(number)

    def ended(self):
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def stop(self):
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait(5)
        self._log.close()


def rss(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
async def client(server):
    client = await jetstream.connect(server.url, server.credentials, "test")
    for stage, max_bytes in ((Stage.FEATURES, FEATURES_LIMIT), (Stage.TELEMETRY, TELEMETRY_LIMIT)):
        await client.jetstream().update_stream(
            StreamConfig(
                name=stage.stream, subjects=[f"{stage.value}.>"], max_bytes=max_bytes, discard=DiscardPolicy.NEW
            )
        )
    for config in worker_configs():
        await client.jetstream().publish(f"$KV.{CONFIG_BUCKET}.{config.worker}", config.model_dump_json().encode())
    yield client
    await client.close()


@pytest.fixture
async def workers(server, client, tmp_path):
    running = Workers(server, tmp_path)
    yield running
    running.stop()


async def conditions(client, worker):
    documents = await live.documents(client, STATUS_BUCKET)
    told = json.loads(documents.get(worker) or b"{}").get("conditions", [])
    return {condition["type"]: condition for condition in told}


def count(root, table):
    try:
        return query(str(root), f"SELECT count(*) AS n FROM {table}").to_pylist()[0]["n"]  # noqa: S608 - our own names
    except QueryError:
        return 0


def expected_features():
    step = FeaturizeStep(line_config())
    _, made = drive(step, step.initial(line_config()), [block(number) for number in range(BLOCKS)])
    return sorted(
        (row["asset"], row["window_end"], tuple(row["values"])) for batch in made for row in batch.to_pylist()
    )


@pytest.mark.timeout(240)
async def test_stopped_scorer(client, workers, tmp_path, server):
    async def told(worker, kind="Flowing"):
        condition = (await conditions(client, worker)).get(kind, {})
        return f"{condition.get('reason')}: {condition.get('message')}"

    async def until_told(worker, words):
        async with asyncio.timeout(60):
            while words not in await told(worker):  # noqa: ASYNC110 - it is in a bucket of another process
                await asyncio.sleep(0.2)

    for name in ("featurize", "score", "alert", "store"):
        await until_told(name, "AsExpected")
    workers.send("score", signal.SIGSTOP)
    plant = Plant(client)
    load = asyncio.create_task(plant.run())
    await until_told("featurize", "StreamFull")
    begun = {name: workers.rss(name) for name in ("featurize", "store")}
    await until(lambda: plant.writer.full, 60, "the telemetry's limit")
    held = plant.written
    assert held < BLOCKS
    streams = {s: (await client.jetstream().stream_info(s)).state for s in ("FEATURES", "TELEMETRY")}
    assert streams["FEATURES"].bytes <= FEATURES_LIMIT
    assert TELEMETRY_LIMIT * 0.9 < streams["TELEMETRY"].bytes <= TELEMETRY_LIMIT, "it is on the disk"
    grown = {name: workers.rss(name) - before for name, before in begun.items()}
    assert max(grown.values()) < 96 * MIB, grown
    await until_told("store", "score-riverside-pump-s0 still needs")

    workers.send("score", signal.SIGCONT)
    await asyncio.wait_for(load, 90)
    wanted = expected_features()
    await until(lambda: count(tmp_path / "tables", "scores") >= len(wanted), 90, "all scores in the table")
    assert workers.ended() == []
    sql = "SELECT asset, window_end, vibration_level, vibration_kurtosis, speed_level FROM features"
    found = sorted(
        (row["asset"], row["window_end"], (row["vibration_level"], row["vibration_kurtosis"], row["speed_level"]))
        for row in query(str(tmp_path / "tables"), sql).to_pylist()
    )
    assert np.array_equal([v for *_, v in found], [v for *_, v in wanted], equal_nan=True)
    assert [key for *key, _ in found] == [key for *key, _ in wanted], "each window once, and none missing"
    assert count(tmp_path / "tables", "raw") == BLOCKS * BLOCK_SECONDS * RATE * 6
    for name in ("featurize", "score", "alert", "store"):
        await until_told(name, "AsExpected")
        assert await told(name, "Complete") == "AsExpected: "
