"""Merging and sweeping keep files few; they change no row, and take no file from a writer, however long it sleeps."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from tests.features.test_burst_is_measured_wrong import waves
from tests.history.conftest import STORE, Stored, telemetry
from tests.support.lines import LINE
from tests.support.tables import Tables
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import historian as module
from wheeltapper_workers.history import merging
from wheeltapper_workers.history.historian import StoreError
from wheeltapper_workers.history.merging import MERGED_BYTES, File, files_of, plan, spared
from wheeltapper_workers.history.sweeping import sweep
from wheeltapper_workers.history.tables import TABLE_OF, Store
from wheeltapper_workers.runtime.blocks import to_bytes

TENANT = LINE.tenant
TODAY, YESTERDAY = dt.date(2026, 11, 21), dt.date(2026, 11, 20)


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    monkeypatch.setattr(module, "COMPACT_FILES", 1)


def rows_of(tables, table="raw"):
    """All rows in an order that does not depend on files; numbers as text, since NaN is not equal to itself."""
    rows = tables.store.dataset(TENANT, table).to_table()
    keys = ["block_sequence", *(name for name in ("block_row", "asset", "failure_model") if name in rows.column_names)]
    return [repr(row) for row in rows.sort_by([(key, "ascending") for key in keys]).to_pylist()]


def names(tables, table="raw"):
    return [uri.rpartition("/")[2] for uri in tables.store.open(TENANT, table).file_uris()]


def present(tables, table="raw"):
    """Data files that are there, whether or not the table has them."""
    found = tables.store.files(TENANT, table).get_file_info(pafs.FileSelector("", recursive=True))
    return {info.base_name for info in found if info.is_file and "_delta_log" not in info.path}


def keep(tables, messages):
    """Every message in a commit of its own."""
    historian = tables.historian(STORE)
    for message in messages:
        assert message.add_to(historian) is None
        historian.commit()
    return historian


def test_merging_changes_no_row(tables, flow):
    for messages in flow.values():
        keep(tables, messages[:6])
    filled = [TABLE_OF[stage] for stage, messages in flow.items() if messages]
    before = {table: rows_of(tables, table) for table in filled}
    historian = tables.historian(STORE)
    assert set(historian.compact()) >= {"raw", "features", "scores"}
    assert {table: rows_of(tables, table) for table in filled} == before
    assert len(names(tables)) == 1
    assert historian.positions()["TELEMETRY"] == 6, "the position is as it was"


def test_merged_file_has_each_series_in_one_piece(tables):
    keep(tables, telemetry(100)).compact()
    (path,) = [file.path for file in files_of(tables.store.open(TENANT, "raw"))]
    with tables.store.files(TENANT, "raw").open_input_file(path) as file:
        rows = pq.read_table(file)
    series = [f"{row['asset']}/{row['signal']}/{row['source_time'].isoformat()}" for row in rows.to_pylist()]
    assert series == sorted(series)


def test_merged_rows_are_found_by_what_the_log_says_of_them(tables):
    """Wrong bounds in the log would hide rows from every reader that leaves files out."""
    historian = keep(tables, telemetry(100))
    whole = tables.store.dataset(TENANT, "raw").to_table()
    historian.compact()
    for name in ("asset", "signal", "source_time", "block_sequence", "published_time", "trace"):
        for value in set(whole[name].to_pylist()):
            where = pc.field(name) == pa.scalar(value, whole[name].type)
            dataset = tables.store.dataset(TENANT, "raw")
            assert dataset.to_table(filter=where).num_rows == whole.filter(where).num_rows, (name, value)


def test_features_that_come_and_go(tables, flow):
    """A column that some of the files lack is null in their rows."""
    historian = keep(tables, flow[Stage.FEATURES][:3])
    batch = module.read_entry(
        Stage.FEATURES, 1, 1, "features.northwater.r.pump.s0.w", flow[Stage.FEATURES][3].payload, {}
    ).batch
    renamed = batch.replace_schema_metadata({"features": '["a-one", "a-two", "a-three"]', "pipeline_digest": "x"})
    subject = LINE.subject(Stage.FEATURES, "w")
    for sequence in (4, 5):
        assert historian.add(Stage.FEATURES, sequence, 1, subject, renamed) is None
        historian.commit()
    before = rows_of(tables, "features")
    assert historian.compact() == ["features"]
    assert rows_of(tables, "features") == before
    assert "a_two" in tables.store.dataset(TENANT, "features").schema.names


def test_bursts_beside_samples(tables):
    bursts = Stored(Stage.TELEMETRY, 50, 5, to_bytes(waves((1, 20.0, 2.0), (2, 30.0, 1.0))))
    historian = keep(tables, [*telemetry(30), bursts])
    before = rows_of(tables)
    assert historian.compact() == ["raw"]
    assert rows_of(tables) == before


def test_merging_that_loses_the_race_changes_nothing(tables, monkeypatch):
    """Two processes merge the same files: the later one is refused, and no row is there twice."""
    first = keep(tables, telemetry(60))
    second, real = tables.historian(STORE), merging._write

    def slow(*arguments):
        monkeypatch.setattr(merging, "_write", real)
        assert second.compact() == ["raw"]
        return real(*arguments)

    before = rows_of(tables)
    monkeypatch.setattr(merging, "_write", slow)
    assert first.compact() == []
    assert rows_of(tables) == before


def file(size, place=("riverside", "pump", TODAY), rows=10):
    return File(f"{place}/{size}/{random.random()}", place, size, rows)


def test_files_stay_few_and_rows_are_not_rewritten_for_ever():
    chance = random.Random(4)
    files, written, rewritten = [], 0, 0
    for _ in range(3000):
        size = chance.randrange(20_000, 400_000)
        files.append(file(size))
        written += size
        merges = plan(files, 10**6)
        if spared(merges) > 30:
            for merge in merges:
                merged = sum(one.size for one in merge)
                rewritten += merged
                files = [one for one in files if one not in merge] + [file(merged, rows=sum(one.rows for one in merge))]
    assert len(files) < written / MERGED_BYTES * 2 + 40
    assert rewritten < 5 * written


def test_a_day_that_is_over_is_merged_as_a_whole():
    """Beside a large file the small ones of today wait for more; those of yesterday would wait for ever."""
    past = [file(size, ("riverside", "pump", YESTERDAY)) for size in (2**24, 10, 11, 12)]
    (merged,) = plan([*past, file(2**24), file(10)], 10**6)
    assert sorted(one.size for one in merged) == [10, 11, 12, 2**24]


def test_files_of_other_places_and_large_ones_are_left_alone():
    other = [file(10, ("riverside", "fan", TODAY)), file(10, ("lakeside", "pump", TODAY))]
    assert plan([file(10), *other, file(MERGED_BYTES), file(10, rows=100)], 100) == []


def test_no_merge_is_larger_than_the_memory_allows():
    merges = plan([file(1000, rows=40) for _ in range(100)], 100)
    assert all(sum(one.rows for one in merge) <= 100 for merge in merges)
    assert sum(len(merge) for merge in merges) == 100


def test_sweep_removes_what_nobody_needs_and_nothing_else(tables):
    historian = keep(tables, telemetry(60))
    historian.compact()
    before = rows_of(tables)
    assert len(present(tables)) == 7
    assert historian.sweep() == 0, "a reader may still have the snapshot of a moment ago"
    assert sweep(tables.store, TENANT, "raw", module._writers("raw"), kept_hours=0) == 6
    assert present(tables) == set(names(tables))
    assert rows_of(tables) == before


def test_file_that_a_killed_writer_left_half_written(tmp_path):
    tables = Tables(Store(str(tmp_path)))
    keep(tables, telemetry(10))
    folder = next(tmp_path.glob("northwater/raw/plant=*/class=*/day=*"))
    half, old = folder / "part-0.parquet#1", time.time() - 25 * 3600
    half.write_bytes(b"half")
    tables.historian(STORE).sweep()
    assert half.exists(), "its writer may still be at work"
    os.utime(half, (old, old))
    assert tables.historian(STORE).sweep() == 1
    assert not half.exists()


def test_sweep_while_a_merge_is_about_to_commit(tables, monkeypatch):
    """What it wrote is not part of the table yet, so the sweep takes it: then the merge may not come through."""
    historian, real = keep(tables, telemetry(60)), DeltaTable.create_write_transaction
    before = rows_of(tables)

    def paused(table, actions, *arguments, **options):
        if actions:
            monkeypatch.setattr(DeltaTable, "create_write_transaction", real)
            assert sweep(tables.store, TENANT, "raw", module._writers("raw"), kept_hours=0) == 1
        return real(table, actions, *arguments, **options)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", paused)
    assert historian.compact() == []
    assert rows_of(tables) == before
    assert historian.compact() == ["raw"]
    assert rows_of(tables) == before


def test_sweep_that_meets_a_commit_leaves_it_to_the_next(tables, monkeypatch):
    historian, real = keep(tables, telemetry(30)), DeltaTable.create_write_transaction
    late = telemetry(40)[3]

    def crossed(table, *arguments, **options):
        monkeypatch.setattr(DeltaTable, "create_write_transaction", real)
        late.add_to(historian)
        historian.commit()
        return real(table, *arguments, **options)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", crossed)
    with pytest.raises(CommitFailedError):
        sweep(tables.store, TENANT, "raw", module._writers("raw"), kept_hours=0)
    assert historian.positions()["TELEMETRY"] == 4, "and the position did not go back"


CHILD = """
import json, sys
from tests.history.conftest import STORE, telemetry
from wheeltapper_workers.history import historian as module
from wheeltapper_workers.history.historian import Historian, StoreError
module.COMPACT_FILES = 3
historian = Historian(sys.argv[1], STORE, storage_options=json.loads(sys.argv[2]))
position = historian.positions()["TELEMETRY"]
for message in telemetry(1500)[position:]:
    message.add_to(historian)
    try:
        historian.commit()
        historian.compact()
    except StoreError as error:
        print("refused", error, file=sys.stderr, flush=True)
    print(message.sequence, flush=True)
"""


def test_writer_stopped_anywhere_while_another_writes_and_sweeps(tables):
    """Stopped at any point of a commit or merge and woken later, it changes nothing that the other one has done."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", CHILD, tables.root, json.dumps(tables.options)]
    other, messages, chance = tables.historian(STORE), telemetry(1500), random.Random(7)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            done = int(child.stdout.readline())
            for _ in range(12):
                time.sleep(chance.random() * 0.12)  # at another point every time
                child.send_signal(signal.SIGSTOP)
                for message in messages[: done + 4]:
                    message.add_to(other)
                with contextlib.suppress(StoreError):
                    other.commit()
                with contextlib.suppress(CommitFailedError):
                    sweep(tables.store, TENANT, "raw", module._writers("raw"), kept_hours=0)
                child.send_signal(signal.SIGCONT)
                done = max(done, int(child.stdout.readline()))
        finally:
            child.kill()
    rows = tables.store.dataset(TENANT, "raw").to_table(columns=["block_sequence"])
    counts = rows.group_by("block_sequence").aggregate([([], "count_all")]).to_pydict()
    found = dict(zip(counts["block_sequence"], counts["count_all"], strict=True))
    assert len(found) >= done, "what was said to be stored is stored"
    assert found == dict.fromkeys(range(1, len(found) + 1), 60)


def test_what_killed_writers_leave_behind_is_swept_away(tables):
    """Killed while it writes, commits, makes a checkpoint or merges; in the end only needed files are left."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", CHILD, tables.root, json.dumps(tables.options)]
    chance, done = random.Random(11), 0
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            for _ in range(chance.randrange(4, 9)):
                done = max(done, int(child.stdout.readline()))
            time.sleep(chance.random() * 0.15)
            child.kill()
    before = rows_of(tables)
    sweep(tables.store, TENANT, "raw", module._writers("raw"), kept_hours=0)
    assert present(tables) == set(names(tables))
    assert rows_of(tables) == before
    assert len(before) >= done * 60
    assert len(set(before)) == len(before)
