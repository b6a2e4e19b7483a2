"""What a source did not deliver is asked for, and what it cannot give is in the ledger."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from wheeltapper_api.config import CollectorConfig, SeriesConfig
from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.contracts.raw import raw_batch
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.blocks import from_bytes
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.jetstream import StreamReader
from wheeltapper_workers.sources.base import ConnectionState, Delivery, History
from wheeltapper_workers.sources.collector import Collector

SECOND = 10**9
NOW = (time.time_ns() // SECOND - 200) * SECOND
LINE = Line(tenant="northwater", plant="riverside", asset_class="pump")


def config():
    return CollectorConfig(
        tenant="northwater",
        plant="riverside",
        name="main",
        protocol="opcua",
        endpoint="opc.tcp://127.0.0.1:1",
        max_ahead_ns=10**18,
        max_behind_ns=10**18,
        series=[
            SeriesConfig(
                line=LINE,
                asset=asset,
                signal="flow",
                kind="gauge",
                address=asset,
                interval_ns=SECOND,
                stale_after_ns=60 * SECOND,
            )
            for asset in ("p-101", "p-102")
        ],
    )


def samples(series, seconds, **columns):
    time_ns = NOW + np.array(seconds) * SECOND
    return raw_batch([series] * len(seconds), time_ns, [float(one) for one in seconds], time_ns.max(), **columns)


class Scripted:
    """Plays deliveries; its history holds every second of the series it is kept for."""

    def __init__(self, *deliveries, kept=(), fails=0):
        self.script, self.kept, self.fails, self.asked = deliveries, kept, fails, []

    async def deliveries(self):
        for batch, broken in self.script:
            yield Delivery(functools.partial(lambda one: one, batch), lambda: None, broken)

    async def history(self, series, since_ns, until_ns, /):
        self.asked.append((series.tolist(), since_ns.tolist(), until_ns))
        if self.fails:
            self.fails -= 1
            raise ConnectionError("it is away")
        found = [
            (time, one)
            for one, since in zip(series.tolist(), since_ns.tolist(), strict=True)
            for time in range(since, min(until_ns, NOW + 100 * SECOND) + 1, SECOND)
            if one in self.kept
        ]
        time_ns = np.array([time for time, _ in sorted(found)], np.int64)
        values = (time_ns - NOW) / SECOND
        batch = raw_batch([one for _, one in sorted(found)], time_ns, values, NOW, resent=True)
        return History(batch, np.isin(series, self.kept))

    def connection(self):
        return ConnectionState(True, 0)

    def problems(self):
        return []

    def status_name(self, code):
        return str(code)

    async def close(self, *, keep):
        pass


@pytest.fixture
def collect(server, tmp_path, monkeypatch):
    monkeypatch.setattr("wheeltapper_workers.sources.collector._RETRY_S", 0.001)

    async def run(source):
        client = await jetstream.connect(server.url, server.credentials, "test")
        collector = Collector(client, config(), lambda *_: source, CheckpointStore(tmp_path, "collect"))
        await collector.start()
        await collector.run()
        await collector.stop()
        await client.close()
        return collector

    return run


@pytest.fixture
def stored(server):
    async def read(stage):
        client = await server.connect()
        count = (await client.jetstream().stream_info(stage.stream)).state.messages
        reader, found = StreamReader(client, stage.stream, [LINE.filter(stage)], 0), []
        while count:
            messages = await reader.read(100)
            found += [row for message in messages for row in from_bytes(message.data, stage).to_pylist()]
            count -= len(messages)
        await reader.close()
        await client.close()
        return found

    return read


def told(rows):
    start = datetime.fromtimestamp(NOW // SECOND, UTC)
    return [
        (
            row["asset"],
            (row["since"] - start).total_seconds(),
            (row["until"] - start).total_seconds(),
            row["recovered"],
            row["samples"],
        )
        for row in rows
    ]


async def test_history_fills_a_break_and_says_so(collect, stored):
    source = Scripted(
        (samples(0, [0, 1, 2]), ""),
        (samples(1, [2]), ""),
        (samples(0, [9, 10]), "The server was restarted"),
        kept=(0, 1),
    )
    await collect(source)
    rows = await stored(Stage.TELEMETRY)
    flow = [row["value"] for row in rows if row["asset"] == "p-101"]
    assert flow == [float(second) for second in range(101)]  # the plant was two minutes further than the delivery
    assert len({(row["asset"], row["source_time"]) for row in rows}) == len(rows)
    entries = await stored(Stage.GAPS)
    assert told(entries) == [("p-101", 2, 100, True, 98), ("p-102", 2, 100, True, 98)]
    assert {row["cause"] for row in entries} == {"The server was restarted"}


async def test_without_history_the_gap_is_told_when_its_end_comes(collect, stored):
    collector = await collect(
        Scripted(
            (samples(0, [0, 1]), ""), (samples(1, [0, 1]), ""), (samples(0, [5]), "It is gone"), (samples(1, [9]), "")
        )
    )
    assert told(await stored(Stage.GAPS)) == [("p-101", 1, 5, False, 0), ("p-102", 1, 9, False, 0)]
    assert (collector.summary()["gaps"], collector.summary()["lost"]) == (2, 2)


async def test_a_break_in_which_nothing_fits_is_no_gap(collect, stored):
    await collect(Scripted((samples(0, [0, 1]), ""), (samples(0, [2, 3]), "It is gone"), (samples(0, [50]), "")))
    assert await stored(Stage.GAPS) == []


async def test_the_break_outlives_a_restart(collect, stored):
    await collect(Scripted((samples(0, [0]), ""), (samples(1, [0]), ""), (samples(0, [7]), "It is gone")))
    await collect(Scripted((samples(1, [8]), "")))
    assert told(await stored(Stage.GAPS)) == [("p-101", 0, 7, False, 0), ("p-102", 0, 8, False, 0)]


async def test_samples_the_source_says_it_dropped_are_told_and_asked_for(collect, stored):
    dropped = samples(0, [6, 7], lost_before=np.array([True, False]))
    source = Scripted((samples(0, [0, 1]), ""), (dropped, ""))
    await collect(source)
    assert told(await stored(Stage.GAPS)) == [("p-101", 1, 6, False, 0)]
    assert source.asked[0] == ([0], [NOW + SECOND], NOW + 6 * SECOND)


async def test_history_of_one_series_says_nothing_of_another(collect, stored):
    await collect(
        Scripted(
            (samples(0, [0]), ""),
            (samples(1, [0]), ""),
            (samples(0, [5]), "It is gone"),
            (samples(1, [101]), ""),
            kept=(0,),
        )
    )
    assert told(await stored(Stage.GAPS)) == [("p-101", 0, 100, True, 100), ("p-102", 0, 101, False, 0)]


async def test_history_that_is_away_for_a_moment_is_asked_again(collect, stored):
    source = Scripted((samples(0, [0]), ""), (samples(0, [5]), "It is gone"), kept=(0,), fails=2)
    await collect(source)
    assert told(await stored(Stage.GAPS)) == [("p-101", 0, 100, True, 100)]
    assert len(source.asked) >= 3
