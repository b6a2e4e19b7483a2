"""The machine's clock is set back or forward: nothing is lost, nothing is stale for ever, nothing is fresh for ever."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tests.runtime.test_collector_killed_mid_delivery import FAN, NOW, PUMP, config
from tests.runtime.test_worker_killed_mid_stream import publish, role, stored, telemetry, undisturbed
from tests.support.lines import healthy, line_config
from tests.support.waiting import until
from wheeltapper_api.config import AssetConfig
from wheeltapper_cli import view
from wheeltapper_workers.contracts.raw import raw_batch
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime import jetstream, line, ticks
from wheeltapper_workers.runtime.blocks import Block
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.sources import collector as module
from wheeltapper_workers.sources.base import ConnectionState, Delivery
from wheeltapper_workers.sources.collector import Collector

SECOND = 10**9
HOUR = 3600 * SECOND


class Clock:
    """The two clocks of a machine, one of which can be set."""

    def __init__(self):
        self.wall, self.steady = NOW, 1000 * SECOND

    def time_ns(self):
        return self.wall

    def monotonic_ns(self):
        return self.steady

    def passes(self, seconds):
        self.wall += seconds * SECOND
        self.steady += seconds * SECOND


class Beating:
    """A source that delivers a sample of every series when told to."""

    def __init__(self, clock):
        self.clock, self.queue, self.since = clock, asyncio.Queue(), clock.wall

    def beat(self):
        times = np.full(3, self.clock.wall)
        batch = raw_batch(np.arange(3, dtype=np.int32), times, np.zeros(3), self.clock.wall)
        self.queue.put_nowait(Delivery(lambda: batch, lambda: None))

    async def deliveries(self):
        while True:
            yield await self.queue.get()

    def connection(self):
        return ConnectionState(True, self.since)

    def problems(self):
        return []

    def status_name(self, code):
        return str(code)

    async def close(self, *, keep=False):
        pass


@pytest.fixture
async def beating(server, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(time_ns=clock.time_ns, monotonic_ns=clock.monotonic_ns))
    client = await jetstream.connect(server.url, server.credentials, "test")
    source = Beating(clock)
    one = Collector(client, config(), lambda *_: source, CheckpointStore(tmp_path, "collect"))
    await one.start()
    task = asyncio.create_task(one.run())

    async def beat():
        before = one.summary()["samples"]
        source.beat()
        await until(lambda: one.summary()["samples"] == before + 3)

    yield clock, one, beat
    task.cancel()
    await asyncio.wait([task])
    await one.stop()
    await client.close()


def stale(one):
    return [problem for problem in one.summary()["problems"] if problem["kind"] == "stale"]


@pytest.mark.parametrize("step", [-HOUR, HOUR, -30 * SECOND, 90 * SECOND])
async def test_signals_are_stale_when_they_are_silent_and_not_longer(beating, step):
    clock, one, beat = beating
    clock.passes(100)
    await beat()
    assert stale(one) == []
    clock.wall += step
    clock.passes(1)
    one.summary()  # the worker looks every second
    await beat()
    assert stale(one) == [], "the next sample ends what the clock made look stale"
    clock.passes(61)
    assert len(stale(one)) == 3, "silence is noticed though the clock says it was heard in the future"
    await beat()
    assert stale(one) == []


async def test_samples_of_both_times_are_in_the_stream(beating, server):
    clock, one, beat = beating
    for step in (0, -HOUR, HOUR, 5 * HOUR):
        clock.wall += step
        await beat()
    client = await server.connect()
    subjects = {f"telemetry.{key.key}.main" for key in (PUMP, FAN)}
    state = (await client.jetstream().stream_info("TELEMETRY", subjects_filter="telemetry.>")).state
    await client.close()
    assert set(state.subjects) == subjects
    assert (one.summary()["samples"], one.summary()["duplicates"]) == (12, 0)


async def test_features_do_not_depend_on_the_machines_clock(server, tmp_path, monkeypatch):
    """Ticks, checkpoints and reports go on; their times are wrong, and nothing is computed of them."""
    clock = Clock()
    for part in (line, ticks):
        monkeypatch.setattr(part, "time", SimpleNamespace(time_ns=clock.time_ns, monotonic_ns=time.monotonic_ns))
    batches = telemetry()
    client = await server.connect()
    async with role(server, tmp_path) as (worker, _):
        for number, step in enumerate((0, -HOUR, 24 * HOUR)):
            clock.wall += step
            await worker.tick()
            await publish(client, batches[number * 20 : number * 20 + 20])
            await until(lambda number=number: worker.progress.blocks >= number * 20 + 20)
        worker.checkpoint(force=True)
        assert worker.summary()["unsavedSeconds"] == 0
    await client.close()
    told = await stored(server)
    keep = ("telemetry_first", "telemetry_last")
    strip = [{k: v for k, v in row.items() if k not in keep} for row in told]
    assert strip == [{k: v for k, v in row.items() if k not in keep} for row in undisturbed(batches)]


def test_a_machine_that_falls_silent_is_not_fresh_until_the_clock_is_where_it_was():
    step = FeaturizeStep(line_config())
    state = step.initial(line_config())
    samples = healthy(20)
    for sequence, received in enumerate((NOW, NOW - HOUR), 1):
        samples.received = np.full(len(samples), received)
        state, _ = step.step(state, Block("TELEMETRY", sequence, samples.batch()))
    told = step.summary(state)["assets"]["p-1"]
    assert told["received_ns"] == NOW - HOUR
    row = view._row("northwater", "riverside", AssetConfig.model_validate(line_config().assets[0].model_dump()))
    view._freshness(row, told, NOW - HOUR + 60 * SECOND, 30 * SECOND)
    assert row.stale
