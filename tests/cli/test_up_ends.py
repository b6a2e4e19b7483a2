"""``wheeltapper up`` ends when and as it was told, with nothing left behind and its state kept."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.station import Station
from tests.support.upped import Up, left_behind


@pytest.fixture
def station(tmp_path):
    station = Station(tmp_path)
    yield station
    assert left_behind(station.state) == []


@pytest.fixture
def ups(station):
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(station, *arguments))
        return started[-1]

    yield start
    for up in started:
        up.close()


def test_time_ends_it_with_0_and_json_is_all_it_prints_and_a_silent_server_is_named(station, ups):
    up = ups("--stop-after", "8s")
    assert up.end() == 0, up.tail()
    assert up.other == []
    assert {document["type"] for document in up.documents} == {"progress", "twins", "problem"}
    silent = (station.url, station.broker_url)
    assert any(url in problem for problem in messages(up, "problem") for url in silent), messages(up, "problem")
    assert messages(up, "progress")[-1] == "Stopping"
    assert not (station.state / "run.json").exists()


def test_time_out_without_an_alert_ends_it_with_1(ups):
    up = ups("--stop-after", "first-alert", "--timeout", "1s")
    assert up.end() == 1
    assert up.other[-1] == "Error: Timed out after 1s without first-alert"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_it_with_0_in_order(ups, number):
    up = ups()
    up.wait(lambda: any(document["type"] == "twins" for document in up.documents), 15, "a table")
    assert up.end(number) == 0, up.tail()
    assert up.other == []


def test_signal_while_it_starts_ends_it_with_0(ups):
    up = ups()
    up.wait(lambda: up.told("Starting the backbone"), 15, "the start")
    assert up.end(signal.SIGINT) == 0, up.tail()
    assert up.other == []


def test_kill_leaves_nothing(station, ups):
    up = ups()
    up.wait(lambda: any(document["type"] == "twins" for document in up.documents), 15, "a table")
    up.end(signal.SIGKILL)
    up_again = ups("--stop-after", "1s")
    assert up_again.end() == 0, up_again.tail()


def test_reader_of_the_output_that_goes_away_ends_it_in_order(station):
    process = station.start("up", str(station.files), "--state", str(station.state), "--output", "json")
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 1
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()
    assert not (station.state / "run.json").exists()


async def test_second_start_goes_on_from_the_stored_state(station, ups):
    simulator = station.simulator()
    try:
        first = ups()
        first.wait(first.fresh, 60, "data of all twins")
        before = await positions(first)
        assert first.end(signal.SIGINT) == 0, first.tail()
        second = ups()
        second.wait(second.fresh, 20, "data of all twins")
        after = await positions(second)
        assert second.end(signal.SIGINT) == 0, second.tail()
    finally:
        simulator.stop()
    assert set(after) == set(before)
    assert all(after[part] >= position for part, position in before.items())
    assert any(position > 0 for position in before.values())
    log = (station.state / "logs" / "northwater-riverside-analyse.log").read_text()
    assert "formed anew" not in log


def test_folder_that_cannot_be_written_is_told_without_a_trace(station):
    (station.state.parent / "file").touch()
    result = station.run("up", str(station.files), "--state", str(station.state.parent / "file" / "state"))
    assert result.returncode in (1, 2)
    assert re.search(r"Error: .*state", result.stderr)
    assert "Traceback" not in result.stderr


def messages(up: Up, kind: str) -> list[str]:
    return [document["message"] for document in up.documents if document["type"] == kind]


async def positions(up: Up) -> dict[str, int]:
    documents = await up.status()
    return {
        part: summary["position"]
        for document in documents.values()
        for part, summary in document["parts"].items()
        if "position" in summary
    }
