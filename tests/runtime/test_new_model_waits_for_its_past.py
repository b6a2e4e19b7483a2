"""A config with a model that has to learn takes over when the store has taught it, or when nobody will."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.lines import LINE, MODEL, SECOND, START, healthy, line_config
from tests.support.roles import put_config, running_worker
from tests.support.streams import stored_batches
from tests.support.waiting import until
from wheeltapper_api.config import InputConfig, Role, StoreConfig, WorkerConfig
from wheeltapper_api.kinds.failuremodel import Direction
from wheeltapper_api.wire import Stage
from wheeltapper_workers.runtime import announcing
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.configs import line_generation

NAME = "northwater-riverside-all"
QUICK = MODEL.model_copy(update={"baseline_at_least_ns": 300 * SECOND})
BEFORE = line_config(model=QUICK)
AFTER = line_config(
    model=QUICK.model_copy(
        update={"inputs": [InputConfig(feature="speed-level", direction=Direction.UP, resolution=1.0)]}
    )
)
ROLES = [Role.FEATURIZE, Role.SCORE]
SOURCES = [Stage.TELEMETRY, Stage.FEATURES]


def document(line, *, stores):
    store = StoreConfig(tenant="northwater", lines=[line], commit_every_ns=1, commit_rows=1) if stores else None
    roles = [*ROLES, Role.STORE] if stores else ROLES
    return WorkerConfig(worker=NAME, tenant="northwater", roles=roles, lines=[line], store=store)


async def publish(client, begin, seconds):
    samples = healthy(seconds, start=START + begin * SECOND)
    for part in np.array_split(np.arange(len(samples)), 20):
        await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "scada"), to_bytes(samples.take(part).batch()))


def generation(one):
    parts = one.status()["parts"]
    return next((part["generation"] for key, part in parts.items() if key.startswith("score")), "")


def waiting_for(one):
    return next(part["learning"] for key, part in one.status()["parts"].items() if key.startswith("featurize"))


async def live_for_a_while(one, client):
    await until(lambda: generation(one) == line_generation(BEFORE), 60)
    await publish(client, 0, 600)
    await settled(one, client)


async def settled(one, client):
    """All that was sent is scored."""
    for role, source in zip(ROLES, SOURCES, strict=True):
        end = (await client.jetstream().stream_info(source.stream)).state.last_seq
        part = f"{role.value}-riverside-pump-s0"
        await until(lambda part=part, end=end: one.status()["parts"][part]["position"] >= end, 60)


async def scored(client, windows):
    """Why there is no score, of the last windows of all machines."""
    rows = [row for batch in await stored_batches(client, Stage.SCORES) for row in batch.to_pylist()]
    ends = sorted({row["window_end"] for row in rows})
    return len(ends), {row["reason"] for row in rows if row["window_end"] in ends[-windows:]}


async def stored_all(one, client):
    last = (await client.jetstream().stream_info(Stage.SCORES.stream)).state.last_seq
    await until(lambda: one.status()["parts"]["store"]["positions"].get(Stage.SCORES.stream, 0) >= last, 60)


async def test_it_scores_at_once_with_what_the_store_has_taught_it(server, tmp_path):
    client = await server.connect()
    await put_config(client, document(BEFORE, stores=True))
    async with running_worker(server, tmp_path, NAME) as (one, _):
        await live_for_a_while(one, client)
        await stored_all(one, client)
        count, reasons = await scored(client, 10)
        assert reasons == {""}
        await put_config(client, document(AFTER, stores=True))
        await until(lambda: generation(one) == line_generation(AFTER), 60)
        assert waiting_for(one) == []
        await publish(client, 600, 60)
        await settled(one, client)
    after, reasons = await scored(client, 5)
    assert after > count
    assert reasons == {""}
    await client.close()


@pytest.mark.parametrize("patience", [0.0, 900.0])
async def test_nobody_teaches(server, tmp_path, monkeypatch, caplog, patience):
    """Until the patience is over the line goes on under the config of before; then it learns while it runs."""
    monkeypatch.setattr(announcing, "PATIENCE_SECONDS", patience)
    client = await server.connect()
    await put_config(client, document(BEFORE, stores=False))
    async with running_worker(server, tmp_path, NAME) as (one, _):
        await live_for_a_while(one, client)
        await put_config(client, document(AFTER, stores=False))
        if patience:
            await until(lambda: waiting_for(one) == ["wear"], 60)
            await publish(client, 600, 60)
            await settled(one, client)
            assert generation(one) == line_generation(BEFORE)
            await put_config(client, document(BEFORE, stores=False))
            await until(lambda: waiting_for(one) == [], 60)
        else:
            await until(lambda: generation(one) == line_generation(AFTER), 60)
            assert "nobody has learned" in caplog.text
            await publish(client, 600, 60)
            await settled(one, client)
    assert (await scored(client, 5))[1] == ({""} if patience else {"learning"})
    await client.close()


async def test_two_changes_at_once_wait_for_one_lesson(server, tmp_path):
    """The second has to be learned against what was told last, here as where it is taught."""
    client = await server.connect()
    await put_config(client, document(BEFORE, stores=True))
    async with running_worker(server, tmp_path, NAME) as (one, _):
        await live_for_a_while(one, client)
        await stored_all(one, client)
        titled = AFTER.model_copy(update={"plant_title": "Riverside, renamed"})
        await put_config(client, document(AFTER, stores=True))
        await put_config(client, document(titled, stores=True))
        await until(lambda: generation(one) == line_generation(titled), 60)
        await publish(client, 600, 60)
        await settled(one, client)
    assert (await scored(client, 5))[1] == {""}
    await client.close()
