"""A state folder belongs to one process at a time; everybody can see to whom, and nobody believes a dead one."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from wheeltapper_edge.substrates.processes import ProcessSubstrate, SubstrateError
from wheeltapper_edge.substrates.processes.files import RunLock, running

HOLDS = """
import sys, time
from pathlib import Path
from wheeltapper_edge.substrates.processes.files import RunLock
lock = RunLock(Path(sys.argv[1]))
if len(sys.argv) > 2:
    lock.tell({"backbone": "nats://127.0.0.1:1"})
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    started = []

    def hold(*arguments: str) -> int:
        process = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path, *arguments], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        return process.pid

    yield hold
    for process in started:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.mark.parametrize("told", [(), ("told",)], ids=["still starting", "running"])
def test_second_is_refused_and_told_who_runs(tmp_path, holder, told):
    pid = holder(*told)
    with pytest.raises(SubstrateError, match=rf"Already running in {tmp_path} \(process {pid}\).*--state"):
        ProcessSubstrate(tmp_path)


def test_only_what_runs_is_shown(tmp_path, holder):
    assert running(tmp_path) == {}
    assert running(tmp_path / "nowhere") == {}
    pid = holder("told")
    assert running(tmp_path) == {"pid": pid, "backbone": "nats://127.0.0.1:1"}
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert (tmp_path / "run.json").exists()
    assert running(tmp_path) == {}


def test_what_a_killed_one_told_is_not_taken_for_the_next(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"pid": 1, "backbone": "nats://127.0.0.1:1"}))
    lock = RunLock(tmp_path)
    assert running(tmp_path) == {}  # it has not told yet
    lock.tell({"backbone": "nats://127.0.0.1:2"})
    assert running(tmp_path)["backbone"] == "nats://127.0.0.1:2"
    lock.release()
    assert running(tmp_path) == {}
    assert not (tmp_path / "run.json").exists()


def test_half_written_file_is_nobody(tmp_path):
    lock = RunLock(tmp_path)
    (tmp_path / "run.json").write_text('{"pid": 1')
    assert running(tmp_path) == {}
    lock.release()


def test_looking_does_not_keep_another_from_starting(tmp_path):
    """``running`` holds the lock for a moment."""
    RunLock(tmp_path).release()
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)

        def let_go() -> None:
            time.sleep(0.1)
            fcntl.flock(file, fcntl.LOCK_UN)

        thread = threading.Thread(target=let_go)
        thread.start()
        RunLock(tmp_path).release()
        thread.join()


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SubstrateError, match=r"state folder .*/file/state cannot be written .*--state"):
        ProcessSubstrate(tmp_path / "file" / "state")


def test_log_folder_that_cannot_be_written_is_named_and_the_lock_given_back(tmp_path):
    (tmp_path / "logs").touch()
    with pytest.raises(SubstrateError, match="/logs cannot be written: File exists"):
        ProcessSubstrate(tmp_path)
    RunLock(tmp_path).release()
