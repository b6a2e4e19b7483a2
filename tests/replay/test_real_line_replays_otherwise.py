"""A line of real processes: its alert replays to the same bits, though nobody prepared it for that."""

from __future__ import annotations

import json

import pytest

from tests.support.station import Station, documents

SPEED = 20.0


@pytest.mark.timeout(420)
def test_alert_of_real_processes(tmp_path):
    station = Station(tmp_path)
    station.edit("plant.yaml", "maxAhead: 1m", "maxAhead: 30d")  # the plant's clock runs ahead of ours
    day = tmp_path / "day.parquet"
    assert station.run("sim", "history", str(station.scenario), str(day)).returncode == 0
    plant = station.simulator(SPEED)
    try:
        up = station.run(
            *("up", str(station.files), "--state", str(station.state), "--backfill", str(day)),
            *("--stop-after", "first-alert", "--timeout", "90s", "--output", "json"),
            timeout=150,
        )
    finally:
        plant.stop()
    assert up.returncode == 0, up.stdout[-2000:] + up.stderr[-2000:]
    told_of = {d["event"]["subject"]: d["event"]["data"] for d in documents(up.stdout) if d["type"] == "alert"}
    alert = max(told_of.items())[1]["alertId"]  # of the hall that speaks MQTT, if both have theirs by then
    found = station.run("replay", alert, "--state", str(station.state), "--output", "json", timeout=120)
    assert found.returncode == 0, found.stdout + found.stderr
    told = json.loads(found.stdout)
    assert told["exact"]
    assert told["notes"] == []
    assert told["rows"] > 3_000_000
    assert all(hop["rows"] == hop["equal"] > 0 for hop in told["hops"])
    evidence_is_small_and_sound(station, alert)


def evidence_is_small_and_sound(station: Station, alert: str) -> None:
    """An hour of three million samples is written, and computed again elsewhere from the states before it."""
    folder = station.state.parent / "evidence"
    arguments = (alert, "--state", str(station.state), "--to", str(folder), "--output", "json")
    written = station.run("evidence", *arguments, timeout=120)
    assert written.returncode == 0, written.stdout + written.stderr
    told = json.loads(written.stdout)
    assert told["firstBlock"] > 0
    assert told["rows"]["raw"] < told["replay"]["rows"] / 2
    checked = station.run("evidence", "verify", str(folder), "--fingerprint", told["fingerprint"], "--output", "json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    replay = json.loads(checked.stdout)["replay"]
    assert replay["exact"]
    assert all(hop["rows"] == hop["equal"] > 0 for hop in replay["hops"])
