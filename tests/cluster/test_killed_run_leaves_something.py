"""A run that was killed leaves processes, namespaces and control groups; the next start must not trip over them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.cgroups import Cgroup
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import required
from tests.cluster.requirements import missing
from tests.cluster.sandbox import Sandbox
from tests.support.waiting import wait

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")

# Leaves its parent, its session and its group, and hears nothing but SIGKILL.
DAEMON = """
import os, signal, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(1000)
"""


@pytest.fixture
def sandbox(tmp_path):
    sandbox = Sandbox("wheeltapper-test-sandbox", tmp_path / "state")
    try:
        sandbox.destroy()
        sandbox.create()
    except (AssertionError, OSError) as error:
        if required():
            raise
        pytest.skip(f"No sandbox can be made here: {error}")
    yield sandbox
    sandbox.destroy()


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def test_processes_that_went_their_own_way_are_ended(sandbox):
    sandbox.start("daemon", sys.executable, "-c", DAEMON)
    # The daemon and the sandbox's first process; those in between have ended.
    wait(lambda: len(sandbox.cgroup.processes()) == 2, 10, "the daemon")
    sandbox.destroy()
    assert sandbox.cgroup.processes() == set()
    assert not sandbox.exists
    assert not sandbox.state.exists()


def test_mounts_and_addresses_stay_inside(sandbox):
    before = mounts()
    sandbox.run("mkdir", "/run/cluster/here")
    sandbox.run("mount", "-t", "tmpfs", "inner", "/run/cluster/here")
    sandbox.run("touch", "/run/cluster/here/file")
    assert mounts() == before
    assert list((sandbox.state / "here").iterdir()) == []
    assert "10.200.0.1" in sandbox.run("ip", "address")
    assert "10.200.0.1" not in subprocess.run(["ip", "address"], capture_output=True, text=True, check=True).stdout


def test_there_is_no_way_out(sandbox):
    links = {line.split()[0] for line in sandbox.run("ip", "-brief", "link").splitlines()}
    assert links - {"lo", "node0"} <= {"ifb0", "ifb1"}  # made by the kernel in every namespace, joined to nothing
    attempt = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 0.3)"
    with socket.create_server(("127.0.0.1", 0)) as ours, pytest.raises(AssertionError, match="ConnectionRefused"):
        sandbox.run(sys.executable, "-c", attempt, str(ours.getsockname()[1]))


def test_another_process_that_took_a_number_is_spared(sandbox):
    with subprocess.Popen(["sleep", "100"]) as stranger:
        Cgroup(sandbox.name)._kill(stranger.pid)
        assert stranger.poll() is None
        stranger.terminate()


def test_start_after_a_kill_begins_anew(cluster):
    """Killed while the kubelet starts: the worst moment, everything is half there. Beside the cluster of this run."""
    second = Cluster("-killed")
    assert not second.sandbox.exists
    code = "from tests.cluster.cluster import Cluster; Cluster('-killed').up(print)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as driver:
        wait((second.state / "log" / "kubelet.log").exists, 100, "the kubelet", lambda: f"{driver.poll()}")
        driver.send_signal(signal.SIGKILL)
    try:
        left = second.sandbox.cgroup.processes()
        assert len(left) >= 6
        second.up(lambda _: None)
        assert not left & second.sandbox.cgroup.processes()
        assert "node" in second.kubectl("get", "nodes", "--output=name")
    finally:
        second.down(lambda _: None)
    assert not second.sandbox.exists
    assert not second.state.exists()
    assert second.name not in mounts()
    assert list(Path("/sys/fs/cgroup").rglob(f"{second.name}*")) == []
