"""A file of history says what it says, in any of its spellings; what is wrong is told with its row and a remedy."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wheeltapper_workers.sources import recorded_file
from wheeltapper_workers.sources.recorded_file import RecordingError, pieces

NOON = 1_772_366_400 * 10**9  # 2026-03-01T12:00:00Z


def csv(tmp_path, *lines, head="time,asset,signal,value"):
    path = tmp_path / "history.csv"
    path.write_text("\n".join((head, *lines)) + "\n")
    return path


def read(path):
    """All rows: asset, signal, time, value, text."""
    rows = []
    for piece in pieces(path)[1]:
        for row in range(len(piece)):
            names = piece.assets[piece.asset[row]], piece.signals[piece.signal[row]]
            rows.append((*names, int(piece.time_ns[row]), float(piece.value[row]), piece.text.get(row)))
    return rows


def times(tmp_path, *spellings):
    return [row[2] for row in read(csv(tmp_path, *(f"{one},p-1,speed,1" for one in spellings)))]


@pytest.mark.parametrize(
    ("spelling", "ns"),
    [
        ("2026-03-01T12:00:00Z", 0),
        ("2026-03-01T12:00:00", 0),
        ("2026-03-01 12:00:00.5", 500_000_000),
        ('"2026-03-01 12:00:00,25"', 250_000_000),
        ("2026-03-01T14:00:00+02:00", 0),
        ("2026-03-01T14:00:00.123456789+0200", 123_456_789),
        ("2026-03-01T06:30:00-05:30", 0),
        ("1772366400", 0),
        ("1772366400.000000007", 7),
        ("1772366400001", 10**6),
        ("1772366400000001", 10**3),
        ("1772366400000000001", 1),
    ],
)
def test_every_spelling_of_a_time_is_the_same_moment(tmp_path, spelling, ns):
    assert times(tmp_path, spelling) == [NOON + ns]


def test_spellings_in_one_file(tmp_path):
    assert times(tmp_path, "2026-03-01", "1772366400", "2026-03-01T12:00:00.000000001Z") == [
        NOON - 12 * 3600 * 10**9,
        NOON,
        NOON + 1,
    ]


def test_times_before_1970(tmp_path):
    assert times(tmp_path, "1969-12-31T23:59:59.75Z", "-0.25") == [-250_000_000, -250_000_000]


def test_numbers_and_texts(tmp_path):
    path = csv(
        tmp_path,
        *("1,p-1,speed,1.5,", "2,p-1,speed,-1e-3,", "3,p-1,speed, 7 ,", "4,p-1,speed,+2,", "5,p-1,speed,NaN,"),
        *('6,p-1,recipe,,"cap, 28"', "7,p-1,speed,,", '8,p-1,recipe,,"two\nlines"'),
        head="time,asset,signal,value,text",
    )
    rows = read(path)
    assert [row[3] for row in rows[:4]] == [1.5, -1e-3, 7.0, 2.0]
    assert all(np.isnan(row[3]) for row in rows[4:])
    assert [row[4] for row in rows] == [None] * 5 + ["cap, 28", None, "two\nlines"]


def test_columns_in_any_order_and_others_beside_them(tmp_path):
    path = csv(tmp_path, "x,3,p-1,1,speed", head='"note",value,"asset",time,signal')
    assert read(path) == [("p-1", "speed", 10**9, 3.0, None)]


@pytest.mark.parametrize(
    ("lines", "head", "said"),
    [
        (["1,p-1,speed,1"], "when,asset,signal,value", "has no column time; it needs time, asset, signal, value"),
        (["1;p-1;speed;1"], "time;asset;signal;value", "has no column time, asset, signal, value"),
        (["1,p-1,speed,1", "2,p-1,speed,1,5"], None, "row 2: 5 columns and not 4; put texts with commas in"),
        (["1,p-1,speed,1", "2,p-1,speed,high"], None, "row 2: value 'high' is no number; write it with a point"),
        (["1,p-1,speed,1", "2,p-1,speed,'3'"], None, """row 2: value "'3'" is no number"""),
        (["1,p-1,speed,1", "yesterday,p-1,speed,1"], None, "row 2: time 'yesterday' is no time; write ISO 8601"),
        (["1,p-1,speed,1", "2026-13-01,p-1,speed,1"], None, "row 2: time '2026-13-01' is no time"),
        (["2026-03-01T12:00:00Z,p-1,speed,1", "2026-02-30T12:00:00Z,p-1,speed,1"], None, "row 2: time '2026-02-30"),
        (["1,p-1,speed,1", ",p-1,speed,1"], None, "row 2: time None is missing; every row needs the time"),
        (["1,p-1,speed,1", "2,,speed,1"], None, "row 2: asset None is no name; give the asset of every row"),
        (["1,p-1,speed,1", "2,p-1,,1"], None, "row 2: signal None is no name"),
    ],
)
def test_mistake_is_told_with_its_row(tmp_path, lines, head, said):
    path = csv(tmp_path, *lines, head=head or "time,asset,signal,value")
    with pytest.raises(RecordingError) as error:
        read(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("bad", [4, 7, 11])
def test_rows_are_counted_through_all_pieces(tmp_path, monkeypatch, bad):
    monkeypatch.setattr(recorded_file, "PIECE_ROWS", 3)
    lines = [f"{row},p-1,speed,{'oops' if row == bad else row}" for row in range(1, 12)]
    with pytest.raises(RecordingError, match=f"row {bad}: value 'oops'"):
        read(csv(tmp_path, *lines))


def test_what_comes_before_a_mistake_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded_file, "PIECE_ROWS", 3)
    total, found = pieces(csv(tmp_path, *(f"{row},p-1,speed,1" for row in range(6)), "7,p-1,speed,oops"))
    assert total == 7
    assert [len(next(found)), len(next(found))] == [3, 3]
    with pytest.raises(RecordingError, match="row 7"):
        next(found)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([NOON, NOON + 1], pa.timestamp("ns", "UTC")),
        pa.array([NOON // 1000, NOON // 1000], pa.timestamp("us")),
        pa.array([NOON // 10**6, NOON // 10**6], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([NOON // 10**9] * 2, pa.int64()),
        pa.array([float(NOON // 10**9)] * 2, pa.float64()),
        pa.array(["2026-03-01T12:00:00Z"] * 2),
    ],
    ids=lambda column: str(column.type),
)
def test_parquet_with_any_type_of_time(tmp_path, column):
    path = tmp_path / "history.parquet"
    names = pa.array(["p-1", "p-2"]).dictionary_encode()
    pq.write_table(pa.table({"value": [1, 2], "asset": names, "signal": ["speed"] * 2, "time": column}), path)
    rows = read(path)
    assert [row[2] // 1000 for row in rows] == [NOON // 1000] * 2
    assert [(row[0], row[3]) for row in rows] == [("p-1", 1.0), ("p-2", 2.0)]


def test_parquet_that_is_wrong_is_told_with_its_row(tmp_path):
    path = tmp_path / "history.parquet"
    columns = {"asset": ["p-1"] * 3, "signal": ["speed"] * 3, "value": [1.0, 2.0, 3.0]}
    pq.write_table(pa.table({**columns, "time": pa.array([1, None, 3], pa.int64())}), path)
    with pytest.raises(RecordingError, match="row 2: time None is missing"):
        read(path)
    pq.write_table(pa.table({**columns, "time": [dt.date(2026, 3, 1)] * 3}), path)
    with pytest.raises(RecordingError, match=r"column time is date32.*write ISO 8601"):
        read(path)


def test_file_that_is_neither(tmp_path):
    path = tmp_path / "history.xlsx"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(RecordingError, match=r"cannot be read as Parquet; a CSV file has a name that ends in \.csv"):
        read(path)


@pytest.mark.parametrize("lines", [[], [""]])
def test_file_without_rows(tmp_path, lines):
    assert read(csv(tmp_path, *lines)) == []
