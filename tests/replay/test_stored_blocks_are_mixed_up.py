"""Telemetry that lies in row groups anyhow comes back block by block."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.replay.conftest import faulty, keep, rewrite, run
from tests.replay.test_replay_differs_for_no_reason import plain
from tests.support.lines import LINE
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import stored_telemetry
from wheeltapper_workers.history.query import open_store
from wheeltapper_workers.history.stored import ahead
from wheeltapper_workers.history.stored_telemetry import telemetry_in_order
from wheeltapper_workers.history.tables import PARTITIONS, Store
from wheeltapper_workers.runtime.blocks import from_bytes


@pytest.fixture(scope="module")
def live():
    return run(faulty(seconds=100, fault_at=100))


@pytest.fixture
def root(live, tmp_path):
    keep(live, str(tmp_path), messages={Stage.TELEMETRY: live.streams.messages[Stage.TELEMETRY]})
    return str(tmp_path)


def published(live):
    messages = live.streams.messages[Stage.TELEMETRY]
    return {one.sequence: plain(from_bytes(one.payload, Stage.TELEMETRY)) for one in messages if one.payload}


def found(root, last=None):
    return {block.sequence: plain(block.batch) for block in telemetry_in_order(Store(root), LINE, last)}


@pytest.mark.parametrize("rows", [1, 40, 1_000_000])
def test_files_of_which_each_has_a_part_of_every_block(live, root, monkeypatch, rows):
    monkeypatch.setattr(stored_telemetry, "_CHUNK_ROWS", rows)
    path = Store(root).path(LINE.tenant, "raw")
    table = DeltaTable(path).to_pyarrow_table()
    which = pa.array(np.random.default_rng(2).integers(0, 3, table.num_rows))
    for number, mode in enumerate(("overwrite", "append", "append")):
        part = table.filter(pc.equal(which, number)).sort_by("source_time")
        write_deltalake(path, part, mode=mode, partition_by=list(PARTITIONS))
    assert found(root) == published(live)
    assert list(found(root)) == sorted(found(root))


@pytest.mark.parametrize("apart", [2, 70_000, 10**9])
def test_blocks_far_apart(live, root, apart):
    """Other lines' blocks may lie between: any number of them."""

    def spread(rows):
        position = rows.column_names.index("block_sequence")
        return rows.set_column(position, "block_sequence", pc.multiply(rows["block_sequence"], apart))

    rewrite(root, "raw", spread)
    assert found(root) == {number * apart: batch for number, batch in published(live).items()}


def test_block_of_which_rows_are_gone(live, root):
    number, whole = next((number, batch) for number, batch in published(live).items() if batch.num_rows > 3)
    gone = (pc.field("block_sequence") == number) & pc.is_in(pc.field("block_row"), pa.array([0, 2], pa.int32()))
    rewrite(root, "raw", lambda rows: rows.filter(~gone))
    kept = np.setdiff1d(np.arange(whole.num_rows), [0, 2])
    assert found(root) == published(live) | {number: whole.take(pa.array(kept))}


def test_no_more_is_read_than_asked_for():
    """Who stops early has not waited for all there is."""
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    reading = ahead(items(), 3)
    assert [next(reading), next(reading)] == [0, 1]
    reading.close()
    assert len(made) <= 5


def test_what_stops_the_reading_is_told():
    def items():
        yield 1
        raise OSError("no such file")

    reading = ahead(items(), 3)
    assert next(reading) == 1
    with pytest.raises(OSError, match="no such file"):
        next(reading)


def test_what_is_stored_while_a_question_is_answered(root):
    """All that is read for one answer belongs together."""
    asked = open_store(root, LINE.tenant)
    before = asked.dataset(LINE.tenant, "raw").count_rows()
    rewrite(root, "raw", lambda rows: pa.concat_tables([rows, rows.slice(0, 10)]))
    assert asked.dataset(LINE.tenant, "raw").count_rows() == before
    assert open_store(root, LINE.tenant).dataset(LINE.tenant, "raw").count_rows() == before + 10
