"""A crash at any point, a lost answer, a second instance: every row is in the tables once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.history.conftest import NOW, STORE, event, telemetry, tick
from tests.support.lines import SECOND
from tests.support.tables import Tables
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import historian as module
from wheeltapper_workers.history.historian import StoreError
from wheeltapper_workers.history.tables import TABLE_OF, Store


class Killed(BaseException):
    """The process ends here: nothing after it runs but the next start."""


def stored(tables, stage=Stage.TELEMETRY):
    dataset = tables.store.dataset("northwater", TABLE_OF[stage])
    return dataset.to_table() if dataset else pa.table({"block_sequence": pa.array([], pa.int64())})


def sequences(tables, stage=Stage.TELEMETRY):
    """Every row's block; a doubled block shows as too many rows of it."""
    counts = stored(tables, stage).group_by("block_sequence").aggregate([([], "count_all")])
    return dict(zip(counts["block_sequence"].to_pylist(), counts["count_all"].to_pylist(), strict=True))


def feed(historian, streams):
    """Read on from the tables' positions, as after every start."""
    positions = historian.positions()
    for messages in streams.values():
        for message in messages:
            if message.sequence > positions[message.stage.stream]:
                assert message.add_to(historian) is None


@pytest.fixture
def streams(flow):
    return {stage: messages[:6] for stage, messages in flow.items()}


@pytest.fixture
def whole(streams, tmp_path):
    """Rows by block without any crash."""
    tables = Tables(Store(str(tmp_path / "whole")))
    historian = tables.historian(STORE)
    feed(historian, streams)
    historian.commit()
    return {stage: sequences(tables, stage) for stage in Stage}


@pytest.mark.parametrize("tables_before", range(4))
@pytest.mark.parametrize("after_the_write", [False, True])
def test_kill_in_the_middle_of_a_commit(tables, streams, whole, monkeypatch, tables_before, after_the_write):
    calls, real = [], module.write_deltalake

    def write(*args, **kwargs):
        calls.append(args)
        dies = len(calls) == tables_before + 1
        if dies and not after_the_write:
            raise Killed
        real(*args, **kwargs)
        if dies:
            raise Killed

    monkeypatch.setattr(module, "write_deltalake", write)
    first = tables.historian(STORE)
    feed(first, streams)
    with pytest.raises(Killed):
        first.commit()
    monkeypatch.undo()
    again = tables.historian(STORE)
    assert sum(position > 0 for position in again.positions().values()) == tables_before + after_the_write
    feed(again, streams)
    again.commit()
    assert {stage: sequences(tables, stage) for stage in Stage} == whole


def test_lost_answer_of_a_commit_is_tried_again_in_the_same_process(tables, streams, whole, monkeypatch):
    real = module.write_deltalake

    def write(*args, **kwargs):
        real(*args, **kwargs)
        raise OSError("connection reset")

    historian = tables.historian(STORE)
    feed(historian, streams)
    monkeypatch.setattr(module, "write_deltalake", write)
    with pytest.raises(StoreError, match=r"raw .* rows wait.*connection reset"):
        historian.commit()
    waiting = historian.buffered_rows
    assert waiting > 0
    monkeypatch.undo()
    historian.commit()
    assert historian.buffered_rows == 0
    assert {stage: sequences(tables, stage) for stage in Stage} == whole


def test_blocks_that_cover_half_of_what_is_stored(tables):
    messages = telemetry(100)
    first, second = tables.historian(STORE), tables.historian(STORE)
    for message in messages[:6]:
        message.add_to(first)
    for message in messages:
        message.add_to(second)
    first.commit()
    assert second.commit() == {"TELEMETRY": 10}
    assert sequences(tables) == dict.fromkeys(range(1, 11), 60)


def test_paused_instance_writes_on_its_old_snapshot(tables, monkeypatch):
    """The other one commits between this one's snapshot and its write; the same version would be accepted twice."""
    messages, real = telemetry(40), module.write_deltalake
    first, second = tables.historian(STORE), tables.historian(STORE)
    for message in messages:
        message.add_to(first)
        message.add_to(second)

    def paused(*args, **kwargs):
        monkeypatch.setattr(module, "write_deltalake", real)
        second.commit()
        real(*args, **kwargs)

    monkeypatch.setattr(module, "write_deltalake", paused)
    assert first.commit() == {"TELEMETRY": 4}
    assert sequences(tables) == dict.fromkeys(range(1, 5), 60)


def test_message_delivered_twice(tables):
    historian = tables.historian(STORE)
    messages = telemetry(30)
    for message in (*messages, *messages):
        message.add_to(historian)
    historian.commit()
    messages[1].add_to(historian)
    assert historian.commit() == {}
    assert sequences(tables) == dict.fromkeys(range(1, 4), 60)


def test_ticks_move_the_position_only_with_rows(tables):
    historian = tables.historian(STORE)
    for message in (tick(Stage.TELEMETRY, 1), tick(Stage.TELEMETRY, 2)):
        assert message.add_to(historian) is None
    assert not historian.due(NOW)
    assert historian.commit() == {}, "an idle plant writes nothing"
    telemetry(10, first=3)[0].add_to(historian)
    tick(Stage.TELEMETRY, 4).add_to(historian)
    assert historian.commit() == {"TELEMETRY": 4}


def test_blocks_added_while_a_commit_runs(tables, monkeypatch):
    historian, messages, real = tables.historian(STORE), telemetry(60), module.write_deltalake
    started, go_on = threading.Event(), threading.Event()

    def slow(*args, **kwargs):
        started.set()
        assert go_on.wait(10)
        real(*args, **kwargs)

    monkeypatch.setattr(module, "write_deltalake", slow)
    for message in messages[:3]:
        message.add_to(historian)
    thread = threading.Thread(target=historian.commit)
    thread.start()
    assert started.wait(10)
    for message in messages[3:]:
        message.add_to(historian)
    assert historian.buffered_rows == 6 * 60, "what is being written is not stored yet"
    go_on.set()
    thread.join()
    assert historian.buffered_rows == 3 * 60
    historian.commit()
    assert sequences(tables) == dict.fromkeys(range(1, 7), 60)


CHILD = """
import json, sys
from tests.history.conftest import STORE, telemetry
from wheeltapper_workers.history.historian import Historian
historian = Historian(sys.argv[1], STORE, storage_options=json.loads(sys.argv[2]))
position = historian.positions()["TELEMETRY"]
for message in telemetry(2000):
    if message.sequence > position:
        message.add_to(historian)
        historian.commit()
        print(message.sequence, flush=True)
"""


def test_process_killed_while_it_writes(tables):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", CHILD, tables.root, json.dumps(tables.options)]
    acknowledged = 0
    for run in range(4):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            for line in child.stdout:
                acknowledged = int(line)
                if run < 3 and acknowledged >= (run + 1) * 8:
                    time.sleep(0.004 * run)  # kill at another point of the next commit in every run
                    child.send_signal(signal.SIGKILL)
                    break
                if acknowledged >= 40:
                    child.kill()
                    break
        found = sequences(tables)
        assert len(found) >= acknowledged, "what was said to be stored is stored"
        assert found == dict.fromkeys(range(1, len(found) + 1), 60)


def test_sequences_grow_past_a_compaction(tables, monkeypatch):
    monkeypatch.setattr(module, "COMPACT_FILES", 5)
    historian, messages = tables.historian(STORE), telemetry(100)
    for message in messages[:8]:
        message.add_to(historian)
        historian.commit()
    other = tables.historian(STORE)
    assert other.compact() == ["raw"]
    assert other.compact() == [], "one file a partition is as few as there can be"
    for message in messages[8:]:
        message.add_to(historian)
        historian.commit()
    assert historian.positions()["TELEMETRY"] == 10
    assert sequences(tables) == dict.fromkeys(range(1, 11), 60)
    assert len(tables.store.open("northwater", "raw").file_uris()) == 3


def test_commit_while_files_are_merged(tables, monkeypatch):
    monkeypatch.setattr(module, "COMPACT_FILES", 2)
    historian, messages = tables.historian(STORE), telemetry(300)
    done = threading.Event()

    def merge():
        while not done.is_set():
            historian.compact()

    thread = threading.Thread(target=merge)
    thread.start()
    try:
        for message in messages:
            message.add_to(historian)
            historian.commit()
    finally:
        done.set()
        thread.join()
    assert sequences(tables) == dict.fromkeys(range(1, 31), 60)


def test_due_by_rows_and_by_time(tables):
    historian = tables.historian(STORE.model_copy(update={"commit_rows": 100}))
    first, second = telemetry(20)
    assert not historian.due(NOW)
    first.add_to(historian)
    assert not historian.due(NOW)
    assert not historian.due(NOW + 9 * SECOND)
    assert historian.due(NOW + 10 * SECOND)
    second.add_to(historian)
    assert historian.due(NOW), "120 rows are enough"
    historian.commit()
    assert not historian.due(NOW + 99 * SECOND)


def test_memory_is_bounded_and_freed(tables):
    historian = tables.historian(STORE, max_bytes=60_000)
    messages = telemetry(100)
    added = 0
    while not historian.full:
        messages[added].add_to(historian)
        added += 1
    assert 1 < added < 10
    assert historian.due(0), "a full historian commits whatever the time"
    historian.commit()
    assert not historian.full


def test_columns_of_two_pipelines_meet_in_one_table(tables, flow):
    historian = tables.historian(STORE)
    flow[Stage.FEATURES][0].add_to(historian)
    historian.commit()
    batch = module.read_entry(
        Stage.FEATURES, 1, 1, "features.northwater.r.pump.s0.w", flow[Stage.FEATURES][1].payload, {}
    )
    names = ["mode", "vibration-kurtosis", "flow-level"]
    renamed = batch.batch.replace_schema_metadata(
        {"features": str(names).replace("'", '"'), "pipeline_digest": "other"}
    )
    assert historian.add(Stage.FEATURES, 2, 2, "features.northwater.r.pump.s0.w", renamed) is None
    historian.commit()
    table = stored(tables, Stage.FEATURES)
    old, new = (table.filter(pc.equal(table["block_sequence"], sequence)) for sequence in (1, 2))
    assert old["flow_level"].null_count == old.num_rows, "a feature the pipeline does not have is null, not NaN"
    assert new["mode_"].to_pylist() == [row[0] for row in batch.batch["values"].to_pylist()]
    assert set(new["mode"].to_pylist()) <= {"off", "start-up", "running"}
    assert new["features"][0].as_py() == names


def test_event_of_another_table_does_not_hold_up_the_rest(tables, monkeypatch):
    """One table that cannot be written leaves the others current."""
    historian, real = tables.historian(STORE), module.write_deltalake

    def write(table, *args, **kwargs):
        if table.table_uri.rstrip("/").endswith("raw"):
            raise OSError("no space left")
        real(table, *args, **kwargs)

    monkeypatch.setattr(module, "write_deltalake", write)
    telemetry(10)[0].add_to(historian)
    event(1, "aaa").add_to(historian)
    with pytest.raises(StoreError, match="no space left"):
        historian.commit()
    assert historian.positions() == {"TELEMETRY": 0, "FEATURES": 0, "SCORES": 0, "EVENTS": 1, "GAPS": 0}
