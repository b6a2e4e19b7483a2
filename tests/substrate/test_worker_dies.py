"""A worker that dies comes back, not too fast, and how it died is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tests.support.waiting import until
from wheeltapper_edge.command import Command
from wheeltapper_edge.substrates.processes.supervisor import FIRST_DELAY_S, LONGEST_DELAY_S, next_delay

UP = "import signal; print('up', flush=True); signal.pause()"


def test_delay_doubles_up_to_a_bound_and_is_spread():
    middle = [next_delay(n, 0.5) for n in range(1, 9)]
    assert middle == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert next_delay(1, 0.0) < FIRST_DELAY_S < next_delay(1, 1.0)
    assert max(next_delay(n, 1.0) for n in (7, 100, 10**6)) == LONGEST_DELAY_S


async def test_killed_worker_comes_back_after_the_first_delay(bench):
    await bench.run("worker", UP)
    await bench.hears("worker", "up")
    first = bench.state("worker").pid
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)
    await bench.hears("worker", "up", times=2)
    assert time.monotonic() - killed > 0.7 * FIRST_DELAY_S
    state = bench.state("worker")
    assert state.pid not in (None, first)
    assert (state.restarts, state.failures, state.last_exit) == (1, 1, "signal SIGKILL")


async def test_crash_loop_does_not_spin(bench):
    await bench.run("worker", "print('wrong config', flush=True); raise SystemExit(3)")
    started = time.monotonic()
    await until(lambda: bench.state("worker").failures == 3, 10)
    # The delays before the second and third start, at their shortest.
    assert time.monotonic() - started > next_delay(1, 0) + next_delay(2, 0)
    assert bench.state("worker").last_exit == "exit code 3"
    assert bench.state("worker").last_words == "wrong config"


async def test_words_before_the_end_stay_after_the_restart(bench):
    marker = bench.folder / "second"
    script = f"""
import pathlib, signal
marker = pathlib.Path({str(marker)!r})
if marker.exists():
    print("up", flush=True)
    signal.pause()
marker.touch()
print("could not read the file", flush=True)
"""
    await bench.run("worker", script)
    await bench.hears("worker", "up")
    assert bench.state("worker").last_line == "up"
    assert bench.state("worker").last_words == "could not read the file"
    assert bench.state("worker").last_exit == "exit code 0"


async def test_real_time_signal_does_not_end_the_supervision(bench):
    number = signal.SIGRTMIN + 3
    await bench.run("worker", UP)
    await bench.hears("worker", "up")
    os.kill(bench.state("worker").pid, number)
    await bench.hears("worker", "up", times=2)
    assert bench.state("worker").last_exit == f"signal {int(number)}"


async def test_missing_program_is_named(bench):
    await bench.supervisor.apply([Command("worker", ("/nowhere/program",), ())])
    await until(lambda: bench.state("worker").failures, 10)
    assert bench.state("worker").last_exit == "exit code 127"
    assert bench.state("worker").last_words == "/nowhere/program cannot be run: No such file or directory"


async def test_restart_does_not_wait_for_what_the_dead_worker_has_started(bench):
    """A child of the worker in a session of its own holds the output pipe open for as long as it likes."""
    script = f"""
import signal, subprocess, sys
command = [{sys.executable!r}, "-c", "import time; time.sleep(60)"]
print(subprocess.Popen(command, start_new_session=True).pid, flush=True)
print("up", flush=True)
signal.pause()
"""
    await bench.run("worker", script)
    try:
        await bench.hears("worker", "up")
        os.kill(bench.state("worker").pid, signal.SIGKILL)
        await bench.hears("worker", "up", times=2)
    finally:
        await bench.supervisor.stop(grace_s=0.2)
        for line in bench.said("worker"):
            if line.isdigit():
                os.kill(int(line), signal.SIGKILL)


async def test_worker_without_process_to_be_had_is_tried_again(bench, monkeypatch):
    real, tries = subprocess.Popen, []

    def scarce(*args, **options):
        tries.append(1)
        if len(tries) == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", scarce)
    await bench.run("worker", UP)
    await bench.hears("worker", "up")
    assert bench.state("worker").last_exit == "could not be started: Resource temporarily unavailable"
