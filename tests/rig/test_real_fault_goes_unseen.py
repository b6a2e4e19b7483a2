"""Recordings of a real rig: faults that people have labelled are found, and normal running is left in peace."""

from __future__ import annotations

import json
import shutil
from datetime import datetime

import pytest

from tests.bench import skab
from tests.support.datasets import dataset
from tests.support.nats import free_port
from tests.support.station import ROOT, Station, documents


def test_labelled_faults_are_found_and_normal_rows_left_in_peace():
    folder = dataset("skab") / "valve1"
    result = skab.measure([folder / f"{number}.csv" for number in (0, 5, 10, 15)])
    assert list(result) == ["files", "rows", "far", "mar", "f1", "j"]
    assert result["files"] == 4
    assert result["j"] >= 0.55
    assert result["far"] <= 0.15


def test_hours_without_a_fault_stay_quiet():
    result = skab.measure([dataset("skab") / "anomaly-free.csv"])
    assert result["far"] <= 0.02


def test_nothing_after_the_first_rows_is_learned():
    recording = skab.read(dataset("skab") / "valve1" / "3.csv")
    collector, line = skab.rig()
    early = skab.alerts(recording, collector, line)
    for name in recording.values:  # another future must not change what came before it
        recording.values[name][-300:] *= 1.7
    late = skab.alerts(recording, collector, line)
    until = recording.time_ns[-300] / 1e9
    first = [e.model_dump() for e in early if datetime.fromisoformat(e.time).timestamp() < until]
    assert first
    assert first == [e.model_dump() for e in late if datetime.fromisoformat(e.time).timestamp() < until]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no recordings"),
        ("a;b\n1;2\n", "datetime"),
        ("datetime;Current\n2020-01-01 00:00:00;1\n2020-01-01 00:00:01;x\n", "x"),
        ("datetime;Current\n2020-01-01 00:00:00;1\n", "No recording has rows to score"),
    ],
    ids=["empty folder", "no time", "text for a number", "too short"],
)
def test_a_folder_that_cannot_be_used_is_explained(tmp_path, monkeypatch, capsys, content, message):
    if content is not None:
        (tmp_path / "1.csv").write_text(content)
    monkeypatch.setattr("sys.argv", ["skab", str(tmp_path)])
    assert skab.main() == 2
    assert message in capsys.readouterr().err


def test_a_recording_served_over_opc_ua_alerts_within_its_labels(tmp_path):
    """The same recording through a real server, collector, streams and processes, sixty times as fast."""
    path = dataset("skab") / "valve1" / "1.csv"
    recording = skab.read(path)
    station = Station(tmp_path)
    shutil.rmtree(station.files)
    shutil.copytree(ROOT / "examples" / "skab", station.files)
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    station.edit("rig.yaml", "opc.tcp://127.0.0.1:48410", url)
    state = ("--state", str(station.state))
    replay = ("sim", "replay", "--csv", str(path), "--timestamp", "datetime", "--opcua", url, "--speed", "60")
    server = station.start(*replay)
    try:
        up = station.run(
            *("up", str(station.files), *state, "--output", "json"),
            *("--stop-after", "first-alert", "--timeout", "60s"),
        )
    finally:
        server.terminate()
        server.communicate(timeout=20)
    assert up.returncode == 0, up.stdout[-2000:] + up.stderr[-2000:]
    alert = next(document["event"]["data"] for document in documents(up.stdout) if document["type"] == "alert")
    sql = "SELECT epoch_us(min(source_time)) AS first FROM raw"
    (row,) = json.loads(station.run("query", sql, *state, "--output", "json").stdout)
    since = datetime.fromisoformat(alert["since"]).timestamp() - row["first"] / 1e6 + recording.time_ns[0] / 1e9
    labelled = recording.time_ns[recording.anomaly] / 1e9
    assert alert["failureModel"] == "valve-closing"
    assert labelled.min() - 5 <= since <= labelled.max()
