"""A role of a line is stopped at any block, with or without its checkpoint; its output is as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from tests.support.drive import drive, rows
from tests.support.lines import LINE, healthy, line_config
from tests.support.roles import running_role
from tests.support.streams import stored_rows
from tests.support.waiting import until
from wheeltapper_api.config import Role
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_TICK, Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.configs import line_generation
from wheeltapper_workers.runtime.fenced import Fenced
from wheeltapper_workers.runtime.jetstream import StreamReader

BLOCKS = 60
LAST = BLOCKS + 1
"""Sequence of the last block: the first message tells the config."""


def telemetry(blocks=BLOCKS, seconds=400):
    samples = healthy(seconds)
    return [samples.take(part).batch() for part in np.array_split(np.arange(len(samples)), blocks)]


async def publish(client, batches):
    """The batches, behind a tick that tells the config, as in every stream."""
    jetstream = client.jetstream()
    if (await jetstream.stream_info(Stage.TELEMETRY.stream)).state.last_seq == 0:
        told = {HEADER_TICK: "1", HEADER_GENERATION: line_generation(line_config())}
        await jetstream.publish(LINE.subject(Stage.TELEMETRY, "tick"), b"", headers=told)
    for batch in batches:
        await jetstream.publish(LINE.subject(Stage.TELEMETRY, "scada"), to_bytes(batch))


def role(server, folder, config=None):
    return running_role(server, folder, Role.FEATURIZE, config or line_config())


async def stored(server):
    client = await jetstream.connect(server.url, server.credentials, "reader")
    try:
        return await stored_rows(client, Stage.FEATURES)
    finally:
        await client.close()


def saved(worker):
    """Position that is saved; nothing is while a step's outputs are on their way."""
    worker.checkpoint(force=True)
    return worker.summary()["needs"][Stage.TELEMETRY.stream]


def undisturbed(batches):
    step = FeaturizeStep(line_config())
    return rows(drive(step, step.initial(line_config()), batches, first=2)[1])


@pytest.mark.parametrize("checkpointed", [True, False], ids=["with checkpoint", "checkpoint lost"])
async def test_output_is_that_of_an_undisturbed_run(server, tmp_path, checkpointed):
    batches = telemetry()
    client = await server.connect()
    await publish(client, batches[:35])
    async with role(server, tmp_path / "a") as (worker, _):
        await until(lambda: worker.progress.position >= 20)
        await until(lambda: saved(worker) >= 20)
        await until(lambda: worker.progress.position >= 35)
    await publish(client, batches[35:])
    await client.close()
    async with role(server, tmp_path / ("a" if checkpointed else "b")) as (worker, _):
        assert bool(worker.progress.position) is checkpointed
        await until(lambda: worker.progress.position >= LAST)
    assert await stored(server) == undisturbed(batches)


async def test_spoilt_checkpoint_is_passed_over(server, tmp_path, caplog):
    batches = telemetry()
    client = await server.connect()
    await publish(client, batches)
    await client.close()
    async with role(server, tmp_path) as (worker, _):
        await until(lambda: worker.progress.position >= LAST)
        worker.checkpoint(force=True)
    path = tmp_path / "featurize.checkpoint"
    path.write_bytes(path.read_bytes()[:-100])
    async with role(server, tmp_path) as (worker, _):
        await until(lambda: worker.progress.position >= LAST)
    assert "cannot be used" in caplog.text
    assert await stored(server) == undisturbed(batches)


async def test_second_instance_is_refused(server, tmp_path):
    batches = telemetry()
    client = await server.connect()
    await publish(client, batches[:20])
    async with role(server, tmp_path / "a") as (first, first_task):
        await until(lambda: first.progress.position >= 20)
        first_task.cancel()  # paused, as a suspended process would be
        await asyncio.wait([first_task])
        async with role(server, tmp_path / "b") as (second, _):
            await publish(client, batches[20:40])
            await until(lambda: second.progress.position >= 40)
        await publish(client, batches[40:])
        with pytest.raises(Fenced, match="Another instance"):
            await asyncio.wait_for(first.run(), 20)
    await client.close()
    expected = undisturbed(batches)
    assert await stored(server) == expected[: len(await stored(server))]


async def test_server_killed_and_back(server, tmp_path):
    batches = telemetry()
    client = await server.connect()
    await publish(client, batches[:30])
    await client.close()
    async with role(server, tmp_path) as (worker, task):
        await until(lambda: worker.progress.position >= 30)
        server.kill()
        server.start()
        await server.ready()
        client = await server.connect()
        await publish(client, batches[30:])
        await client.close()
        await until(lambda: worker.progress.position >= LAST, 40)
        assert not task.done()
    assert await stored(server) == undisturbed(batches)


async def test_garbage_in_the_stream_is_told_and_left_out(server, tmp_path):
    batches = telemetry()
    client = await server.connect()
    await publish(client, batches[:30])
    for junk in (b"", b"junk", b"\xff" * 100_000):
        await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "scada"), junk)
    await client.jetstream().publish(
        LINE.subject(Stage.TELEMETRY, "tick"), b"", headers={"Wheeltapper-Tick": "tomorrow"}
    )
    await publish(client, batches[30:])
    await client.close()
    async with role(server, tmp_path) as (worker, task):
        await until(lambda: worker.progress.position >= LAST + 4)
        assert not task.done()
        assert worker.progress.refused == 4
        assert "tomorrow" in worker.progress.last_refusal
    without = ("telemetry_first", "telemetry_last")
    expected = [{k: v for k, v in row.items() if k not in without} for row in undisturbed(batches)]
    assert [{k: v for k, v in row.items() if k not in without} for row in await stored(server)] == expected


async def test_config_changes_at_the_block_where_it_is_recorded(server, tmp_path):
    batches = telemetry()
    client = await server.connect()
    await publish(client, batches[:30])
    async with role(server, tmp_path) as (worker, _):
        await until(lambda: worker.progress.position >= 30)
        before = worker.generation
        await worker.configure(line_config(["p-3", "p-1"]))
        await publish(client, batches[30:])
        await until(lambda: worker.progress.position >= LAST + 1)
        assert worker.generation != before
    await client.close()
    kept = [row for row in undisturbed(batches) if row["asset"] == "'p-1'"]
    without = ("telemetry_first", "telemetry_last")
    found = [row for row in await stored(server) if row["asset"] == "'p-1'"]
    strip = lambda table: [{k: v for k, v in row.items() if k not in without} for row in table]  # noqa: E731 - one use
    assert strip(found) == strip(kept)


async def test_a_backlog_of_large_blocks_does_not_overrun_the_connection(server, tmp_path, caplog):
    large = telemetry(blocks=1, seconds=9000)[0]  # 2.6 MB; its repetitions change nothing but the volume
    deliveries = 40
    client = await server.connect()
    await publish(client, [large] * deliveries)
    await client.close()
    async with role(server, tmp_path) as (worker, _):
        await until(lambda: worker.progress.position >= deliveries, 60)
    assert "Lost the backbone" not in caplog.text
    ends = [row["window_end"] for row in await stored(server) if row["asset"] == "'p-1'"]
    assert len(ends) == len(set(ends)) == 899


async def test_a_cancellation_that_a_call_swallowed_is_obeyed_at_the_next(server):
    client = await jetstream.connect(server.url, server.credentials, "test")
    reader = StreamReader(client, Stage.TELEMETRY.stream, [LINE.filter(Stage.TELEMETRY)], position=0)

    async def swallow_and_go_on():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        while True:
            await reader.read(1)

    task = asyncio.create_task(swallow_and_go_on())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=2)
    assert task.cancelled()
    await client.close()
