"""Late data corrects history: what is known afterwards is what a line would have stored that got all in order."""

from __future__ import annotations

import asyncio
import shutil
from itertools import accumulate

import numpy as np
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.late.conftest import ORDER, appended, ask, assert_as_in_order, corrected, said, thrown
from tests.replay.conftest import faulty, keep, run, store_config
from tests.support.lines import LINE
from tests.support.waiting import until
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.late import correction, corrector, job, scores_in_order
from wheeltapper_workers.history.late.corrector import Corrector
from wheeltapper_workers.history.late.job import CorrectionJob
from wheeltapper_workers.history.place import PlaceError
from wheeltapper_workers.history.replay import replay
from wheeltapper_workers.history.tables import PARTITIONS, TABLES, Store


@pytest.mark.parametrize("seed", range(3))
def test_windows_and_scores_are_the_bits_of_a_line_in_order(in_order, tmp_path, seed):
    store = Store(str(tmp_path))
    keep(run(thrown(faulty(until=530), seed)), store.root, every=23)
    (one,) = corrected(store)
    assert one.late > 50
    assert one.windows
    assert one.scores
    assert one.notes == ()
    assert_as_in_order(store, in_order)


def test_what_was_live_stays_beside_it(late, in_order):
    before = {table: said(late, table) for table in ORDER}
    corrected(late)
    assert_as_in_order(late, in_order)
    for table in ORDER:
        assert said(late, table, "_revisions", "revision = 0") == before[table]
        assert said(late, table) != before[table]


def test_small_passes_come_to_the_same(late, in_order, monkeypatch):
    for module, name, value in (
        *((corrector, "WINDOWS", 30), (corrector, "LOOK_ROWS", 800), (corrector, "_SETTLE_WINDOWS", 1)),
        *((correction, "CHUNK", 7), (scores_in_order, "SLICE", 16)),
    ):
        monkeypatch.setattr(module, name, value)
    passes = corrected(late)
    assert len(passes) > 5
    assert max(one.windows for one in passes) <= 40
    assert_as_in_order(late, in_order)


def by_time(streams):
    """Messages of all streams in the order in which they were published, each stream's in its own."""
    order = list(Stage)
    timed = [
        (at, order.index(stage), message)
        for stage, messages in streams.items()
        for at, message in zip(accumulate((one.published_ns for one in messages), max), messages, strict=True)
    ]
    return [message for _, _, message in sorted(timed, key=lambda one: one[:2])]


@pytest.mark.parametrize("seed", range(2))
def test_corrections_while_data_flows_and_workers_restart(late_line, in_order, tmp_path, seed):
    """Whenever something is committed and looked at: at the end all of it is right, and no row is there twice."""
    random, store = np.random.default_rng(seed), Store(str(tmp_path))
    flow = by_time(late_line.streams.messages)
    historian, job = Historian(store.root, store_config(late_line.configs)), Corrector(store, LINE.tenant)
    for message in flow:
        message.add_to(historian)
        if random.random() < 0.03:
            historian.commit()
            job = Corrector(store, LINE.tenant) if random.random() < 0.3 else job
            corrected(store, job)
    historian.commit()
    corrected(store, job)
    assert ask(store, "SELECT count(*) AS n FROM corrections")[0]["n"] > 1
    assert_as_in_order(store, in_order)


def test_nothing_is_done_twice(late):
    corrected(late)
    before = {table: appended(late, table) for table in ORDER}
    versions = {table: found.version() for table in TABLES if (found := late.open(LINE.tenant, table))}
    for again in (None, Corrector(late, LINE.tenant)):
        assert all(not (one.windows or one.scores or one.late) for one in corrected(late, again))
    assert {table: appended(late, table) for table in ORDER} == before
    assert {table: late.open(LINE.tenant, table).version() for table in versions} == versions


def test_an_alert_is_replayed_from_what_was_live(late):
    """It rests on what was known then, and not on what came afterwards."""
    corrected(late)
    found = replay(late.root, LINE.tenant, the_alert_of(late), storage_options=late.storage_options)
    assert found.same
    assert found.notes == []


def the_alert_of(store: Store) -> str:
    (row,) = ask(store, "SELECT DISTINCT alert_id FROM events")
    return row["alert_id"]


def test_corrections_say_what_led_to_them(late):
    passes = corrected(late)
    (entry,) = ask(late, "SELECT * FROM corrections")
    assert (entry["late"], entry["windows"], entry["scores"]) == (
        passes[0].late,
        passes[0].windows,
        passes[0].scores,
    )
    rows = ask(late, "SELECT * FROM features_revisions WHERE revision > 0")
    assert len(rows) == passes[0].windows
    blocks = {row["block_sequence"] for row in ask(late, "SELECT DISTINCT block_sequence FROM raw")}
    assert all({row["late_first"], row["late_last"]} <= blocks for row in rows)
    assert all(row["late_first"] <= row["late_last"] for row in rows)


def test_tables_from_before_there_were_revisions(late, in_order):
    """Rows that lack the columns are as they were live; what is asked before and after says so."""
    for table in ORDER:
        path = late.path(LINE.tenant, table)
        rows = DeltaTable(path, storage_options=late.storage_options).to_pyarrow_table()
        options = {"partition_by": list(PARTITIONS), "storage_options": late.storage_options}
        rows = rows.drop_columns(["revision", "late_first", "late_last"])
        write_deltalake(path, rows, mode="overwrite", schema_mode="overwrite", **options)
    assert ask(late, "SELECT count(*) AS n FROM features_revisions WHERE revision IS NOT NULL") == [{"n": 0}]
    assert corrected(late)[0].windows > 0
    assert_as_in_order(late, in_order)
    assert ask(late, "SELECT count(*) AS n FROM features_revisions WHERE revision = 0") == [{"n": 0}]
    assert replay(late.root, LINE.tenant, the_alert_of(late), storage_options=late.storage_options).same


async def test_what_cannot_be_corrected_is_told_until_it_can(uncorrected, tmp_path, monkeypatch):
    """The store worker goes on without it, and says why; when the tables are back the correction is made."""
    monkeypatch.setattr(job, "REST_SECONDS", 0.01)
    root = tmp_path / "tables"
    shutil.copytree(uncorrected.root, root)
    away = [PlaceError("The key is refused"), OSError("Generic S3 error: connection refused")]

    def opened():
        if away:
            raise away.pop()
        return Store(str(root))

    told, one = [], CorrectionJob(LINE.tenant, opened)
    task = asyncio.create_task(one.run(lambda: told.append(one.problem) or [LINE]))
    try:
        await until(lambda: one.summary()["scores"], seconds=60)
        assert one.problem == ""
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [bool(problem) for problem in told[:3]] == [False, True, True]
    assert all("Late data of riverside/pump is not corrected: " in problem for problem in told[1:3])
    assert one.summary()["late"] > 50
