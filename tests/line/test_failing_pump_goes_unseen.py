"""The whole line with everything real: a healthy day is learned, two pumps fail, and each gets its one alert.

One hall is read over OPC UA, the other over MQTT, with a user and a password. The simulated plant runs twenty times
faster than the wall clock, so that four minutes of it pass in twelve seconds.
"""

from __future__ import annotations

import json
import signal

import pytest

from tests.support.station import Station
from tests.support.upped import Up

SPEED = 20.0
TWINS = ["p-101", "p-102", "p-103", "p-104", "p-201", "p-202"]
FAILING = {"p-103": "bearing-wear", "p-202": "seal-leakage"}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Output of a run that ended when both failing pumps had their alerts, and the station it left behind."""
    station = Station(tmp_path_factory.mktemp("line"))
    station.edit("plant.yaml", "maxAhead: 1m", "maxAhead: 30d")  # the plant's clock runs ahead of ours
    day = station.state.parent / "day.parquet"
    assert station.run("sim", "history", str(station.scenario), str(day)).returncode == 0
    plant = station.simulator(SPEED)
    up = Up(station, "--backfill", str(day))
    try:
        up.wait(lambda: {event["subject"] for event in up.alerts()} >= set(FAILING), 120, "both alerts")
        since = len(up.documents)
        up.wait(lambda: any(d["type"] == "twins" for d in up.documents[since:]), 10, "a table after them")
        assert up.end(signal.SIGTERM) == 0, up.tail()
    finally:
        up.close()
        plant.stop()
    assert [document for document in up.documents if document["type"] == "problem"] == []
    return station, up.documents


def test_the_failing_pump_of_each_hall_raises_the_only_alert(told):
    alerts = [document["event"] for document in told[1] if document["type"] == "alert"]
    assert {(event["subject"], event["data"]["failureModel"]) for event in alerts} == set(FAILING.items())
    opened = [event["subject"] for event in alerts if event["type"] == "dev.wheeltapper.alert.opened.v1"]
    assert sorted(opened) == sorted(FAILING)


def test_the_alert_says_what_how_far_since_when_how_sure_and_what_to_do(told):
    alert = next(d["event"]["data"] for d in told[1] if d["type"] == "alert" and d["event"]["subject"] == "p-103")
    text = alert["summary"]
    for part in ("Pump P-103: bearing wear", "mm/s", "times normal", "Since ", "Sure: ", "at the next planned stop"):
        assert part in text
    assert alert["contributions"][0]["signals"] == ["vibration-de"]
    assert 0.5 < alert["confidence"] <= 1


def test_every_twin_is_seen_before(told):
    twins = [document["twins"] for document in told[1] if document["type"] == "twins"][-1]
    assert [twin["twin"] for twin in twins] == TWINS
    assert all(twin["mode"] for twin in twins)
    health = {twin["twin"]: twin["health"] for twin in twins}
    assert not {"good", "unknown"} & {health[twin] for twin in FAILING}
    assert {health[twin] for twin in ("p-101", "p-102", "p-201")} == {"good"}


@pytest.mark.parametrize(
    ("twin", "signals"),
    [("p-103", {"vibration-de", "bearing-temperature-de"}), ("p-202", {"seal-leakage"})],
)
def test_lineage_leads_from_the_alert_to_the_sensor(told, twin, signals):
    station, printed = told
    alert = next(d["event"]["data"] for d in printed if d["type"] == "alert" and d["event"]["subject"] == twin)
    traced = station.run("trace", alert["alertId"], "--state", str(station.state), "--output", "json")
    assert traced.returncode == 0, traced.stderr
    trace = json.loads(traced.stdout)
    assert trace["missing"] == []
    assert {signal["signal"] for signal in trace["signals"]} >= signals
    assert all(signal["samples"] > 0 for signal in trace["signals"])


def test_a_stopped_installation_still_answers(told):
    station, _ = told
    state = ("--state", str(station.state))
    alerts = json.loads(station.run("get", "alerts", *state, "--output", "json").stdout)
    assert sorted(alert["asset"] for alert in alerts) == sorted(FAILING)
    twins = json.loads(station.run("get", "twins", *state, "--output", "json").stdout)
    assert [twin["twin"] for twin in twins] == TWINS
    distinct = "SELECT count(*) AS n, count(DISTINCT (asset, source_time, ordinal)) AS d FROM raw"
    (row,) = json.loads(
        station.run("query", f"{distinct} WHERE signal = 'vibration-de'", *state, "--output", "json").stdout
    )
    assert row["n"] == row["d"] > 500_000
    wrong = station.run("query", "SELECT vibration FROM raw", *state)
    assert wrong.returncode == 2
    assert "vibration" in wrong.stderr
    assert "Traceback" not in wrong.stderr
