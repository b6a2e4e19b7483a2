"""However it ends, nothing runs on; and ending takes a bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.waiting import until
from wheeltapper_edge.substrates.processes.supervisor import Supervisor

STOPS = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"stopped\\n"), os._exit(0)))
os.write(1, b"up\\n")
while True:
    signal.pause()
"""
DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""
GRANDCHILD = f"""
import signal, subprocess, sys
print(subprocess.Popen([{sys.executable!r}, "-c", "import time; time.sleep(60)"]).pid, flush=True)
signal.pause()
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def running_with(text: str) -> list[str]:
    """Command lines of processes that have a text in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().decode(errors="replace")
            found += [line] if text in line else []
    return found


def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE)


async def test_killed_supervisor_takes_workers_and_backbone_along(tmp_path):
    main = """
import asyncio, json, sys
from pathlib import Path
from tests.support.plans import deployment, tenant_plan
from wheeltapper_edge.substrates.processes import ProcessSubstrate

async def main():
    substrate = ProcessSubstrate(Path(sys.argv[1]))
    await substrate.start([tenant_plan()])
    await substrate.apply([deployment("one", "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()")])
    while any(state.pid is None for state in substrate.status().values()):
        await asyncio.sleep(0.02)
    print(json.dumps([state.pid for state in substrate.status().values()]), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    supervisor = start(main, str(tmp_path))
    try:
        assert supervisor.stdout is not None
        pids = json.loads(await asyncio.to_thread(supervisor.stdout.readline))
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
    finally:
        supervisor.kill()
        supervisor.wait(10)
        supervisor.stdout.close()
    await until(lambda: not any(alive(pid) for pid in pids), 5, "the end of all children")


async def test_children_of_a_killed_worker_end_with_it(bench):
    await bench.run("worker", GRANDCHILD)
    await until(lambda: bench.said("worker"), 10)
    grandchild = int(bench.said("worker")[0])
    os.kill(bench.state("worker").pid, signal.SIGKILL)
    await until(lambda: not alive(grandchild), 5)


async def test_stop_goes_by_order(bench):
    order = []
    supervisor = Supervisor(bench.folder / "ordered", lambda name, line: order.append((name, line)))
    names = {"backbone": 1000, "store": 20, "source": 0, "other-source": 0, "analyse": 10}
    await supervisor.apply([bench.command(name, STOPS, number) for name, number in names.items()])
    await until(lambda: len(order) == len(names), 10)
    order.clear()
    await supervisor.stop()
    assert sorted(order[:2]) == [("other-source", "stopped"), ("source", "stopped")]
    assert order[2:] == [("analyse", "stopped"), ("store", "stopped"), ("backbone", "stopped")]


async def test_slow_stopper_is_killed(bench):
    await bench.run("worker", DEAF)
    await bench.hears("worker", "up")
    pid, started = bench.state("worker").pid, time.monotonic()
    await bench.supervisor.stop(grace_s=0.3)
    assert 0.3 <= time.monotonic() - started < 2
    assert not alive(pid)


async def test_many_slow_stoppers_together_take_a_bounded_time(bench):
    await bench.supervisor.apply([bench.command(f"deaf-{n}", DEAF, n) for n in range(4)])
    for n in range(4):
        await bench.hears(f"deaf-{n}", "up")
    started = time.monotonic()
    await bench.supervisor.stop(grace_s=0.8, total_s=1.0)
    assert time.monotonic() - started < 2  # and not four times 0.8 s
    assert not bench.supervisor.status()


async def test_stop_during_back_off_returns_at_once(bench):
    await bench.run("worker", "raise SystemExit(1)")
    await until(lambda: bench.state("worker").failures == 2, 10)  # now at least 0.75 s lie before the next start
    started = time.monotonic()
    await bench.supervisor.stop()
    assert time.monotonic() - started < 0.4


async def test_stop_right_after_the_start_leaves_nothing(bench):
    script = f"{DEAF}# {bench.folder}"
    await bench.run("worker", script)
    await asyncio.sleep(0)  # the supervision has begun, the process has not
    await bench.supervisor.stop(grace_s=0.3)
    assert not running_with(script)


async def test_failed_supervision_does_not_keep_the_others_running(bench, monkeypatch):
    supervisor = Supervisor(bench.folder / "failing")
    with monkeypatch.context() as patch:
        patch.setattr("wheeltapper_edge.substrates.processes.supervisor.open_pipe", None)  # calling it is a TypeError
        await supervisor.apply([bench.command("bad", STOPS)])
        await asyncio.sleep(0)
    await supervisor.apply([bench.command("bad", STOPS), bench.command("good", STOPS, 1)])
    good = await until(lambda: supervisor.status()["good"].last_line and supervisor.status()["good"].pid, 10)
    await supervisor.stop()
    assert not alive(good)


async def test_changed_plan_disturbs_only_the_changed(bench):
    await bench.supervisor.apply([bench.command(name, STOPS) for name in ("same", "changed", "gone")])
    for name in ("same", "changed", "gone"):
        await bench.hears(name, "up")
    before = {name: bench.state(name).pid for name in ("same", "changed", "gone")}
    changed = bench.command("changed", STOPS, env=(("LEVEL", "2"),))
    await bench.supervisor.apply([bench.command("same", STOPS), changed, bench.command("new", STOPS)])
    await bench.hears("changed", "up", times=2)
    await bench.hears("new", "up")
    assert set(bench.supervisor.status()) == {"same", "changed", "new"}
    assert bench.state("same").pid == before["same"]
    assert bench.state("changed").pid != before["changed"]
    assert bench.said("gone")[-1] == "stopped"
    assert bench.state("changed").restarts == 0
