"""A collector dies at any moment; what its source sends again is in the stream once, and nothing is missing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random

import numpy as np
import pytest

from tests.support.waiting import until
from wheeltapper_api.config import CollectorConfig, SeriesConfig
from wheeltapper_api.wire import Line, Quality, Stage
from wheeltapper_workers.contracts.raw import raw_batch
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.blocks import codes, from_bytes, numbers
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.fenced import FencedWriter
from wheeltapper_workers.runtime.jetstream import StreamReader
from wheeltapper_workers.sources.base import NOTHING_KEPT, ConnectionState, Delivery, History
from wheeltapper_workers.sources.collector import Collector

SECOND = 10**9
NOW = 1_800_000_000 * SECOND
ROWS, BATCH = 400, 10
PUMP, FAN = (Line(tenant="northwater", plant="riverside", asset_class=name) for name in ("pump", "fan"))


def config():
    def series(asset, line, **fields):
        fields = {"interval_ns": SECOND, "stale_after_ns": 60 * SECOND, "max_rate": 3.0} | fields
        return SeriesConfig(line=line, asset=asset, signal="flow", kind="gauge", address=asset, **fields)

    return CollectorConfig(
        tenant="northwater",
        plant="riverside",
        name="main",
        protocol="opcua",
        endpoint="opc.tcp://127.0.0.1:1",
        max_ahead_ns=10**18,
        max_behind_ns=10**18,
        series=[series("p-101", PUMP), series("f-7", FAN), series("p-102", PUMP)],
    )


class Tape:
    """What the machine's side measured; it sends again what nobody has acknowledged."""

    def __init__(self, seed, history=False):
        numbers_ = np.random.default_rng(seed)
        self.series = numbers_.integers(0, 3, ROWS).astype(np.int32)
        # Some samples of equal time, and jumps that are flagged: both depend on what came before.
        self.time_ns = NOW + np.cumsum(numbers_.integers(0, 2, ROWS)) * SECOND
        self.value = numbers_.normal(0, 2, ROWS)
        self.acknowledged = 0
        self.sent = 0
        self.history = history
        self.places = []
        """What each run was told of where the one before had ended."""

    def batch(self, start, stop):
        part = slice(start, stop)
        resent = np.arange(start, stop) < self.sent
        self.sent = max(self.sent, stop)
        received = self.time_ns[part].max()
        return raw_batch(self.series[part], self.time_ns[part], self.value[part], received, resent=resent)


class TapeSource:
    """A source that plays a tape, with a few deliveries open at a time."""

    def __init__(self, tape, kept=NOTHING_KEPT):
        self.tape = tape
        self.open = 0
        tape.places.append(int(kept.place or 0))

    async def deliveries(self):
        at = self.tape.acknowledged
        while at < ROWS:
            while self.open >= 3:  # noqa: ASYNC110 - the other end is in the same loop
                await asyncio.sleep(0)
            stop = min(at + BATCH, ROWS)
            self.open += 1
            done = functools.partial(self._done, stop)
            yield Delivery(functools.partial(self.tape.batch, at, stop), done, place=str(stop))
            at = stop
            await asyncio.sleep(0)

    def _done(self, stop):
        self.open -= 1
        self.tape.acknowledged = max(self.tape.acknowledged, stop)

    def connection(self):
        return ConnectionState(True, 0)

    def problems(self):
        return []

    def status_name(self, code):
        return str(code)

    async def history(self, series, _since, _until, /):
        return History(raw_batch([], [], [], []), np.zeros(len(series), np.bool_))

    async def close(self, *, keep):
        pass


async def collect(server, folder, tape, kill_after=None):
    """Run a collector until the tape is through, or until it is killed: no farewell, nothing saved."""
    client = await jetstream.connect(server.url, server.credentials, "test")
    collector = Collector(client, config(), lambda _, kept: TapeSource(tape, kept), CheckpointStore(folder, "collect"))
    await collector.start()
    task = asyncio.create_task(collector.run())
    try:
        if kill_after is None:
            await asyncio.wait_for(task, 30)
            await collector.stop()
        else:
            await asyncio.wait([task], timeout=kill_after)
    finally:
        task.cancel()
        await asyncio.wait([task])
        await client.close()
    return collector


async def stored(server):
    """Rows of the stream: asset, time, ordinal, value and quality, in the order in which they were written."""
    client = await server.connect()
    found = []
    for line in (PUMP, FAN):
        reader = StreamReader(client, Stage.TELEMETRY.stream, [line.filter(Stage.TELEMETRY)], 0)
        writer = FencedWriter(client, Stage.TELEMETRY.stream, line.subject(Stage.TELEMETRY, "main"))
        await writer.open()
        while reader.position < writer.last_sequence:
            for message in await reader.read(256):
                block = from_bytes(message.data, Stage.TELEMETRY)
                asset = codes(block, "asset")
                columns = [numbers(block, name).tolist() for name in ("source_time", "ordinal", "value", "quality")]
                found += zip([asset.names[code] for code in asset.codes], *columns, strict=True)
        await reader.close()
    await client.close()
    return found


async def undisturbed(server, folder, seed):
    await collect(server, folder, Tape(seed))
    return await stored(server)


@pytest.fixture
async def second_server(tmp_path):
    from tests.support.nats import Server  # noqa: PLC0415

    (tmp_path / "second").mkdir()
    server = Server(tmp_path / "second")
    server.start()
    await server.ready()
    await server.streams()
    yield server
    server.kill()


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_random_it_writes_what_an_undisturbed_run_writes(server, second_server, tmp_path, seed):
    whole = await undisturbed(second_server, tmp_path / "whole", seed)
    assert len(whole) == ROWS
    assert {row[4] for row in whole} == {0, Quality.STEP}
    assert any(row[2] for row in whole)
    chance = random.Random(seed)
    tape, killed = Tape(seed), 0
    while tape.acknowledged < ROWS:
        collector = await collect(server, tmp_path / "killed", tape, kill_after=chance.uniform(0.0, 0.03))
        killed += 1
        if chance.random() < 0.3:
            collector._save()  # as it does every few seconds
    assert killed > 5
    assert sorted(await stored(server)) == sorted(whole)


@pytest.mark.parametrize("damage", ["none", "lost"])
async def test_next_run_is_told_how_far_the_stream_is(server, tmp_path, damage):
    """To the delivery: what is partly written is not in it, what is acknowledged always is."""
    chance, tape, acknowledged, rows = random.Random(7), Tape(7), [0], [0]
    while tape.acknowledged < ROWS:
        collector = await collect(server, tmp_path / "c", tape, kill_after=chance.uniform(0.0, 0.03))
        acknowledged.append(tape.acknowledged)
        rows.append(len(await stored(server)))
        if damage == "none" and chance.random() < 0.5:
            collector._save()
    await collect(server, tmp_path / "c", tape)
    assert len(set(tape.places)) > 3
    for place, least, most in zip(tape.places, acknowledged, rows, strict=True):
        assert least <= place <= most < place + 2 * BATCH


async def test_state_is_never_saved_ahead_of_the_stream(server, tmp_path):
    tape = Tape(3)
    client = await jetstream.connect(server.url, server.credentials, "test")
    collector = Collector(client, config(), lambda *_: TapeSource(tape), CheckpointStore(tmp_path, "collect"))
    await collector.start()
    task = asyncio.create_task(collector.run())
    await until(lambda: tape.acknowledged >= 50)
    server.kill()
    await until(lambda: collector._ahead)
    task.cancel()
    await asyncio.wait([task])
    await collector.stop()
    with contextlib.suppress(asyncio.CancelledError):  # the library's own, while it tries to connect again
        await client.close()
    server.start()
    await server.ready()
    while tape.acknowledged < ROWS:
        await collect(server, tmp_path, tape, kill_after=5)
    assert len(await stored(server)) == ROWS


@pytest.mark.parametrize("damage", ["lost", "spoilt"])
async def test_without_a_checkpoint_the_stream_is_enough(server, second_server, tmp_path, damage):
    whole = await undisturbed(second_server, tmp_path / "whole", 4)
    tape = Tape(4)
    while tape.acknowledged < ROWS:
        collector = await collect(server, tmp_path / "b", tape, kill_after=0.02)
        collector._save()
        for file in (tmp_path / "b").glob("*.checkpoint*"):
            file.unlink() if damage == "lost" else file.write_bytes(file.read_bytes()[:-9])
    assert sorted(await stored(server)) == sorted(whole)
