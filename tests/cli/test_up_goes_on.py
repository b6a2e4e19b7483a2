"""``wheeltapper up`` while something goes wrong or changes: what is healthy goes on, and what is wrong is named."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from tests.support.station import Station
from tests.support.upped import Up

ANALYSE, COLLECT = "northwater-riverside-analyse", "northwater-riverside-collect-scada"


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    station = Station(tmp_path_factory.mktemp("station"))
    simulator = station.simulator()
    up = Up(station)
    try:
        up.wait(up.fresh, 60, "data of all twins")
        yield up
    finally:
        up.close()
        simulator.stop()


async def pids(up: Up) -> dict[str, int]:
    return {name: document["pid"] for name, document in (await up.status()).items()}


async def changed(up: Up, worker: str, field: str, old: object) -> object:
    """New value of a field of a worker's status document."""
    deadline = time.monotonic() + 15
    while (value := (await up.status())[worker][field]) == old:
        assert time.monotonic() < deadline, f"{field} of {worker} stays {old}: {up.tail()}"
        await asyncio.sleep(0.2)
    return value


async def test_killed_worker_is_named_and_comes_back_while_the_others_go_on(up):
    before, since = await pids(up), len(up.documents)
    os.kill(before[COLLECT], signal.SIGKILL)
    up.wait(lambda: up.told(f"{COLLECT} ended (signal SIGKILL) and is started again", since), 5, "the worker's name")
    await changed(up, COLLECT, "pid", before[COLLECT])
    since = len(up.documents)
    up.wait(lambda: up.fresh(since), 15, "fresh data")
    assert {**await pids(up), COLLECT: 0} == {**before, COLLECT: 0}


async def test_killed_backbone_is_named_and_workers_and_command_reconnect(up):
    before, since = await pids(up), len(up.documents)
    assert up.process.pid
    os.kill(backbone_pid(up), signal.SIGKILL)
    up.wait(lambda: up.told("backbone ended (signal SIGKILL)", since), 5, "the backbone's name")
    time_of_kill = (await up.status())[ANALYSE]["timeNs"]
    await changed(up, ANALYSE, "timeNs", time_of_kill)
    since = len(up.documents)
    up.wait(lambda: len(up.documents) > since + 2 and up.fresh(since), 15, "fresh data")
    assert await pids(up) == before


async def test_wrong_edit_is_told_with_its_place_and_changes_nothing(up):
    before, since = await up.status(), len(up.documents)
    up.station.edit("twins.yaml", "criticality: B", "criticality: Q")
    try:
        up.wait(lambda: up.told("What ran before goes on", since), 10, "the refusal")
        message = next(d["message"] for d in up.documents[since:] if "What ran" in d.get("message", ""))
        assert "twins.yaml" in message
        assert "criticality" in message
        after = await up.status()
        assert after[ANALYSE]["generation"] == before[ANALYSE]["generation"]
    finally:
        since = len(up.documents)
        up.station.edit("twins.yaml", "criticality: Q", "criticality: B")
        up.wait(lambda: up.told("The changed files are in force", since), 10, "the old files")
    assert await pids(up) == {name: document["pid"] for name, document in before.items()}


async def test_edit_is_in_force_without_a_restart(up):
    before, since = await up.status(), len(up.documents)
    up.station.edit("twins.yaml", "title: Pump P-102", "title: Second raw water pump")
    up.wait(lambda: up.told("The changed files are in force", since), 10, "the edit")
    await changed(up, ANALYSE, "generation", before[ANALYSE]["generation"])
    up.wait(lambda: "Second raw water pump" in titles(up), 5, "the new title")
    after = await up.status()
    assert {n: d["pid"] for n, d in after.items()} == {n: d["pid"] for n, d in before.items()}
    for part, summary in before[ANALYSE]["parts"].items():
        assert after[ANALYSE]["parts"][part]["position"] >= summary["position"] > 0


async def test_edit_while_the_backbone_is_away_is_applied_when_it_is_back(up):
    since, pid = len(up.documents), backbone_pid(up)
    os.kill(pid, signal.SIGSTOP)
    try:
        up.station.edit("twins.yaml", "title: Pump P-104", "title: Fourth raw water pump")
        up.wait(lambda: up.told("not in force yet; trying again", since), 15, "the refusal")
    finally:
        os.kill(pid, signal.SIGCONT)
    up.wait(lambda: up.told("The changed files are in force", since), 15, "the edit")
    up.wait(lambda: "Fourth raw water pump" in titles(up), 5, "the new title")


async def test_second_one_in_the_same_folder_is_refused_with_the_first_one_s_pid(up):
    second = up.station.run("up", str(up.station.files), "--state", str(up.station.state))
    assert second.returncode == 1
    assert f"(process {up.process.pid})" in second.stderr
    assert "--state" in second.stderr
    assert "Traceback" not in second.stderr
    since = len(up.documents)
    up.wait(lambda: up.fresh(since), 5, "the first one's data")


def backbone_pid(up: Up) -> int:
    """Process of the server: the one child of the command that has its config on the command line."""
    children = f"/proc/{up.process.pid}/task/{up.process.pid}/children"
    with open(children, encoding="ascii") as file:  # noqa: PTH123 - the kernel's own file
        for pid in file.read().split():
            with open(f"/proc/{pid}/cmdline", "rb") as command:  # noqa: PTH123 - the same
                if b"nats.conf" in command.read():
                    return int(pid)
    raise AssertionError("The backbone does not run")


def titles(up: Up) -> set[str]:
    tables = [document for document in up.documents if document["type"] == "twins"]
    return {twin["title"] for twin in tables[-1]["twins"]}
