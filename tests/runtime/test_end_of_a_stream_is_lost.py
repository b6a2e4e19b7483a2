"""The server loses messages that it had acknowledged: no number is given twice, no new block is passed over."""

from __future__ import annotations

import asyncio

import nats.errors
import numpy as np
import pytest
from nats.js.api import DiscardPolicy

from tests.runtime.test_gap_goes_untold import LINE as PUMPS
from tests.runtime.test_gap_goes_untold import Scripted, config, samples
from tests.runtime.test_worker_killed_mid_stream import publish, role, saved, stored, telemetry
from tests.support.drive import drive, rows
from tests.support.lines import LINE, line_config
from tests.support.waiting import until
from wheeltapper_api.wire import HEADER_INPUT, Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.blocks import from_bytes
from wheeltapper_workers.runtime.checkpoint import Checkpoint, CheckpointStore, decode, encode
from wheeltapper_workers.runtime.conditions import Machine, conditions
from wheeltapper_workers.runtime.fenced import FencedWriter
from wheeltapper_workers.runtime.jetstream import StreamReader
from wheeltapper_workers.runtime.lost_end import count_on, first_after
from wheeltapper_workers.runtime.step import Snapshot
from wheeltapper_workers.sources.collector import Collector

TELEMETRY, FEATURES = Stage.TELEMETRY.stream, Stage.FEATURES.stream
KEPT, LOST = 20, 35
"""Blocks that the server keeps; and those that it had when it failed."""


async def published(server, batches):
    client = await server.connect()
    await publish(client, batches)
    await client.close()


async def state_of(server, stream=TELEMETRY):
    client = await server.connect()
    state = (await client.jetstream().stream_info(stream)).state
    await client.close()
    return state


def complete(worker):
    """The condition that tells of it."""
    found = conditions({"featurize": worker.summary()}, Machine(), [], 1)
    return next(one for one in found if one.type == "Complete")


def without_numbers(table):
    return [{k: v for k, v in row.items() if k not in ("telemetry_first", "telemetry_last")} for row in table]


def behind(batches):
    """What a featurizer that has read the lost blocks makes of those behind them."""
    step = FeaturizeStep(line_config())
    state, _ = drive(step, step.initial(line_config()), batches[:LOST])
    return without_numbers(rows(drive(step, state, batches[LOST:])[1]))


async def read_all(worker, server):
    client = await server.connect()
    last = await client.jetstream().get_last_msg(TELEMETRY, LINE.subject(Stage.TELEMETRY, "scada"))
    await client.close()
    await until(lambda: worker.progress.position >= last.seq, 40)


@pytest.mark.parametrize("early", [0, 4, 20], ids=["noticed at once", "noticed late", "longer again when noticed"])
async def test_restarted_worker_passes_over_no_new_block(server, tmp_path, early):
    """Also of those that were written under numbers of lost ones before anyone noticed."""
    batches = telemetry()
    await published(server, batches[:KEPT])
    await server.keep()
    await published(server, batches[KEPT:LOST])
    async with role(server, tmp_path) as (worker, _):
        await until(lambda: worker.progress.position > LOST)
        await until(lambda: saved(worker) > LOST)
    await server.lose()
    await published(server, batches[LOST : LOST + early])
    for told in ("BackboneLost", "BackboneLost" if early else "AsExpected"):  # the checkpoint stays the one from before
        async with role(server, tmp_path) as (worker, _):
            assert complete(worker).reason == told
            await read_all(worker, server)
            worker.progress.position = worker._saved_position  # killed before it could save
    await published(server, batches[LOST + early :])
    async with role(server, tmp_path) as (worker, _):
        await read_all(worker, server)
    assert without_numbers(await stored(server)) == behind(batches)


async def test_running_worker_goes_on(server, tmp_path):
    """Its input and its output have both lost their ends; neither number comes again."""
    batches = telemetry()
    await published(server, batches[:KEPT])
    await server.keep()
    await published(server, batches[KEPT:LOST])
    async with role(server, tmp_path) as (worker, task):
        await until(lambda: worker.progress.position > LOST)
        before = (await state_of(server, FEATURES)).last_seq
        await server.lose()
        await until(lambda: worker.progress.missed.messages, 40)
        assert "lost the end of TELEMETRY, messages 22 to 36" in complete(worker).message
        assert (await state_of(server)).last_seq == LOST + 1
        await published(server, batches[LOST:])
        await read_all(worker, server)
        assert "lost the end of FEATURES" in complete(worker).message
        assert not task.done()
    assert (await state_of(server)).last_seq == len(batches) + 1
    assert (await state_of(server, FEATURES)).first_seq > before
    assert without_numbers(await stored(server)) == behind(batches)


async def test_worker_that_had_nothing_of_the_lost_end_hears_nothing(server, tmp_path):
    batches = telemetry()
    await published(server, batches[:KEPT])
    async with role(server, tmp_path) as (worker, _):
        await until(lambda: saved(worker) > KEPT)
    await server.keep()
    await published(server, batches[KEPT:LOST])
    await server.lose()
    await published(server, batches[KEPT:])
    async with role(server, tmp_path) as (worker, _):
        await read_all(worker, server)
        assert complete(worker).status == "True"


async def numbers_of(server):
    client = await server.connect()
    reader, found = StreamReader(client, TELEMETRY, [PUMPS.filter(Stage.TELEMETRY)], 0), []
    while len(found) < (await client.jetstream().stream_info(TELEMETRY)).state.messages:
        for message in await reader.read(100):
            found += [(message.sequence, row["value"]) for row in from_bytes(message.data, Stage.TELEMETRY).to_pylist()]
    await reader.close()
    await client.close()
    return found


async def test_collector_numbers_on_behind_what_it_had_written(server, tmp_path):
    """Its checkpoint knows more than the stream; what was acknowledged to the source is gone, and it says so."""
    client = await jetstream.connect(server.url, server.credentials, "test")

    async def run(*deliveries):
        source = Scripted(*deliveries)
        collector = Collector(client, config(), lambda *_: source, CheckpointStore(tmp_path, "collect"))
        await collector.start()
        await collector.run()
        await collector.stop()
        return collector

    await run((samples(0, [0, 1]), ""))
    await server.keep()
    await until(lambda: client.is_connected)
    await run((samples(0, [2, 3]), ""), (samples(0, [4, 5]), ""))
    await server.lose()
    await until(lambda: client.is_connected)
    collector = await run((samples(0, [6, 7]), ""))
    await client.close()
    assert await numbers_of(server) == [(1, 0.0), (1, 1.0), (4, 6.0), (4, 7.0)]
    assert "messages 2 to 3" in collector.summary()["missed"]["newest"]


async def test_writer_notices_when_it_writes(server):
    client, told = await jetstream.connect(server.url, server.credentials, "test"), []
    writer = FencedWriter(client, TELEMETRY, LINE.subject(Stage.TELEMETRY, "scada"), told.append)
    await writer.open()
    await writer.write(b"1", {HEADER_INPUT: "1:0"})
    await server.keep()
    for number in range(2, 6):
        await writer.write(b"x", {HEADER_INPUT: f"{number}:0"})
    await server.lose()
    assert await writer.write(b"6", {HEADER_INPUT: "6:0"}) == 6
    assert [(one.first, one.last, one.known) for one in told] == [(2, 5, True)]
    await client.close()


async def test_counting_on_together_and_past_another_writer(server):
    """Several notice at the same time while others write: no number twice, none lost, and nothing is left behind."""
    client = await server.connect()
    stream = client.jetstream()

    async def write():
        return [(await stream.publish(LINE.subject(Stage.TELEMETRY, "scada"), b"x")).seq for _ in range(200)]

    *_, written = await asyncio.gather(*(count_on(client, TELEMETRY, known) for known in (2500, 3000, 2900)), write())
    state = (await stream.stream_info(TELEMETRY)).state
    assert state.messages == len(set(written)) == 200
    assert state.last_seq >= 3000
    await count_on(client, TELEMETRY, 10)
    assert (await stream.stream_info(TELEMETRY)).state.last_seq == state.last_seq
    await client.close()


async def test_numbers_stay_taken_over_a_crash(server):
    client = await server.connect()
    await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "scada"), b"x")
    await count_on(client, TELEMETRY, 1500)
    await client.close()
    server.kill()
    server.start()
    await server.ready()
    assert (await state_of(server)).last_seq == 1500


async def test_stream_without_room_is_waited_for(server):
    """What counts on takes room for a moment; a full stream refuses it, and it is tried again."""
    client = await server.connect()
    stream = client.jetstream()
    full = (await stream.stream_info(FEATURES)).config
    full.max_bytes, full.discard = 200, DiscardPolicy.NEW
    await stream.update_stream(full)
    with pytest.raises(nats.errors.Error, match="FEATURES is full"):
        await count_on(client, FEATURES, 10)
    full.max_bytes = 100_000
    await stream.update_stream(full)
    await count_on(client, FEATURES, 10)
    assert (await state_of(server, FEATURES)).messages == 0
    await client.close()


async def test_first_message_after_a_time(server):
    client = await server.connect()
    stream, times = client.jetstream(), []
    for number in range(1, 31):
        await stream.publish(LINE.subject(Stage.TELEMETRY, "scada"), b"x")
        times.append(jetstream.microseconds((await stream.get_msg(TELEMETRY, number)).time))
    await stream.delete_msg(TELEMETRY, 12)
    for number in (1, 10, 11, 29):
        found = await first_after(stream, TELEMETRY, 1, 31, times[number - 1])
        assert found == (13 if number == 11 else number + 1)
    assert await first_after(stream, TELEMETRY, 1, 31, times[-1]) == 31
    assert await first_after(stream, TELEMETRY, 1, 31, 0) == 1
    await client.close()


async def test_reader_waits_for_a_stream_that_is_not_there(server):
    client = await server.connect()
    await client.jetstream().delete_stream(TELEMETRY)
    reader = StreamReader(client, TELEMETRY, [LINE.filter(Stage.TELEMETRY)], 0, on_missing=print)
    task = asyncio.create_task(reader.read(1))
    await asyncio.wait([task], timeout=1.5)
    assert not task.done()
    await server.streams()
    await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "scada"), b"x")
    assert [message.sequence for message in await asyncio.wait_for(task, 20)] == [1]
    await client.close()


def test_checkpoint_with_and_without_the_time():
    """One of before has none and is as good; a time that was changed is found."""
    plain = Checkpoint(7, "g", 1, Snapshot({"a": np.arange(3)}, {}))
    timed = Checkpoint(7, "g", 1, plain.snapshot, 1_700_000_000_123_456_789)
    assert decode(encode(plain)).published_ns == 0
    assert b"publishedNs" not in encode(plain)
    assert decode(encode(timed)).published_ns == timed.published_ns
    with pytest.raises(ValueError, match="digest"):
        decode(encode(timed).replace(b"1700000000123456789", b"1700000000123456788"))
