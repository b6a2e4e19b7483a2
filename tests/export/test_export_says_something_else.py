"""What is exported has to be what is stored: every row, every bit, and columns that say what they mean."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from deltalake import WriterProperties, write_deltalake

from tests.replay.conftest import keep, live, root
from tests.support.lines import LINE, START
from wheeltapper_cli.main import cli
from wheeltapper_workers.history.export import Wanted, export
from wheeltapper_workers.history.folder import Rows
from wheeltapper_workers.history.tables import PARTITIONS, Store

__all__ = ["live", "root"]
KEYS = [(name, "ascending") for name in ("asset", "signal", "source_time", "ordinal")]


@pytest.fixture(scope="module")
def state(live, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("state")
    keep(live, str(made / "tables"))
    return made


def call(state: Path, *arguments: str, code: int = 0):
    found = CliRunner().invoke(cli, ["export", *arguments, "--state", str(state)])
    assert "Traceback" not in found.output
    assert found.exit_code == code, found.output
    return found


def dictionary(path: Path) -> dict:
    (resource,) = json.loads(path.with_name(f"{path.stem}.datapackage.json").read_text())["resources"]
    return {field["name"]: field for field in resource["schema"]["fields"]}


def test_parquet_has_every_bit(live, tables, tmp_path):
    keep(live, tables.root, storage_options=tables.options)
    file = tmp_path / "raw.parquet"
    told = export(tables.root, LINE.tenant, Wanted("raw"), file, storage_options=tables.options)
    stored = tables.store.dataset(LINE.tenant, "raw").to_table().sort_by(KEYS)
    written = pq.read_table(file).sort_by(KEYS)
    assert told.rows == stored.num_rows == 4800
    for name in stored.column_names:
        assert written[name].cast(stored[name].type).equals(stored[name]), name
    assert (
        pq.read_schema(file).field("value").metadata[b"description"]
        == b"value in the class's unit, NaN where there is no number"
    )


def test_csv_reads_back_to_the_same_numbers(root, tmp_path):
    file = tmp_path / "scores.csv"
    export(root, LINE.tenant, Wanted("scores"), file)
    with file.open(newline="") as opened:
        rows = sorted(csv.DictReader(opened), key=lambda row: (int(row["block_sequence"]), row["asset"]))
    stored = Store(root).dataset(LINE.tenant, "scores").to_table()
    stored = stored.sort_by([("block_sequence", "ascending"), ("asset", "ascending")]).to_pylist()
    assert len(rows) == len(stored) > 0
    for row, there in zip(rows, stored, strict=True):
        assert row["window_end"] == there["window_end"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        score = there["score"]
        assert (row["score"] == "") if score is None or math.isnan(score) else (float(row["score"]) == score)
        assert [float(one) for one in row["values"].split(";")] == pytest.approx(there["values"], abs=0, nan_ok=True)


def test_dictionary_explains_every_column(root, tmp_path):
    export(root, LINE.tenant, Wanted("features"), tmp_path / "features.csv")
    fields = dictionary(tmp_path / "features.csv")
    assert list(fields) == Store(root).dataset(LINE.tenant, "features").schema.names
    assert fields["vibration_level"] == {
        "name": "vibration_level",
        "type": "number",
        "description": "Vibration",
        "unit": "mm/s",
    }
    assert [name for name, field in fields.items() if not field.get("description")] == []


def test_only_what_is_asked_for(root, tmp_path):
    start = START // 1000 + 100 * 10**6
    file = tmp_path / "raw.parquet"
    export(root, LINE.tenant, Wanted("raw", "p-1", start, start + 10 * 10**6), file)
    rows = pq.read_table(file)
    assert set(rows["asset"].to_pylist()) == {"p-1"}
    assert rows.num_rows == 10 * 2
    times = rows["source_time"].cast(pa.int64())
    assert (pc.min(times).as_py(), pc.max(times).as_py()) == (start, start + 9 * 10**6)


def test_nothing_that_fits_is_a_file_without_rows(root, tmp_path):
    for kind in ("csv", "parquet"):
        assert export(root, LINE.tenant, Wanted("raw", "p-9"), tmp_path / f"raw.{kind}").rows == 0
    assert pq.read_table(tmp_path / "raw.parquet").num_rows == 0
    assert len((tmp_path / "raw.csv").read_text().splitlines()) == 1


def test_history_does_not_have_to_fit_into_memory(root, tmp_path, monkeypatch):
    """A table three hundred times as long takes little more than a row group at once."""
    small = Store(root).dataset(LINE.tenant, "raw").to_table()
    folder_of_many = tmp_path / "tables" / LINE.tenant / "raw"
    big = pa.concat_tables([small] * 300)
    groups = WriterProperties(max_row_group_size=100_000)
    write_deltalake(str(folder_of_many), big, partition_by=list(PARTITIONS), writer_properties=groups)
    size = big.nbytes
    del big
    before = pa.total_allocated_bytes()
    peak = 0
    batches = Rows.batches

    def watched(self):
        nonlocal peak
        for batch in batches(self):
            peak = max(peak, pa.total_allocated_bytes() - before)
            yield batch

    monkeypatch.setattr(Rows, "batches", watched)
    told = export(str(tmp_path / "tables"), LINE.tenant, Wanted("raw"), tmp_path / "raw.csv")
    assert told.rows == 300 * 4800
    assert peak < size / 4, (peak, size)


def test_file_is_whole_or_not_there(root, tmp_path, monkeypatch):
    (tmp_path / "raw.csv").write_text("before")

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("wheeltapper_workers.history.export._write_csv", fail)
    with pytest.raises(OSError, match="No space"):
        export(root, LINE.tenant, Wanted("raw"), tmp_path / "raw.csv")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("raw.csv", "before")]


def test_command_writes_all_tables(live, tables, tmp_path):
    keep(live, tables.root, storage_options=tables.options)
    state = tables.remembered(tmp_path, LINE.tenant)
    told = json.loads(call(state, "--to", str(tmp_path / "all"), "--output", "json").stdout)
    assert [one["table"] for one in told] == ["raw", "features", "scores", "events"]
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(
        f"{name}.{end}" for name in ("raw", "features", "scores", "events") for end in ("parquet", "datapackage.json")
    )
    assert "4,800 rows of raw" in call(state, "--table", "raw", "--to", str(tmp_path / "raw.csv")).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "raw.csv"), "choose one table with --table"),
        (("--to", "x", "--table", "raw", "--from", "monday"), "--from monday is no time"),
        (("--to", "x", "--from", "2026-03-02", "--until", "2026-03-01"), "ends before it begins"),
        (("--to", "x", "--table", "configs", "--twin", "p-1"), "are of no twin; leave --twin out"),
        (("--to", "x", "--table", "removed"), "No data yet in removed"),
    ],
)
def test_wrong_arguments_end_with_2_and_a_remedy(state, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert said in call(state, *arguments, code=2).stderr


def test_place_that_cannot_be_written_ends_with_1(state, tmp_path):
    (tmp_path / "file").write_text("")
    assert "choose another place" in call(state, "--to", str(tmp_path / "file" / "x"), code=1).stderr
    assert "Examples:" in call(state, "--help").stdout
