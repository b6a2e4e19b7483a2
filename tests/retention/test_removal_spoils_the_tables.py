"""Days are removed from real tables while others read and write them."""

from __future__ import annotations

import time
from datetime import timedelta

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.replay.conftest import keep, live, rewrite, root, the_alert
from tests.support.lines import LINE, SECOND, START
from wheeltapper_api.config import RetentionConfig, StoreConfig
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import cleaner
from wheeltapper_workers.history.cleaner import clean, look
from wheeltapper_workers.history.historian import Historian, StoreError
from wheeltapper_workers.history.holds import HOLDS, Hold, place_hold, release_hold
from wheeltapper_workers.history.query import QueryError, query
from wheeltapper_workers.history.replay import replay
from wheeltapper_workers.history.retention import DAY_NS
from wheeltapper_workers.history.sweeping import sweep
from wheeltapper_workers.history.tables import Store

__all__ = ["live", "root"]

KEPT = RetentionConfig(
    raw_ns=DAY_NS,
    features_ns=1000 * DAY_NS,
    scores_ns=1000 * DAY_NS,
    events_ns=3000 * DAY_NS,
    around_incidents_ns=2000 * DAY_NS,
    incident_margin_ns=DAY_NS,
)
NO_PINS = KEPT.model_copy(update={"around_incidents_ns": 0, "incident_margin_ns": 0})


def later(days: int) -> int:
    return time.time_ns() + days * DAY_NS


def count(store: Store, table: str) -> int:
    dataset = store.dataset(LINE.tenant, table)
    return dataset.count_rows() if dataset else 0


@pytest.fixture
def store(live, tables) -> Store:
    keep(live, tables.root, storage_options=tables.options)
    return tables.store


def files_of(store: Store, table: str) -> list[str]:
    found = store.files(LINE.tenant, table).get_file_info(pafs.FileSelector("", recursive=True))
    return [one.path for one in found if one.base_name.startswith("part-")]


def damaged_hold(store: Store) -> None:
    with store.files(LINE.tenant, HOLDS).open_output_stream("p-2-wear.json") as file:
        file.write(b"{")


def test_nothing_goes_before_its_time(store):
    """The rows are of 2023, and were stored a moment ago."""
    assert clean(store, LINE.tenant, NO_PINS, time.time_ns()) == []
    assert count(store, "raw") == 4800


def test_alert_keeps_its_days(store):
    found = look(store, LINE.tenant, KEPT, later(3))
    assert found.expired == []
    assert {pin.alert_id for _, pin in found.pinned} == {the_alert(store.root, store.storage_options)}


def test_what_goes_is_written_down(store):
    raw = count(store, "raw")
    cleaned = clean(store, LINE.tenant, NO_PINS, later(3))
    assert {part.table for part in cleaned} == {"raw"}
    assert count(store, "raw") == 0
    assert count(store, "features") > 0
    (row,) = query(store.root, "SELECT * FROM removed", LINE.tenant, storage_options=store.options).to_pylist()
    assert (row["removed_from"], row["rows"], row["kept_for"], row["plant"]) == ("raw", raw, "1d", LINE.plant)


def test_run_that_ended_in_between_is_written_down_once(store, monkeypatch):
    monkeypatch.setattr(cleaner, "_remove", lambda *_: None)
    clean(store, LINE.tenant, NO_PINS, later(3))
    monkeypatch.undo()
    clean(store, LINE.tenant, NO_PINS, later(3))
    assert count(store, "removed") == 1
    assert count(store, "raw") == 0


def test_hold_keeps_it(store):
    alert = the_alert(store.root, store.storage_options)
    place_hold(store, LINE.tenant, Hold(alert_id=alert, reason="claim", since="2026-01-01T00:00:00Z"))
    assert clean(store, LINE.tenant, NO_PINS, later(5000)) == []
    release_hold(store, LINE.tenant, alert)
    assert {part.table for part in clean(store, LINE.tenant, NO_PINS, later(5000))} == {
        *("raw", "features", "scores", "events")
    }


def test_hold_that_cannot_be_read_stops_everything(store):
    damaged_hold(store)
    with pytest.raises(QueryError, match="place it again"):
        clean(store, LINE.tenant, NO_PINS, later(3))
    assert count(store, "raw") == 4800


def test_writer_and_removal_at_the_same_time(live, tables):
    """The historian's snapshot is from before the removal: it commits all the same, once."""
    half = {stage: messages[: len(messages) // 2] for stage, messages in live.streams.messages.items()}
    historian, store = keep(live, tables.root, messages=half, storage_options=tables.options), tables.store
    before = count(store, "raw")
    clean(store, LINE.tenant, NO_PINS, later(3))
    assert before > 0 == count(store, "raw")
    for stage, messages in live.streams.messages.items():
        for message in messages[len(half[stage]) :]:
            message.add_to(historian)
    historian.commit()
    assert count(store, "raw") == 4800 - before


def test_commit_between_snapshot_and_removal(store, monkeypatch):
    """Another process commits to the same day while it is removed: what it brought goes another time, if at all."""
    opened = Store.open
    once: list[DeltaTable] = []

    def open_and_write(self, tenant, table):
        found = opened(self, tenant, table)
        if table == "raw" and cleaning and not once:
            once.append(opened(self, tenant, table))
            rows = self.dataset(tenant, table).to_table().slice(0, 5)
            write_deltalake(once[0], rows, mode="append")
        return found

    cleaning = False
    parts = look(store, LINE.tenant, NO_PINS, later(3)).expired
    monkeypatch.setattr(Store, "open", open_and_write)
    cleaning = True
    cleaner._remove(store, LINE.tenant, "raw", parts)
    assert once
    assert count(store, "raw") == 0


def test_reader_goes_on_reading_what_it_has_open(store):
    """The files stay until they are swept away, which takes a day; and then nothing but them is gone."""
    reader = store.dataset(LINE.tenant, "raw")
    clean(store, LINE.tenant, NO_PINS, later(3))
    assert reader.to_table().num_rows == 4800
    assert sweep(store, LINE.tenant, "raw", []) == 0
    assert sweep(store, LINE.tenant, "raw", [], kept_hours=0) > 0
    assert files_of(store, "raw") == []
    assert count(store, "raw") == 0
    assert count(store, "features") > 0
    historian = Historian(store.root, _config(NO_PINS), storage_options=store.options)
    assert historian.positions()["TELEMETRY"] > 0, "the position outlives the rows"


def test_replay_knows_that_days_are_gone(live, tmp_path):
    """The first days are kept for an alert, and the ones behind them are not: no difference, but a note."""
    tables = str(tmp_path)
    keep(live, tables)
    number = live.streams.messages[Stage.TELEMETRY][90].sequence
    day = 19_675  # of the line's start
    assert day == START // DAY_NS

    def moved(rows):
        days = [day + (n > number - 40) for n in rows["block_sequence"].to_pylist()]
        return rows.set_column(rows.column_names.index("day"), "day", pa.array(days, pa.int32()).cast(pa.date32()))

    rewrite(tables, "raw", moved)
    store = Store(tables)
    parts = [part for part in look(store, LINE.tenant, NO_PINS, later(3)).expired if part.day == day + 1]
    cleaner._write_down(store, LINE.tenant, parts, NO_PINS, later(3))
    cleaner._remove(store, LINE.tenant, "raw", parts)
    found = replay(tables, LINE.tenant, the_alert(tables))
    assert [hop.name for hop in found.hops] == ["features", "scores", "events"], "the removed day is behind the alert"
    rewrite(tables, "removed", lambda rows: rows.set_column(2, "day", [[parts[0].date - timedelta(days=1)]]))
    found = replay(tables, LINE.tenant, the_alert(tables))
    assert found.same
    assert [hop.name for hop in found.hops] == ["scores", "events"]
    assert "Retention has removed 1 days of telemetry" in found.notes[0]


def test_historian_without_retention_keeps_everything(store, live):
    del live
    historian = Historian(store.root, _config(None), storage_options=store.options)
    assert historian.clean(later(9000)) == []
    assert count(store, "raw") == 4800


def test_historian_says_what_hinders_it(store):
    damaged_hold(store)
    historian = Historian(store.root, _config(NO_PINS), storage_options=store.options)
    with pytest.raises(StoreError, match="Cannot remove what is past its age"):
        historian.clean(later(3))


def _config(retention):
    return StoreConfig(tenant=LINE.tenant, lines=[], commit_every_ns=SECOND, commit_rows=10, retention=retention)
