"""Telemetry leaves its stream before the historian comes to it: each series that lacks samples is in the ledger."""

from __future__ import annotations

import asyncio
import contextlib

from tests.support.lines import ASSETS, LINE, SECOND, SIGNALS, START, healthy, line_config
from tests.support.waiting import until
from wheeltapper_api.config import StoreConfig
from wheeltapper_api.wire import HEADER_TICK, Stage
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.recorder import Recorder
from wheeltapper_workers.history.unstored import gaps_of
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.blocks import to_bytes

CONFIG = StoreConfig(tenant=LINE.tenant, lines=[line_config()], commit_every_ns=1, commit_rows=1)
SUBJECT = LINE.subject(Stage.TELEMETRY, "scada")


@contextlib.asynccontextmanager
async def recording(server, root):
    client = await jetstream.connect(server.url, server.credentials, "test")
    one = Recorder(client, str(root), CONFIG, root / "secrets")
    await one.start()
    task = asyncio.create_task(one.run())
    try:
        yield one, client
    finally:
        task.cancel()
        await asyncio.wait([task])
        await one.stop()
        await client.close()


async def publish(client, samples):
    for second in sorted(set(samples.time.tolist())):
        await client.jetstream().publish(SUBJECT, to_bytes(samples.take(samples.time == second).batch()))


def gaps(root):
    sql = "SELECT asset, signal, epoch_ns(since) AS a, epoch_ns(until) AS b, cause, recovered FROM gaps"
    return sorted((row["asset"], row["signal"], row["a"], row["b"]) for row in query(str(root), sql).to_pylist())


async def test_each_series_is_entered_with_its_own_ends(server, tmp_path):
    root = tmp_path / "tables"
    samples = healthy(30)
    silent = (samples.asset == 0) & (samples.signal == 0) & (samples.time >= START + 20 * SECOND)
    samples = samples.take(~silent)
    before, lost, after = (
        samples.take((samples.time >= START + begin * SECOND) & (samples.time < START + end * SECOND))
        for begin, end in ((0, 10), (10, 20), (20, 30))
    )
    async with recording(server, root) as (one, client):
        await publish(client, before)
        await until(lambda: one.summary()["positions"]["TELEMETRY"] == 10)
    client = await jetstream.connect(server.url, server.credentials, "test")
    await publish(client, lost)
    await client.jetstream().purge_stream(Stage.TELEMETRY.stream, seq=21)
    await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "tick"), b"", headers={HEADER_TICK: "1"})
    await publish(client, after)
    await client.close()
    async with recording(server, root) as (one, client):
        await until(lambda: one.summary()["positions"].get("GAPS") == 1 and one.summary()["waitingRows"] == 0)
        assert one.summary()["missed"]["messages"] == 10
    found = gaps(root)
    assert [(asset, signal) for asset, signal, _, _ in found] == sorted((a, s) for a in ASSETS for s in SIGNALS)
    assert {since for _, _, since, _ in found} == {START + 9 * SECOND}
    ends = {(asset, signal): end for asset, signal, _, end in found}
    assert ends.pop((ASSETS[0], SIGNALS[0])) > START + 30 * SECOND, "nothing came since: when the next block was stored"
    assert set(ends.values()) == {START + 20 * SECOND}
    assert query(str(root), "SELECT count(*) AS n FROM raw").to_pylist() == [{"n": len(before) + len(after)}]


async def test_hole_in_the_middle_of_the_stream_is_found(server, tmp_path):
    """As a damaged file of the stream leaves it."""
    samples = healthy(20)
    client = await jetstream.connect(server.url, server.credentials, "test")
    await publish(client, samples)
    for sequence in range(8, 14):
        await client.jetstream().delete_msg(Stage.TELEMETRY.stream, sequence)
    await client.close()
    async with recording(server, tmp_path / "tables") as (one, _):
        await until(lambda: one.summary()["positions"].get("GAPS") == 1 and one.summary()["waitingRows"] == 0)
    found = gaps(tmp_path / "tables")
    assert len(found) == len(ASSETS) * len(SIGNALS)
    assert {(since, end) for _, _, since, end in found} == {(START + 6 * SECOND, START + 13 * SECOND)}


def test_where_no_sample_would_have_fitted_there_is_no_gap():
    known = {(asset, signal): START for asset in ASSETS for signal in SIGNALS}
    assert gaps_of(line_config(), known, dict.fromkeys(known, START + SECOND), START + 99 * SECOND) is None
    block = gaps_of(line_config(), known, dict.fromkeys(known, START + 2 * SECOND), START + 99 * SECOND)
    assert block.num_rows == len(known)
    assert gaps_of(line_config(), {}, {}, START + 99 * SECOND) is None, "of what never came nothing is missing"
