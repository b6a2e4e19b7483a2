"""What is no block is kept aside, told, and passed; nothing behind it waits."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from tests.history.conftest import STORE, Stored, event, telemetry
from tests.support.lines import LINE
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import historian as module
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.query import query
from wheeltapper_workers.runtime.blocks import SCHEMAS, from_bytes, to_bytes

GOOD = telemetry(40)


def with_column(name, array):
    batch = from_bytes(GOOD[0].payload, Stage.TELEMETRY)
    return to_bytes(batch.set_column(batch.schema.get_field_index(name), name, array))


def null_times():
    times = from_bytes(GOOD[0].payload, Stage.TELEMETRY)["source_time"].to_numpy(zero_copy_only=False)
    return pa.array(times, SCHEMAS[Stage.TELEMETRY].field("source_time").type, mask=np.arange(len(times)) == 3)


def wild_codes():
    indices = pa.array(np.full(60, 77, np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array(["p-1"]), safe=False)


def features_without_names(flow):
    batch = from_bytes(flow[Stage.FEATURES][0].payload, Stage.FEATURES)
    return to_bytes(batch.replace_schema_metadata(None))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "Not an Arrow block"),
        (b"\xff" * 500, "Not an Arrow block"),
        (GOOD[0].payload[:300], "Arrow block"),
        (to_bytes(pa.RecordBatch.from_pydict({"a": [1]})), "columns are not those of telemetry"),
        (with_column("source_time", null_times()), "rows without source_time"),
        (with_column("asset", wild_codes()), "Arrow block"),
    ],
)
def test_bad_telemetry_is_kept_and_passed(tmp_path, payload, reason):
    historian = Historian(str(tmp_path), STORE)
    assert GOOD[0].add_to(historian) is None
    bad = Stored(Stage.TELEMETRY, 2, 5, payload).add_to(historian)
    assert reason in str(bad)
    assert "TELEMETRY 2" in str(bad)
    assert GOOD[2].add_to(historian) is None
    assert historian.commit() == {"TELEMETRY": 3}
    assert query(str(tmp_path), "SELECT DISTINCT block_sequence AS n FROM raw ORDER BY 1")["n"].to_pylist() == [1, 3]
    folder = tmp_path / "northwater" / "quarantine"
    assert (folder / "TELEMETRY-2.block").read_bytes() == payload
    assert reason in json.loads((folder / "TELEMETRY-2.json").read_text())["reason"]


def test_only_bad_blocks_still_move_the_position(tmp_path, flow):
    historian = Historian(str(tmp_path), STORE)
    messages = [
        Stored(Stage.EVENTS, 4, 1, b'{"id": 1}'),
        Stored(Stage.EVENTS, 5, 1, b"\xff\xfe"),
        Stored(Stage.FEATURES, 7, 1, features_without_names(flow)),
        Stored(Stage.TELEMETRY, 9, 1, GOOD[0].payload, subject="telemetry.northwater"),
        Stored(Stage.TELEMETRY, 10, 1, GOOD[0].payload, subject="telemetry.northwater.../x.pump.s0.c"),
        Stored(
            Stage.TELEMETRY,
            11,
            1,
            GOOD[0].payload,
            subject=LINE.subject(Stage.TELEMETRY, "c").replace("north", "south"),
        ),
    ]
    assert all(message.add_to(historian) is not None for message in messages)
    assert historian.commit() == {"TELEMETRY": 11, "FEATURES": 7, "EVENTS": 5}
    assert historian.positions() == {"TELEMETRY": 11, "FEATURES": 7, "SCORES": 0, "EVENTS": 5, "GAPS": 0}


def test_any_damage_to_a_block_is_survived(tmp_path):
    historian, random = Historian(str(tmp_path), STORE), np.random.default_rng(3)
    for sequence in range(1, 301):
        data = bytearray(GOOD[0].payload)
        for place in random.integers(0, len(data), random.integers(1, 20)):
            data[place] = random.integers(0, 256)
        Stored(Stage.TELEMETRY, sequence, 1, bytes(data)).add_to(historian)
    Stored(Stage.TELEMETRY, 301, 1, GOOD[0].payload).add_to(historian)
    assert historian.commit() == {"TELEMETRY": 301}


def test_quarantine_does_not_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "QUARANTINE_FILES", 5)
    historian = Historian(str(tmp_path), STORE)
    for sequence in range(1, 20):
        Stored(Stage.SCORES, sequence, 1, b"x").add_to(historian)
        historian.commit()
    assert len(list((tmp_path / "northwater" / "quarantine").iterdir())) == 10
    assert historian.positions()["SCORES"] == 19


def test_header_that_is_no_text(tmp_path):
    message = event(1, "aaa")
    historian = Historian(str(tmp_path), STORE)
    headers = {"traceparent": "\udcff" * 999, "Wheeltapper-Input": "9" * 40}
    assert Stored(Stage.EVENTS, 1, 1, message.payload, headers).add_to(historian) is None
    assert historian.commit() == {"EVENTS": 1}


def test_clock_gone_wild_makes_no_folder_a_day(tmp_path):
    batch = from_bytes(GOOD[0].payload, Stage.TELEMETRY)
    times = np.arange(60) * 86_400 * 10**9 * 200
    columns = {
        "source_time": pa.array(times, SCHEMAS[Stage.TELEMETRY].field("source_time").type),
        "quality": pa.array(np.full(60, 64, np.uint16)),
    }
    for name, column in columns.items():
        batch = batch.set_column(batch.schema.get_field_index(name), name, column)
    historian = Historian(str(tmp_path), STORE)
    assert Stored(Stage.TELEMETRY, 1, 1, to_bytes(batch)).add_to(historian) is None
    historian.commit()
    assert query(str(tmp_path), "SELECT count(DISTINCT day) AS n FROM raw")["n"].to_pylist() == [1]


def test_root_is_a_url(tmp_path):
    """As with an object store, nothing then is a local path to be made or written to."""
    root = tmp_path.as_uri()
    historian = Historian(root, STORE)
    GOOD[0].add_to(historian)
    Stored(Stage.TELEMETRY, 2, 1, b"x").add_to(historian)
    historian.commit()
    assert query(root, "SELECT count(*) AS n FROM raw")["n"].to_pylist() == [60]
    assert (tmp_path / "northwater" / "quarantine" / "TELEMETRY-2.block").read_bytes() == b"x"
