"""``wheeltapper watch`` disturbs what it looks at, or does not say why it sees nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.support.station import Station
from tests.support.upped import Up

WATCH = [sys.executable, "-W", "ignore", "-c", "from wheeltapper_cli.screen.command import watch; watch()"]


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    up = Up(Station(tmp_path_factory.mktemp("station")))
    try:
        up.wait(lambda: any(document["type"] == "twins" for document in up.documents), 30, "a table")
        yield up
    finally:
        up.close()


def start(up: Up) -> subprocess.Popen[str]:
    command = [*WATCH, "--state", str(up.station.state), "--output", "json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_shows_the_same_twins_and_to_leave_it_stops_nothing(up):
    watch = start(up)
    try:
        assert watch.stdout is not None
        seen: list[str] = []
        for line in watch.stdout:
            document = json.loads(line)
            if document["type"] == "twins" and document["twins"]:
                seen = [twin["twin"] for twin in document["twins"]]
                break
        assert seen == ["p-101", "p-102", "p-103", "p-104", "p-201", "p-202"]
        watch.send_signal(signal.SIGTERM)
        _, errors = watch.communicate(timeout=20)
        assert (watch.returncode, errors) == (0, "")
    finally:
        watch.kill()
        watch.communicate(timeout=10)
    since = len(up.documents)
    up.wait(lambda: len(up.documents) > since, 10, "the next table")


def test_installation_that_stops_ends_it_in_words(up):
    watch = start(up)
    try:
        assert watch.stdout is not None
        assert watch.stdout.readline()
        assert up.end(signal.SIGTERM) == 0
        _, errors = watch.communicate(timeout=20)
        assert watch.returncode == 1
        assert "has stopped" in errors
        assert "Traceback" not in errors
    finally:
        watch.kill()
        watch.communicate(timeout=10)


def test_nothing_that_runs_is_told_with_the_way_to_start_it(tmp_path):
    result = subprocess.run([*WATCH, "--state", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert str(tmp_path) in result.stderr
    assert "wheeltapper up" in result.stderr
