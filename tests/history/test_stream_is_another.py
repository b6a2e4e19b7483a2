"""A stream that was made anew, cut short or trimmed: told and kept in mind, never skipped or taken for the old one."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pyarrow.fs as pafs
import pytest
from nats.js.api import StreamConfig

from tests.history.conftest import STORE, telemetry
from tests.support.lines import LINE
from tests.support.nats import Server
from tests.support.waiting import until
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import recorder as module
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.recorder import Recorder
from wheeltapper_workers.history.streams import ReadUpTo, StreamState, made_anew
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime import jetstream

SUBJECT = LINE.subject(Stage.TELEMETRY, "w")
CONFIG = STORE.model_copy(update={"commit_every_ns": 10**8})


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.2)


@pytest.fixture
async def backbone(tmp_path):
    server = Server(tmp_path)
    try:
        server.start()
        await server.ready()
        await server.streams()
        yield server
    finally:
        server.kill()


@asynccontextmanager
async def recording(backbone, root):
    client = await jetstream.connect(backbone.url, backbone.credentials, "test")
    recorder = Recorder(client, str(root), CONFIG, root.parent)
    await recorder.start()
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


@asynccontextmanager
async def managing(backbone):
    client = await backbone.connect()
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def publish(backbone, count, first=0):
    async with managing(backbone) as stream:
        for message in telemetry((first + count) * 10)[first:]:
            await stream.publish(SUBJECT, message.payload)


async def make_anew(backbone):
    async with managing(backbone) as stream:
        await stream.delete_stream("TELEMETRY")
        await stream.add_stream(StreamConfig(name="TELEMETRY", subjects=["telemetry.>"]))


async def stored_up_to(recorder, sequence):
    await until(lambda: recorder._historian.positions()["TELEMETRY"] == sequence, what=f"message {sequence} stored")


def rows(root):
    found = query(str(root), "SELECT count(*) AS n, count(DISTINCT (asset, signal, source_time)) AS u FROM raw")
    return found.to_pylist()[0]


@pytest.mark.parametrize("grown", [2, 9], ids=["shorter", "longer than the old one"])
async def test_made_anew_while_the_historian_is_away(backbone, tmp_path, grown):
    root = tmp_path / "tables"
    await publish(backbone, 5)
    async with recording(backbone, root) as recorder:
        await stored_up_to(recorder, 5)
    await make_anew(backbone)
    await publish(backbone, grown, first=20)
    async with recording(backbone, root) as recorder:
        await until(lambda: "not the one it was" in recorder.summary()["problem"])
        problem = recorder.summary()["problem"]
        assert f"ends at {grown}" in problem
        assert "up to 5" in problem
        assert "backup" in problem
        assert recorder.summary()["waitingRows"] == 0
    assert rows(root) == {"n": 300, "u": 300}, "nothing of the new stream is taken for the old one's"


async def test_made_anew_while_the_historian_reads(backbone, tmp_path, monkeypatch):
    """What was read before waits no longer than ever; what comes after stays in the new stream."""
    root = tmp_path / "tables"
    async with recording(backbone, root) as recorder:
        await publish(backbone, 5)
        await stored_up_to(recorder, 5)
        await make_anew(backbone)
        await publish(backbone, 8, first=20)
        await until(lambda: "not the one it was" in recorder.summary()["problem"], seconds=30)
        await until(lambda: recorder.summary()["waitingRows"] == 0)
    assert rows(root) == {"n": 300, "u": 300}


async def test_server_that_lost_its_last_messages(backbone, tmp_path):
    """An older state of the same stream comes back, as after a power failure, and grows past what was read."""
    root = tmp_path / "tables"
    await publish(backbone, 3)
    async with recording(backbone, root) as recorder:
        await stored_up_to(recorder, 3)
    backbone.kill()
    store = backbone.credentials.parent / "store"
    kept = backbone.credentials.parent / "kept"
    copy(store, kept)
    backbone.start()
    await backbone.ready()
    async with recording(backbone, root) as recorder:
        await publish(backbone, 3, first=3)
        await stored_up_to(recorder, 6)
    backbone.kill()
    copy(kept, store)
    backbone.start()
    await backbone.ready()
    await publish(backbone, 6, first=40)
    async with recording(backbone, root) as recorder:
        await until(lambda: "ends at 9, and the tables have other messages up to 6" in recorder.summary()["problem"])
    assert rows(root) == {"n": 360, "u": 360}


def copy(source, target):
    pafs.LocalFileSystem().create_dir(str(target))
    pafs.LocalFileSystem().delete_dir_contents(str(target))
    pafs.copy_files(str(source), str(target))


async def test_messages_trimmed_before_they_were_stored(backbone, tmp_path):
    root = tmp_path / "tables"
    await publish(backbone, 3)
    async with recording(backbone, root) as recorder:
        await stored_up_to(recorder, 3)
    await publish(backbone, 6, first=3)
    async with managing(backbone) as stream:
        await stream.purge_stream("TELEMETRY", seq=8)
    for _ in range(2):  # and it is not forgotten over a restart
        async with recording(backbone, root) as recorder:
            await stored_up_to(recorder, 9)
            await until(lambda: recorder.summary()["lostMessages"] == 4, what="four lost messages")
    (gap,) = (root / "northwater" / "unread").iterdir()
    assert gap.name == "TELEMETRY-4-7.json"
    assert "4 messages" in json.loads(gap.read_text())["because"]
    assert rows(root) == {"n": 300, "u": 300}


async def test_stream_that_is_not_there_yet(backbone, tmp_path):
    async with managing(backbone) as stream:
        await stream.delete_stream("SCORES")
    async with recording(backbone, tmp_path / "tables") as recorder:
        await publish(backbone, 2)
        await stored_up_to(recorder, 2)
        assert "no stream SCORES" in recorder.summary()["problem"]
        async with managing(backbone) as stream:
            await stream.add_stream(StreamConfig(name="SCORES", subjects=["scores.>"]))
        await until(lambda: recorder.summary()["problem"] == "")


@pytest.mark.parametrize(
    ("state", "read", "same"),
    [
        (StreamState(1, 9, 7), ReadUpTo(5, 7, 1), True),
        (StreamState(1, 9, None), ReadUpTo(5, 7, 1), True),  # too old to be still there
        (StreamState(1, 9, 7), ReadUpTo(5, None, None), True),  # tables that did not keep the times yet
        (StreamState(2, 9, None), ReadUpTo(5, 7, 1), False),
        (StreamState(1, 9, 8), ReadUpTo(5, 7, 1), False),
        (StreamState(1, 4, None), ReadUpTo(5, 7, 1), False),
        (StreamState(2, 4, None), ReadUpTo(0, None, None), True),
    ],
)
def test_the_same_stream_is_known_by_what_was_read_last(state, read, same):
    assert (made_anew(Stage.TELEMETRY, state, read) == "") is same


def test_tables_of_before_know_no_times(tmp_path):
    """Their position alone is kept; the next commit adds the rest."""
    store = Store(str(tmp_path))
    assert store.open("northwater", "raw") is None
    assert not (tmp_path / "northwater").exists(), "looking makes no folder"
