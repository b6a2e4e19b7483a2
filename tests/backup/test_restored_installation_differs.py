"""A running installation is backed up and restored elsewhere: no sample is missing or double, and it goes on."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.support.station import Station
from tests.support.upped import Up, left_behind
from wheeltapper_cli.demo import CREDENTIALS
from wheeltapper_workers.history.tables import Store

pytestmark = pytest.mark.timeout(400)  # the first test waits for two installations

TENANT = "northwater"
SAMPLE = ["asset", "signal", "source_time", "source_nanos", "ordinal"]
STORED = [*SAMPLE, "value", "text", "quality", "block_sequence", "block_row"]


@dataclass
class Copied:
    station: Station
    original: Path
    restored: Path
    folder: Path
    told: dict


def rows(state: Path, table: str) -> pa.Table:
    dataset = Store(str(state / "tables")).dataset(TENANT, table)
    return dataset.to_table() if dataset else pa.table({"block_sequence": pa.array([], pa.int64())})


def highest(state: Path, table: str) -> int:
    return pc.max(rows(state, table)["block_sequence"]).as_py() or 0


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The original ran on for a while after the backup; the restored one did, too, where the backup ends."""
    station = Station(tmp_path_factory.mktemp("station"))
    original = station.state
    folder = tmp_path_factory.mktemp("backup") / "now"
    simulator = station.simulator()
    first = second = None
    try:
        first = Up(station)
        first.wait(first.fresh, 60, "data of all twins")
        first.wait(lambda: highest(original, "scores") > 0, 90, "stored scores")
        done = station.run("backup", "--state", str(original), "--to", str(folder), "--output", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout)
        end = told["streams"][TENANT]["TELEMETRY"]
        first.wait(lambda: highest(original, "raw") > end, 90, "stored samples from after the backup")
        assert first.end(signal.SIGINT) == 0
        station.state = folder.parent / "restored"
        restored = station.run("restore", str(folder), "--state", str(station.state))
        assert restored.returncode == 0, restored.stdout + restored.stderr
        assert left_behind(station.state) == []
        password = Path("secrets", CREDENTIALS)  # of the plant's broker: a secret, so it was not in the backup
        shutil.copytree(original / password, station.state / password)
        second = Up(station)
        second.wait(second.fresh, 60, "data of all twins")
        second.wait(lambda: highest(station.state, "raw") > end + 20, 90, "stored samples of the restored installation")
        assert second.end(signal.SIGINT) == 0
        yield Copied(station, original, station.state, folder, told)
    finally:
        for up in (first, second):
            if up is not None:
                up.close()
        simulator.stop()


def until(table: pa.Table, column: str, last: int) -> pa.Table:
    return table.filter(pc.less_equal(table[column], last))


def counted(table: pa.Table, columns: list[str]) -> pa.Table:
    counts = table.group_by(columns).aggregate([([], "count_all")])
    return counts.sort_by([(name, "ascending") for name in columns]).select([*columns, "count_all"])


def test_no_sample_is_missing_or_double_up_to_the_backup(copied):
    end = copied.told["streams"][TENANT]["TELEMETRY"]
    before, after = (until(rows(state, "raw"), "block_sequence", end) for state in (copied.original, copied.restored))
    assert before.num_rows > 500
    assert copied.told["tables"][TENANT]["TELEMETRY"] < end, "some of it has to come from the stream"
    assert counted(after, STORED).equals(counted(before, STORED))
    assert pc.max(counted(after, SAMPLE)["count_all"]).as_py() == 1


@pytest.mark.parametrize(
    ("table", "source", "key"),
    [
        ("features", "input_sequence", ["asset", "window_end", "pipeline_digest"]),
        ("scores", "features_sequence", ["asset", "failure_model", "window_end", "model_digest", "score"]),
    ],
)
def test_nothing_that_was_made_of_them_is_missing_or_double(copied, table, source, key):
    stream = {"features": "TELEMETRY", "scores": "FEATURES"}[table]
    end = copied.told["streams"][TENANT][stream]
    before, after = (until(rows(state, table), source, end) for state in (copied.original, copied.restored))
    assert before.num_rows > 0
    assert counted(after, [*key, source]).equals(counted(before, [*key, source]))


def test_it_goes_on_behind_the_backup(copied):
    end = copied.told["streams"][TENANT]
    for table, stream in (("raw", "TELEMETRY"), ("features", "FEATURES"), ("scores", "SCORES")):
        assert highest(copied.restored, table) > end[stream], table
    every = counted(rows(copied.restored, "raw"), SAMPLE)
    assert pc.max(every["count_all"]).as_py() == 1
    windows = counted(rows(copied.restored, "features"), ["asset", "window_end"])
    assert pc.max(windows["count_all"]).as_py() == 1


def test_secrets_stay_where_they_are(copied):
    secrets = copied.original / "secrets" / f"backbone-{TENANT}" / "password"
    password = secrets.read_bytes()
    assert len(password) > 20
    for path in copied.folder.rglob("*"):
        assert not path.is_file() or password not in path.read_bytes()
    assert (copied.restored / "secrets" / f"backbone-{TENANT}" / "password").read_bytes() != password


def test_stopped_installation_is_backed_up_the_same_way(copied, tmp_path):
    done = copied.station.run(
        "backup", "--state", str(copied.original), "--to", str(tmp_path / "b"), "--output", "json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["tables"][TENANT]["TELEMETRY"] == highest(copied.original, "raw")
    assert told["streams"][TENANT]["TELEMETRY"] >= highest(copied.original, "raw")
    assert not [command for command in left_behind(copied.original) if "backbone" in command]


def test_damaged_backup_is_refused_before_anything_is_written(copied, tmp_path):
    path = copied.folder / "streams" / TENANT / "SCORES.snapshot"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        done = copied.station.run("restore", str(copied.folder), "--state", str(tmp_path / "state"))
    finally:
        path.write_bytes(data)
    assert done.returncode == 2
    assert f"streams/{TENANT}/SCORES.snapshot: was changed" in done.stderr
    assert not (tmp_path / "state").exists()


def test_state_that_is_not_empty_is_left_alone(copied):
    done = copied.station.run("restore", str(copied.folder), "--state", str(copied.original))
    assert done.returncode == 2
    assert "is not empty; name another folder with --state" in done.stderr
    done = copied.station.run("backup", "--state", str(copied.original), "--to", str(copied.folder))
    assert done.returncode == 2
    assert "is there already" in done.stderr


def test_wrong_arguments_end_with_2_and_a_remedy(copied, tmp_path):
    done = copied.station.run("backup", "--state", str(tmp_path / "none"), "--to", str(tmp_path / "b"))
    assert (done.returncode, "name it with --state" in done.stderr) == (2, True)
    done = copied.station.run("restore", str(tmp_path), "--state", str(tmp_path / "state"))
    assert (done.returncode, "name a folder that wheeltapper backup has written" in done.stderr) == (2, True)
