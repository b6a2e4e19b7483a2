"""The pipeline of a class changes while blocks made under the one before are still on their way."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from tests.support.lines import LINE, PIPELINE, SECOND, healthy, line_config
from tests.support.streams import stored_batches
from tests.support.waiting import until
from wheeltapper_api.config import FeatureConfig, Role
from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_api.wire import Stage
from wheeltapper_workers.main import make_step
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.configs import line_generation
from wheeltapper_workers.runtime.line import LineRole

BEFORE = line_config()
SPEED_SPREAD = FeatureConfig(
    name="speed-spread",
    title="Spread of the speed",
    unit="/min",
    of="speed",
    function=Function.STD,
    window_ns=10 * SECOND,
)
AFTER = line_config(pipeline=PIPELINE.model_copy(update={"features": [SPEED_SPREAD, *PIPELINE.features]}))
"""One feature more, in front of those that the model reads."""


@contextlib.asynccontextmanager
async def running(server, folder, role, config, earlier=()):
    client = await jetstream.connect(server.url, server.credentials, role.value)
    store = CheckpointStore(folder, role.value)
    one = LineRole(client, role, config, make_step(role, config), store)
    await one.start({line_generation(each): each for each in earlier})
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.wait([task])
        await one.stop()
        await client.close()
        if not task.cancelled():
            task.result()


async def publish(client, samples):
    for part in np.array_split(np.arange(len(samples)), 20):
        await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "scada"), to_bytes(samples.take(part).batch()))


async def levels(client):
    """The vibration's level by asset and window, as the featurizer and as the scorer read it."""
    made, read = {}, {}
    for batch in await stored_batches(client, Stage.FEATURES):
        position = 2 - (len(batch["values"][0]) == 3) - 1
        for row in batch.select(["asset", "window_end", "values"]).to_pylist():
            made[row["asset"], row["window_end"]] = row["values"][position]
    for batch in await stored_batches(client, Stage.SCORES):
        for row in batch.select(["asset", "window_end", "values"]).to_pylist():
            read[row["asset"], row["window_end"]] = row["values"][0]
    return made, read


@pytest.mark.parametrize("first", ["scorer", "featurizer"])
async def test_scorer_reads_each_block_under_the_config_it_was_made_with(server, tmp_path, first):
    client = await server.connect()
    async with running(server, tmp_path, Role.FEATURIZE, BEFORE) as featurizer:
        await publish(client, healthy(100))
        await until(lambda: featurizer.progress.position >= 21)
        async with running(server, tmp_path, Role.SCORE, BEFORE) as scorer:
            # The one that is told first has it in force while the other still has a backlog.
            if first == "scorer":
                await scorer.configure(AFTER)
                await publish(client, healthy(100, start=healthy(1).time[0] + 100 * SECOND))
                await until(lambda: featurizer.progress.position >= 41)
                await featurizer.configure(AFTER)
            else:
                await featurizer.configure(AFTER)
                await until(lambda: featurizer.generation == line_generation(AFTER))
            await publish(client, healthy(100, start=healthy(1).time[0] + 200 * SECOND))
            await until(lambda: featurizer.progress.position >= (62 if first == "scorer" else 42))
            if first == "featurizer":
                await scorer.configure(AFTER)
            last = (await client.jetstream().stream_info(Stage.FEATURES.stream)).state.last_seq
            await until(lambda: scorer.progress.position >= last)
            assert scorer.generation == line_generation(AFTER)
    made, read = await levels(client)
    assert len(read) > 30
    assert read == {key: made[key] for key in read}
    await client.close()
