"""A stream reaches its limit: its writers wait and lose nothing, or its readers are told what they missed."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import APIError

from tests.runtime.test_worker_killed_mid_stream import publish, stored, telemetry, undisturbed
from tests.support.lines import LINE, line_config
from tests.support.waiting import until
from wheeltapper_api.config import Role
from wheeltapper_api.wire import HEADER_INPUT, Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.fenced import Fenced, FencedWriter
from wheeltapper_workers.runtime.jetstream import StreamReader
from wheeltapper_workers.runtime.line import LineRole
from wheeltapper_workers.scoring.scorer import ScoreStep

SUBJECT = LINE.subject(Stage.FEATURES, "featurize")


@pytest.fixture
async def client(server):
    client = await jetstream.connect(server.url, server.credentials, "test")
    yield client
    await client.close()


async def limit(client, stage, max_bytes, discard=DiscardPolicy.NEW):
    await client.jetstream().update_stream(
        StreamConfig(name=stage.stream, subjects=[f"{stage.value}.>"], max_bytes=max_bytes, discard=discard)
    )


async def count(client, stage):
    return (await client.jetstream().stream_info(stage.stream)).state.messages


@contextlib.asynccontextmanager
async def running(client, folder, role, step):
    config = line_config()
    one = LineRole(client, role, config, step(config), CheckpointStore(folder, role.value))
    await asyncio.wait_for(one.start({}), 20)
    task = asyncio.create_task(one.run())
    try:
        yield one, task
    finally:
        task.cancel()
        await asyncio.wait([task])
        await one.stop()


async def test_writer_waits_says_so_and_loses_and_doubles_nothing(server, client, tmp_path):
    await limit(client, Stage.FEATURES, 12_000)
    batches = telemetry()
    await publish(client, batches)
    async with running(client, tmp_path, Role.FEATURIZE, FeaturizeStep) as (role, task):
        await until(lambda: role.summary()["full"])
        assert "The stream FEATURES is full" in role.summary()["held"]
        held_at = role.progress.position
        assert held_at < len(batches)
        assert not task.done()
        for max_bytes in (20_000, 60_000, 10_000_000):  # room comes in pieces, and is used up again
            await limit(client, Stage.FEATURES, max_bytes)
            await until(lambda: role.progress.position > held_at)
        await until(lambda: role.progress.position > len(batches))
        assert role.summary()["held"] == ""
    assert await stored(server) == undisturbed(batches)


async def test_killed_while_it_waits_it_goes_on_at_the_same_block(server, client, tmp_path):
    await limit(client, Stage.FEATURES, 12_000)
    batches = telemetry()
    await publish(client, batches)
    for _ in range(2):
        async with running(client, tmp_path, Role.FEATURIZE, FeaturizeStep) as (role, _):
            await until(lambda: role.summary()["full"])
    await limit(client, Stage.FEATURES, 10_000_000)
    async with running(client, tmp_path, Role.FEATURIZE, FeaturizeStep) as (role, _):
        await until(lambda: role.progress.position > len(batches))
    assert await stored(server) == undisturbed(batches)


async def test_a_reader_of_a_full_stream_starts_though_it_cannot_record_its_config(client, tmp_path):
    await limit(client, Stage.FEATURES, 12_000)
    with contextlib.suppress(APIError):
        while True:
            await client.jetstream().publish(SUBJECT, b"x" * 10)
    async with running(client, tmp_path, Role.SCORE, ScoreStep) as (role, task):
        await until(lambda: role.progress.refused > 50)
        await role.tick()
        assert not task.done()
        await limit(client, Stage.FEATURES, 10_000_000)
        await until(lambda: role.generation)
        last = await count(client, Stage.FEATURES)
        await until(lambda: role.progress.position >= last)


async def test_a_subject_whose_last_message_was_trimmed_is_still_its_writers(client):
    writer, other = (FencedWriter(client, Stage.FEATURES.stream, SUBJECT) for _ in range(2))
    await writer.open()
    await writer.write(b"a", {HEADER_INPUT: "1:0"})
    await other.open()
    await client.jetstream().publish(LINE.subject(Stage.FEATURES, "another"), b"")
    await client.jetstream().purge_stream(Stage.FEATURES.stream, seq=2)
    assert await writer.write(b"b", {HEADER_INPUT: "2:0"}) == 3
    with pytest.raises(Fenced):
        await other.write(b"c", {HEADER_INPUT: "2:1"})


async def test_reader_is_told_what_the_stream_dropped_in_front_of_it(client):
    told = []
    reader = StreamReader(client, Stage.TELEMETRY.stream, ["telemetry.>"], 0, on_missing=told.append)
    stream = client.jetstream()
    for _ in range(10):
        await stream.publish("telemetry.a", b"")
    assert len(await reader.read(4)) == 4
    await reader.close()
    await stream.purge_stream(Stage.TELEMETRY.stream, seq=8)
    assert [message.sequence for message in await reader.read(10)][:1] == [8]
    assert [(one.stream, one.first, one.last) for one in told] == [("TELEMETRY", 5, 7)]
    await reader.close()
    fresh = StreamReader(client, Stage.TELEMETRY.stream, ["telemetry.>"], 0, on_missing=told.append)
    assert await fresh.read(10)
    await fresh.close()
    assert len(told) == 1, "who begins with what there is misses nothing"


async def test_reader_that_lags_is_told_while_it_reads(client):
    told = []
    stream = client.jetstream()
    for _ in range(30):
        await stream.publish("telemetry.a", b"")
    reader = StreamReader(client, Stage.TELEMETRY.stream, ["telemetry.>"], 1, on_missing=told.append)
    while reader.position < 10:
        await reader.read(3)
    before = reader.position
    await stream.purge_stream(Stage.TELEMETRY.stream, seq=25)
    while reader.position < 30:
        await reader.read(3)
    await reader.close()
    (missing,) = told
    assert missing.last == 24
    assert before < missing.first <= before + 4


async def test_idle_reader_follows_the_stream_and_misses_nothing_of_others(client, monkeypatch):
    monkeypatch.setattr(jetstream, "_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(jetstream, "_PULL_SECONDS", 0.2)
    told = []
    reader = StreamReader(client, Stage.TELEMETRY.stream, ["telemetry.mine"], 0, on_missing=told.append)
    await client.jetstream().publish("telemetry.mine", b"")
    assert len(await reader.read(10)) == 1
    for _ in range(5):
        await client.jetstream().publish("telemetry.other", b"")
    while reader.position < 6:
        assert await reader.read(10) == []
    await reader.close()
    await client.jetstream().purge_stream(Stage.TELEMETRY.stream, seq=6)
    await client.jetstream().publish("telemetry.mine", b"")
    assert [message.sequence for message in await reader.read(10)] == [7]
    assert told == []
    await reader.close()


async def test_checkpoint_older_than_the_stream_is_told(client, tmp_path, caplog):
    batches = telemetry()
    await publish(client, batches[:20])
    async with running(client, tmp_path, Role.FEATURIZE, FeaturizeStep) as (role, _):
        await until(lambda: role.progress.position >= 20)
    for batch in batches[20:]:
        await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "scada"), to_bytes(batch))
    await client.jetstream().purge_stream(Stage.TELEMETRY.stream, seq=40)
    async with running(client, tmp_path, Role.FEATURIZE, FeaturizeStep) as (role, _):
        await until(lambda: role.progress.position > len(batches))
        told = role.summary()["missed"]
    assert told["messages"] in (18, 19)
    assert "no longer has messages" in told["newest"]
    assert "What they held is in no features of this line" in caplog.text
