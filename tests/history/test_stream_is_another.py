"""A stream that was made anew, cut short or trimmed: told and kept in mind, never skipped or taken for the old one."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from nats.js.api import StreamConfig

from tests.history.conftest import STORE, telemetry
from tests.support.lines import LINE, SECOND, START, line_config
from tests.support.waiting import until
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import recorder as module
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.recorder import Recorder
from wheeltapper_workers.history.streams import ReadUpTo, StreamState, lost_end, made_anew
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.lost_end import count_on

SUBJECT = LINE.subject(Stage.TELEMETRY, "w")
CONFIG = STORE.model_copy(update={"commit_every_ns": 10**8, "lines": [line_config()]})


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.2)


@pytest.fixture
def backbone(server):
    return server


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


async def test_numbers_of_lost_messages_given_to_others_before_anyone_noticed(backbone, tmp_path):
    """An older state of the stream comes back, as after a power failure, and grows past what was read."""
    root = tmp_path / "tables"
    await publish(backbone, 3)
    async with recording(backbone, root) as recorder:
        await stored_up_to(recorder, 3)
    await backbone.keep()
    async with recording(backbone, root) as recorder:
        await publish(backbone, 3, first=3)
        await stored_up_to(recorder, 6)
    await backbone.lose()
    await publish(backbone, 6, first=40)
    async with recording(backbone, root) as recorder:
        await stored_up_to(recorder, 9)
        assert recorder.summary()["problem"] == ""
        assert "lost the end of TELEMETRY, messages 4 to 6" in recorder.summary()["missed"]["newest"]
        await until(lambda: recorder._historian.positions()["GAPS"] > 0, what="the gaps in the table")
    found = query(str(root), "SELECT block_sequence AS s, epoch(min(source_time)) AS t FROM raw GROUP BY 1 ORDER BY 1")
    times = {row["s"]: (row["t"] - START // SECOND) // 10 for row in found.to_pylist()}
    assert times == {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 43, 8: 44, 9: 45}, "each number has its first message"
    assert lost_in(root) == {("The NATS server lost messages of TELEMETRY", 59, 430)}


async def test_end_that_is_lost_had_been_stored(backbone, tmp_path):
    """The tables have it, so nothing is missing; what comes next gets fresh numbers."""
    root = tmp_path / "tables"
    await publish(backbone, 3)
    await backbone.keep()
    await publish(backbone, 3, first=3)
    async with recording(backbone, root) as recorder:
        await stored_up_to(recorder, 6)
    await backbone.lose()
    async with recording(backbone, root) as recorder:
        await until(lambda: recorder.summary()["missed"]["messages"] == 3)
        await publish(backbone, 2, first=6)
        await stored_up_to(recorder, 8)
        assert recorder.summary()["problem"] == ""
    assert rows(root) == {"n": 480, "u": 480}
    async with recording(backbone, root) as recorder:
        await publish(backbone, 1, first=8)
        await stored_up_to(recorder, 9)
        assert recorder.summary()["missed"]["messages"] == 0, "told once"
        assert recorder._historian.positions()["GAPS"] == 0


async def test_end_is_lost_before_it_was_stored(backbone, tmp_path):
    """A worker that had written it has the stream count on; the historian finds the hole, and the ledger has it."""
    root = tmp_path / "tables"
    await publish(backbone, 3)
    await backbone.keep()
    await publish(backbone, 1, first=3)
    async with recording(backbone, root) as recorder:
        await stored_up_to(recorder, 4)
        await backbone.lose()  # while it runs
        client = await backbone.connect()
        await count_on(client, "TELEMETRY", 6)
        await client.close()
        await publish(backbone, 2, first=6)
        await stored_up_to(recorder, 8)
        assert recorder.summary()["problem"] == ""
        assert recorder.summary()["lostMessages"] == 2
        await until(lambda: recorder._historian.positions()["GAPS"] > 0, what="the gaps in the table")
    assert rows(root) == {"n": 360, "u": 360}
    assert lost_in(root) == {("The NATS server lost messages of TELEMETRY", 39, 60)}
    (gap,) = (root / "northwater" / "unread").iterdir()
    assert "The server has lost TELEMETRY 5 to 6" in json.loads(gap.read_text())["because"]


def lost_in(root):
    sql = "SELECT DISTINCT split_part(cause, ' that', 1) AS c, epoch(since) AS a, epoch(until) AS b FROM gaps"
    begin = START // SECOND
    return {(row["c"], row["a"] - begin, row["b"] - begin) for row in query(str(root), sql).to_pylist()}


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
        (StreamState(2, 9, 8), ReadUpTo(5, 7, 1), False),
        (StreamState(2, 4, None), ReadUpTo(5, 7, 1), False),
        (StreamState(None, 4, None), ReadUpTo(5, 7, None), False),
        (StreamState(2, 4, None), ReadUpTo(0, None, None), True),
    ],
)
def test_the_same_stream_is_known_by_what_was_read_last(state, read, same):
    assert (made_anew(Stage.TELEMETRY, state, read) == "") is same


@pytest.mark.parametrize(
    ("state", "lost"),
    [
        (StreamState(1, 9, 7), False),
        (StreamState(1, 9, None), False),  # trimmed, or a hole that somebody has made of it
        (StreamState(1, 9, 8), True),  # another message has the number
        (StreamState(1, 4, None), True),
        (StreamState(2, 4, None), False),  # made anew, which is worse
    ],
)
def test_lost_end_is_known_by_what_was_read_last(state, lost):
    assert lost_end(state, ReadUpTo(5, 7, 1)) is lost
    assert not (lost and made_anew(Stage.TELEMETRY, state, ReadUpTo(5, 7, 1)))


def test_tables_of_before_know_no_times(tmp_path):
    """Their position alone is kept; the next commit adds the rest."""
    store = Store(str(tmp_path))
    assert store.open("northwater", "raw") is None
    assert not (tmp_path / "northwater").exists(), "looking makes no folder"
