"""A line goes on in another worker, which has none of its files; its output is as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import numpy as np
import pytest

from tests.support.drive import drive, rows
from tests.support.lines import LINE, MODEL, SECOND, healthy, line_config
from tests.support.roles import running_role
from tests.support.streams import stored_rows
from tests.support.waiting import until
from wheeltapper_api.backbone import CHECKPOINTS
from wheeltapper_api.config import Role
from wheeltapper_api.wire import Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime import copies
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.configs import line_generation
from wheeltapper_workers.runtime.line import LineRole
from wheeltapper_workers.scoring.scorer import ScoreStep

BLOCKS = 40
SEQUENCES = ("features_sequence", "telemetry_first", "telemetry_last")
"""Differ where a config is told once more."""
CONFIG = line_config(model=MODEL.model_copy(update={"baseline_at_least_ns": 300 * SECOND}))
"""A baseline is learned from what comes before the move, and used behind it."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch, caplog):
    monkeypatch.setattr(copies, "_PART_BYTES", 1024)
    caplog.set_level("INFO")


def telemetry():
    samples = healthy(800)
    return [samples.take(part).batch() for part in np.array_split(np.arange(len(samples)), BLOCKS)]


def undisturbed(batches, without=()):
    featurizer, scorer = FeaturizeStep(CONFIG), ScoreStep(CONFIG)
    features = drive(featurizer, featurizer.initial(CONFIG), batches, first=2)[1]
    scores = drive(scorer, scorer.initial(CONFIG), features, Stage.FEATURES, first=2)[1]
    return rows(features, without), rows(scores, without)


@dataclass
class Running:
    """The two roles of a worker."""

    roles: list[LineRole]
    tasks: list[asyncio.Task]

    async def reach(self, telemetry_sequence):
        featurizer, scorer = self.roles
        await until(lambda: featurizer.progress.position >= telemetry_sequence)
        await until(lambda: scorer.progress.position >= featurizer._writer.last_sequence)

    async def copy(self):
        for role in self.roles:
            role.checkpoint(force=True)
            await role._copies._copy()

    async def kill(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


@contextlib.asynccontextmanager
async def worker(server, folder, config=CONFIG):
    async with contextlib.AsyncExitStack() as stack:
        entered = [
            await stack.enter_async_context(running_role(server, folder, role, config))
            for role in (Role.FEATURIZE, Role.SCORE)
        ]
        yield Running([one for one, _ in entered], [task for _, task in entered])


async def publish(client, batches):
    for batch in batches:
        await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "scada"), to_bytes(batch))


async def trim(client):
    """What was read gives way, so that nobody can begin anew."""
    for stage in (Stage.TELEMETRY, Stage.FEATURES):
        end = (await client.jetstream().stream_info(stage.stream)).state.last_seq
        await client.jetstream().purge_stream(stage.stream, seq=end - 3)


async def test_stopped_here_and_started_there(server, tmp_path):
    batches, client = telemetry(), await server.connect()
    async with worker(server, tmp_path / "a") as one:
        await publish(client, batches[:25])
        await one.reach(26)
        await one.kill()
        for role in one.roles:
            await role.stop()
    await trim(client)
    async with worker(server, tmp_path / "b") as other:
        assert all(role.progress.position for role in other.roles)
        await publish(client, batches[25:])
        await other.reach(41)
    features, scores = undisturbed(batches, SEQUENCES)
    kept = await stored_rows(client, Stage.FEATURES, SEQUENCES)
    assert features[-len(kept) :] == kept
    assert await stored_rows(client, Stage.SCORES, SEQUENCES) == scores
    assert any(row["reason"] == repr("") for row in scores)
    await client.close()


async def test_killed_with_its_disk_long_after_the_last_copy(server, tmp_path, caplog):
    batches, client = telemetry(), await server.connect()
    async with worker(server, tmp_path / "a") as one:
        await publish(client, batches[:10])
        await one.reach(11)
        await one.copy()
        await publish(client, batches[10:25])
        await one.reach(26)
    async with worker(server, tmp_path / "b") as other:
        assert "featurize-riverside-pump-s0: goes on from the copy of its state at message 11" in caplog.text
        await publish(client, batches[25:])
        await other.reach(41)
    assert (await stored_rows(client, Stage.FEATURES), await stored_rows(client, Stage.SCORES)) == undisturbed(batches)
    await client.close()


async def test_torn_copy_is_passed_over_for_the_one_before(server, tmp_path, caplog):
    batches, client = telemetry(), await server.connect()
    async with worker(server, tmp_path / "a") as one:
        for end in (5, 10):
            await publish(client, batches[end - 5 : end])
            await one.reach(end + 1)
            await one.copy()
    torn = [subject for subject in await subjects(client) if ".featurize.b." in subject]
    assert len(torn) > 1
    await client.jetstream().purge_stream(CHECKPOINTS, subject=torn[-1])
    async with worker(server, tmp_path / "b") as other:
        assert "featurize-riverside-pump-s0: goes on from the copy of its state at message 6" in caplog.text
        await publish(client, batches[10:])
        await other.reach(41)
    assert (await stored_rows(client, Stage.FEATURES), await stored_rows(client, Stage.SCORES)) == undisturbed(batches)
    await client.close()


async def test_moves_and_changes_at_once(server, tmp_path):
    """The worker that goes on never saw the config under which the state was made: the copy brings it along."""
    batches, client = telemetry(), await server.connect()
    async with worker(server, tmp_path / "a") as one:
        await publish(client, batches[:30])
        await one.reach(31)
        await one.copy()
    changed = CONFIG.model_copy(update={"plant_title": "Riverside, renamed"})
    async with worker(server, tmp_path / "b", changed) as other:
        await publish(client, batches[30:])
        await until(lambda: other.roles[1].generation == line_generation(changed))
        await other.reach(42)
    found = await stored_rows(client, Stage.FEATURES, SEQUENCES), await stored_rows(client, Stage.SCORES, SEQUENCES)
    assert found == undisturbed(batches, SEQUENCES)
    await client.close()


async def test_copies_take_no_more_room_with_time(server, tmp_path):
    batches, client = telemetry(), await server.connect()
    sizes = []
    async with worker(server, tmp_path) as one:
        for number, batch in enumerate(batches[:12], 1):
            await publish(client, [batch])
            await one.reach(number + 1)
            await one.copy()
            sizes.append((await client.jetstream().stream_info(CHECKPOINTS)).state.bytes)
    assert sizes[-1] < 1.5 * sizes[5]
    await client.close()


async def subjects(client):
    info = await client.jetstream().stream_info(CHECKPOINTS, subjects_filter=">")
    return sorted(info.state.subjects, key=lambda subject: (len(subject), subject))
