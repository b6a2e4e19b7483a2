"""The pipeline of a class changes while blocks made under the one before are still on their way."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.lines import LINE, PIPELINE, SECOND, healthy, line_config
from tests.support.roles import running_role
from tests.support.streams import stored_batches
from tests.support.waiting import until
from wheeltapper_api.config import FeatureConfig, Role
from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_api.wire import Stage
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.configs import line_generation

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
    async with running_role(server, tmp_path, Role.FEATURIZE, BEFORE) as (featurizer, _):
        await publish(client, healthy(100))
        await until(lambda: featurizer.progress.position >= 21)
        async with running_role(server, tmp_path, Role.SCORE, BEFORE) as (scorer, _):
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


async def test_change_whose_tick_is_gone_is_told_by_the_blocks(server, tmp_path):
    """The stream gave way before the scorer had read that the config changed."""
    client = await server.connect()
    async with running_role(server, tmp_path, Role.FEATURIZE, BEFORE) as (featurizer, _):
        async with running_role(server, tmp_path, Role.SCORE, BEFORE) as (scorer, _):
            await publish(client, healthy(100))
            await until(lambda: featurizer.progress.position >= 21)
            last = (await client.jetstream().stream_info(Stage.FEATURES.stream)).state.last_seq
            await until(lambda: scorer.progress.position >= last)
        await featurizer.configure(AFTER)
        await until(lambda: featurizer.current)
        told = (await client.jetstream().stream_info(Stage.FEATURES.stream)).state.last_seq
        await publish(client, healthy(100, start=healthy(1).time[0] + 100 * SECOND))
        await until(lambda: featurizer.progress.position >= 42)
        await client.jetstream().delete_msg(Stage.FEATURES.stream, told)
        last = (await client.jetstream().stream_info(Stage.FEATURES.stream)).state.last_seq
        async with running_role(server, tmp_path, Role.SCORE, AFTER, [BEFORE]) as (scorer, _):
            assert not scorer.current
            await until(lambda: scorer.progress.position >= last)
            assert scorer.current
            assert scorer.progress.refused == 0
    made, read = await levels(client)
    assert read == {key: made[key] for key in read}
    await client.close()
