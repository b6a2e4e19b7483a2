"""Sound tables replay to the same bits, however the rows came, and however the files lie."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.features.test_burst_is_measured_wrong import config as burst_config
from tests.features.test_burst_is_measured_wrong import speeds, waves
from tests.replay.conftest import MODEL, SECOND, START, Live, faulty, keep, line_config, rewrite, run, the_alert
from tests.support.lines import LINE
from wheeltapper_api.config import AssetModelConfig, InputConfig
from wheeltapper_api.kinds.failuremodel import Direction
from wheeltapper_api.wire import Quality, Stage
from wheeltapper_workers.history import historian as module
from wheeltapper_workers.history import replay as replaying
from wheeltapper_workers.history.again import Runner
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.replay import replay
from wheeltapper_workers.history.stored_telemetry import telemetry_in_order
from wheeltapper_workers.history.tables import PARTITIONS, TABLES, Store
from wheeltapper_workers.history.told import told
from wheeltapper_workers.runtime.blocks import from_bytes, to_bytes


def again(root):
    found = replay(str(root), LINE.tenant, the_alert(str(root)))
    assert found.same, [hop.first for hop in found.hops]
    return found


def test_after_compaction(live, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "COMPACT_FILES", 3)
    historian = keep(live, str(tmp_path), every=7)
    before = len(DeltaTable(Store(str(tmp_path)).path(LINE.tenant, "raw")).file_uris())
    assert set(historian.compact()) >= {"raw", "features", "scores"}
    assert len(DeltaTable(Store(str(tmp_path)).path(LINE.tenant, "raw")).file_uris()) < before
    again(tmp_path)


def test_rows_of_all_files_thrown_about(live, tmp_path):
    """An engine that rewrote the tables kept every row and no order."""
    keep(live, str(tmp_path), every=7)
    random = np.random.default_rng(3)
    filled = [table for table in TABLES if Store(str(tmp_path)).open(LINE.tenant, table) is not None]
    assert len(filled) > 5
    for table in filled:
        rewrite(str(tmp_path), table, lambda rows: rows.take(random.permutation(rows.num_rows)))
    again(tmp_path)


def test_late_and_disordered_samples(tmp_path):
    """A fifth comes up to 8 s late, beyond the lateness of 2 s; some clocks run wild; some values are bad."""
    samples, random = faulty(until=530), np.random.default_rng(5)
    chosen = random.random(len(samples)) < 0.2
    samples.received = samples.received + np.where(chosen, random.integers(0, 8 * SECOND, len(samples)), 0)
    samples.quality = np.where(random.random(len(samples)) < 0.05, Quality.OUT_OF_RANGE, 0).astype(np.uint16)
    wild = random.random(len(samples)) < 0.01
    samples.quality[wild] = Quality.CLOCK
    samples.time = np.where(wild, samples.time + 86_400 * SECOND, samples.time)
    live = run(samples.take(np.argsort(samples.received, kind="stable")))
    keep(live, str(tmp_path), every=11)
    again(tmp_path)


def test_an_asset_that_is_silent_for_an_hour(tmp_path):
    samples = faulty(until=530)
    gap = (samples.asset == 0) & (samples.time > START + 300 * SECOND)
    for column in ("time", "received"):
        setattr(samples, column, np.where(gap, getattr(samples, column) + 3600 * SECOND, getattr(samples, column)))
    live = run(samples.take(np.argsort(samples.received, kind="stable")))
    keep(live, str(tmp_path))
    again(tmp_path)


def plain(batch):
    """Columns as they compare: names instead of codes."""
    columns = [c.cast(pa.string()) if pa.types.is_dictionary(c.type) else c for c in batch.columns]
    return pa.table(columns, names=batch.schema.names)


def test_what_only_one_of_two_files_has_comes_back(tmp_path):
    """A column that is plain in a file is not read from it; each block lies in both, and in one none is plain."""
    samples = faulty(seconds=100, fault_at=100)
    odd = samples.asset == 1
    samples.quality = np.where(odd, Quality.UNCERTAIN, 0).astype(np.uint16)
    samples.received = samples.time + np.where(odd, 20_000_007, 20_000_000)
    live = run(samples)
    messages = live.streams.messages[Stage.TELEMETRY]
    keep(live, str(tmp_path), messages={Stage.TELEMETRY: messages})
    path = Store(str(tmp_path)).path(LINE.tenant, "raw")
    rows = DeltaTable(path).to_pyarrow_table()
    for mode, one in (("overwrite", pc.equal(rows["quality"], 0)), ("append", pc.greater(rows["quality"], 0))):
        write_deltalake(path, rows.filter(one), mode=mode, partition_by=list(PARTITIONS))
    found = [block.batch for block in telemetry_in_order(Store(str(tmp_path)), LINE)]
    published = [from_bytes(one.payload, Stage.TELEMETRY) for one in messages if one.payload]
    assert [plain(batch) for batch in found] == [plain(batch) for batch in published]
    assert {flag for batch in found for flag in batch.column("quality").to_pylist()} == {0, int(Quality.UNCERTAIN)}


def test_blocks_come_back_as_they_were_published(live, tmp_path):
    keep(live, str(tmp_path), every=7)
    found = list(telemetry_in_order(Store(str(tmp_path)), LINE))
    published = [message for message in live.streams.messages[Stage.TELEMETRY] if message.payload]
    assert [block.sequence for block in found] == [message.sequence for message in published]
    for block, message in zip(found, published, strict=True):
        assert plain(block.batch).equals(plain(from_bytes(message.payload, Stage.TELEMETRY)))


def test_only_up_to_the_block_that_is_asked_for(live, tmp_path):
    keep(live, str(tmp_path))
    numbers = [block.sequence for block in telemetry_in_order(Store(str(tmp_path)), LINE)]
    assert [block.sequence for block in telemetry_in_order(Store(str(tmp_path)), LINE, numbers[20])] == numbers[:21]


def test_another_line_between_its_blocks(live, tmp_path):
    """The tables of a tenant hold every line."""
    historian = keep(live, str(tmp_path))
    other = Live(line_config())
    last = max(messages[-1].sequence for messages in live.streams.messages.values() if messages)
    subject = LINE.model_copy(update={"asset_class": "fan"}).subject(Stage.TELEMETRY, "writer")
    payload = next(m.payload for m in live.streams.messages[Stage.TELEMETRY] if m.payload)
    assert historian.add(Stage.TELEMETRY, last + 1, START, subject, payload, {}) is None
    historian.commit()
    del other
    again(tmp_path)


def test_telemetry_that_is_no_longer_kept(live, tmp_path):
    """Retention took the first blocks: scores and events are made again of the stored features."""
    keep(live, str(tmp_path))
    number = live.streams.messages[Stage.TELEMETRY][60].sequence
    rewrite(str(tmp_path), "raw", lambda rows: rows.filter(pc.field("block_sequence") >= number))
    found = again(tmp_path)
    assert [hop.name for hop in found.hops] == ["scores", "events"]
    assert found.hops[0].rows > 180
    assert f"(block {number}) on" in found.notes[0]
    assert "they cannot be made again" in found.notes[0]


def test_telemetry_and_the_features_of_the_baseline_are_no_longer_kept(live, tmp_path):
    keep(live, str(tmp_path))
    number = live.streams.messages[Stage.TELEMETRY][80].sequence
    block = live.streams.messages[Stage.FEATURES][40].sequence
    rewrite(str(tmp_path), "raw", lambda rows: rows.filter(pc.field("block_sequence") >= number))
    rewrite(str(tmp_path), "features", lambda rows: rows.filter(pc.field("block_sequence") >= block))
    rewrite(str(tmp_path), "scores", lambda rows: rows.filter(pc.field("features_sequence") >= block))
    found = again(tmp_path)
    assert [hop.name for hop in found.hops] == ["events"]
    assert found.hops[0].rows == 2
    assert "scores cannot be made again" in found.notes[1]


def test_nothing_of_the_alert_is_kept_but_the_alert(live, tmp_path):
    keep(live, str(tmp_path))
    for stage, table in ((Stage.TELEMETRY, "raw"), (Stage.FEATURES, "features"), (Stage.SCORES, "scores")):
        first = live.streams.messages[stage][-4].sequence
        rewrite(str(tmp_path), table, lambda rows, first=first: rows.filter(pc.field("block_sequence") >= first))
    with pytest.raises(QueryError, match="are not all stored either"):
        replay(str(tmp_path), LINE.tenant, the_alert(str(tmp_path)))


def test_other_software_is_compared_within_a_tolerance_and_named(live, tmp_path, monkeypatch):
    keep(live, str(tmp_path))
    monkeypatch.setattr(replaying, "SOFTWARE", replaying.SOFTWARE | {"numpy": "9.9.9"})
    edit_by = 1 + 1e-12
    column = "vibration_level"

    def nudge(rows):
        position = rows.column_names.index(column)
        return rows.set_column(position, column, pc.multiply(rows[column], edit_by))

    rewrite(str(tmp_path), "features", nudge)
    found = again(tmp_path)
    assert not found.exact
    assert "9.9.9 here" in found.notes[0]
    rewrite(str(tmp_path), "features", lambda rows: nudge_far(rows, column))
    assert replay(str(tmp_path), LINE.tenant, the_alert(str(tmp_path))).differs == "features"


def nudge_far(rows, column):
    position = rows.column_names.index(column)
    return rows.set_column(position, column, pc.multiply(rows[column], 1 + 1e-6))


def test_bursts(tmp_path):
    """Waveform blocks between plain ones, measured with the running speed of their time."""
    inputs = [InputConfig(feature="level", direction=Direction.UP, resolution=0.0)]
    model = MODEL.model_copy(update={"inputs": inputs, "modes": ["any"]})
    used = [a.model_copy(update={"models": [AssetModelConfig(name=model.name)]}) for a in burst_config().assets]
    config = burst_config().model_copy(update={"models": [model], "assets": used})
    live = Live(config)
    for minute in range(8):
        first = 60 * minute
        blocks = [waves((first + 5, 25.0, 1.0 + minute)), speeds(1500.0, first, first + 30)]
        for part in [*blocks, waves((first + 45, 25.0, 2.0)), speeds(1520.0, first + 30, first + 60)]:
            live.take(Stage.TELEMETRY, START + first * SECOND, to_bytes(part))
    live.configure(config, START)
    keep(live, str(tmp_path), every=5)
    store = Store(str(tmp_path))
    sent = [message for message in live.streams.messages[Stage.TELEMETRY] if message.payload]
    found = list(telemetry_in_order(store, LINE))
    assert [block.sequence for block in found] == [message.sequence for message in sent]
    for block, message in zip(found, sent, strict=True):
        assert plain(block.batch).equals(plain(from_bytes(message.payload, Stage.TELEMETRY)))
    kept = told(store, LINE)
    runner, made = Runner(Stage.TELEMETRY, kept, ""), []
    for block in found:
        made += runner.take(block)
    features = [from_bytes(one.payload, Stage.FEATURES) for one in live.streams.messages[Stage.FEATURES] if one.payload]
    assert sum(batch.num_rows for batch in features) > 30
    assert [to_bytes(batch) for batch in made] == [to_bytes(batch) for batch in features]
    assert np.isfinite([row["values"][0] for batch in features for row in batch.to_pylist()]).sum() > 20
