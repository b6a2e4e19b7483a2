"""A config document that cannot be read is told with its field; the one before it stays, and a good one mends it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.support.lines import LINE, healthy, line_config
from tests.support.roles import running_worker
from tests.support.streams import stored_batches
from tests.support.waiting import until
from wheeltapper_api.config import Role, StoreConfig, WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET, HEADER_GENERATION, HEADER_TICK, Stage
from wheeltapper_workers.runtime import worker
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.configs import REMEMBERED, Configs, line_generation

NAME = "northwater-riverside-analyse"


def document(**fields):
    config = WorkerConfig(
        worker=NAME, tenant="northwater", roles=[Role.FEATURIZE, Role.SCORE, Role.ALERT], lines=[line_config()]
    )
    return config.model_copy(update=fields).model_dump_json().encode()


async def test_line_that_moves_to_the_worker_that_stored_it_keeps_its_past(server, tmp_path):
    """What is in the stream from before ran under a config that this worker had only for storing."""
    store = StoreConfig(tenant="northwater", lines=[line_config()], commit_every_ns=1, commit_rows=1)
    client = await server.connect()
    await put(client, document(lines=[], store=store))
    await put(client, document(lines=[line_config(["p-1"])]))
    told = {HEADER_TICK: "1", HEADER_GENERATION: line_generation(line_config())}
    await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "tick"), b"", headers=told)
    await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "scada"), to_bytes(healthy(100).batch()))
    async with running_worker(server, tmp_path, NAME) as (one, _):
        await until(lambda: position(one) >= 2)
    made = (await stored_batches(client, Stage.FEATURES))[-1]
    assert set(made["asset"].to_pylist()) == {"p-1", "p-2", "p-3"}
    await client.close()


async def put(client, data):
    await client.jetstream().publish(f"$KV.{CONFIG_BUCKET}.{NAME}", data)


def position(one):
    parts = one.status()["parts"]
    return max((part["position"] for key, part in parts.items() if key.startswith("featurize")), default=-1)


GARBAGE = [
    (b"\x00\xffnot json", "JSON"),
    (b"{}", "worker"),
    (document().replace(b'"everyNs"', b'"every"'), "everyNs"),
    (document()[: len(document()) // 2], "JSON"),
    (b"[" * 100_000, "recursion"),
    (b"9" * 2_000_000, ""),
    (document().replace(b'"mean"', b'"median"'), "lines.0.pipeline.features.0.function"),
    (b'{"worker": NaN}', ""),
]


async def test_the_one_before_stays_in_force_through_all_of_it(server, tmp_path):
    batches = [healthy(100).take(part).batch() for part in np.array_split(np.arange(600), 1 + len(GARBAGE))]
    client = await server.connect()
    await put(client, document())
    async with running_worker(server, tmp_path, NAME) as (one, task):
        await until(lambda: one.status()["generation"])
        generation = one.status()["generation"]
        for number, (garbage, named) in enumerate(GARBAGE, 1):
            await put(client, garbage)
            await until(lambda number=number: f"revision {number + 1})" in one.status()["problem"])
            assert named in one.status()["problem"]
            await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "scada"), to_bytes(batches[number - 1]))
            await until(lambda number=number: position(one) >= number)
            assert one.status()["generation"] == generation
            assert not task.done()
        await put(client, document(lines=[line_config(["p-1"])]))
        await until(lambda: one.status()["generation"] != generation)
        assert one.status()["problem"] == ""
    await client.close()


@pytest.mark.parametrize("garbage", [b"junk", b""])
async def test_a_worker_whose_only_document_is_damaged_waits_for_a_good_one(server, tmp_path, garbage):
    client = await server.connect()
    await put(client, garbage)
    async with running_worker(server, tmp_path, NAME) as (one, task):
        await asyncio.wait([task], timeout=1.5)
        assert not task.done()
        await put(client, document())
        await until(lambda: one.status()["generation"])
    await client.close()


def test_configs_of_long_ago_are_forgotten_and_the_one_in_force_is_not():
    configs = Configs(line_config())
    for number in range(10 * REMEMBERED):
        configs.want(line_config([f"p-{number}"]))
        configs.want(line_config())
    assert len(configs._known) == REMEMBERED
    assert configs.get(line_generation(line_config())) == line_config()
    assert configs.get(line_generation(line_config(["p-0"]))) is None


async def test_a_document_in_force_is_reported_at_once(server, tmp_path, monkeypatch):
    """Nobody waits for the next report to learn that an edit is in force."""
    monkeypatch.setattr(worker, "STATUS_SECONDS", 3600.0)
    client = await server.connect()
    await put(client, document())
    async with running_worker(server, tmp_path, NAME) as (one, _):
        await until(lambda: one.newest.get("generation"))
        before = one.newest["generation"]
        await put(client, document(lines=[line_config(["p-1"])]))
        await until(lambda: one.newest["generation"] != before)
    await client.close()
