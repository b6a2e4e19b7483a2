"""The whole line with everything real: a healthy day is learned, a bearing wears out, one alert tells it.

The simulated plant runs twenty times faster than the wall clock, so that three minutes of it pass in ten seconds.
"""

from __future__ import annotations

import json

import pytest

from tests.support.station import Station, documents

SPEED = 20.0


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Output of the run that ends at the first alert, and the station it left behind."""
    station = Station(tmp_path_factory.mktemp("line"))
    station.edit("plant.yaml", "maxAhead: 1m", "maxAhead: 30d")  # the plant's clock runs ahead of ours
    day = station.state.parent / "day.parquet"
    assert station.run("sim", "history", str(station.scenario), str(day)).returncode == 0
    plant = station.simulator(SPEED)
    try:
        up = station.run(
            *("up", str(station.files), "--state", str(station.state), "--backfill", str(day)),
            *("--stop-after", "first-alert", "--timeout", "90s", "--output", "json"),
            timeout=150,
        )
    finally:
        plant.terminate()
        plant.communicate(timeout=20)
    assert up.returncode == 0, up.stdout[-2000:] + up.stderr[-2000:]
    return station, documents(up.stdout)


def test_the_failing_pump_raises_the_only_alert(told):
    alerts = [document["event"] for document in told[1] if document["type"] == "alert"]
    assert {event["subject"] for event in alerts} == {"p-103"}
    assert {event["data"]["failureModel"] for event in alerts} == {"bearing-wear"}
    assert alerts[0]["type"] == "dev.wheeltapper.alert.opened.v1"


def test_the_alert_says_what_how_far_since_when_how_sure_and_what_to_do(told):
    alert = next(document["event"]["data"] for document in told[1] if document["type"] == "alert")
    text = alert["summary"]
    for part in ("Pump P-103: bearing wear", "mm/s", "times normal", "Since ", "Sure: ", "at the next planned stop"):
        assert part in text
    assert alert["contributions"][0]["signals"] == ["vibration-de"]
    assert 0.5 < alert["confidence"] <= 1


def test_every_twin_is_seen_before(told):
    twins = [document["twins"] for document in told[1] if document["type"] == "twins"][-1]
    assert [twin["twin"] for twin in twins] == ["p-101", "p-102", "p-103", "p-104"]
    assert all(twin["mode"] for twin in twins)
    assert twins[2]["health"] != "good"
    assert {twin["health"] for twin in twins[:2]} == {"good"}


def test_lineage_leads_from_the_alert_to_the_sensor(told):
    station, printed = told
    alert = next(document["event"]["data"] for document in printed if document["type"] == "alert")
    traced = station.run("trace", alert["alertId"], "--state", str(station.state), "--output", "json")
    assert traced.returncode == 0, traced.stderr
    trace = json.loads(traced.stdout)
    assert trace["missing"] == []
    assert {signal["signal"] for signal in trace["signals"]} >= {"vibration-de", "bearing-temperature-de"}
    assert all(signal["samples"] > 0 for signal in trace["signals"])


def test_a_stopped_installation_still_answers(told):
    station, _ = told
    state = ("--state", str(station.state))
    alerts = json.loads(station.run("get", "alerts", *state, "--output", "json").stdout)
    assert [alert["asset"] for alert in alerts] == ["p-103"]
    twins = json.loads(station.run("get", "twins", *state, "--output", "json").stdout)
    assert [twin["twin"] for twin in twins] == ["p-101", "p-102", "p-103", "p-104"]
    sql = "SELECT count(*) AS n, count(DISTINCT (asset, signal, source_time, ordinal)) AS d FROM raw"
    (row,) = json.loads(station.run("query", sql, *state, "--output", "json").stdout)
    assert row["n"] == row["d"] > 3_000_000
    wrong = station.run("query", "SELECT vibration FROM raw", *state)
    assert wrong.returncode == 2
    assert "vibration" in wrong.stderr
    assert "Traceback" not in wrong.stderr
