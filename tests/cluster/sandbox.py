"""Network, mounts and processes of one cluster, apart from the machine's: when its processes end, all of it is gone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tests.cluster.cgroups import Cgroup
from tests.support.waiting import wait

# Inside, the state folder is seen here: sockets need short paths, and programs' usual folders lie over the machine's.
INSIDE: Final = Path("/run/cluster")
NODE_ADDRESS: Final = "10.200.0.1"

# The first process of a sandbox. Its mounts are private to it, its network has no link to any other: the bridge only
# carries the node's address, and the default route into it lets programs find that address.
_HOLDER: Final = f"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0755 run /run
mkdir /run/cluster /run/lock /run/netns
mount --bind "$STATE" {INSIDE}
mount --bind {INSIDE}/lib /var/lib
mount --bind {INSIDE}/log /var/log
mount --make-rshared /
ip link set lo up
ip link add node0 type bridge
ip address add {NODE_ADDRESS}/24 dev node0
ip link set node0 up
ip route add default dev node0
echo ready
exec sleep infinity
"""


class Sandbox:
    """Namespaces and control group under one name, with a state folder that is thrown away with them."""

    def __init__(self, name: str, state: Path) -> None:
        self.name, self.state = name, state
        self.cgroup = Cgroup(name)
        self._holder_file = state / "holder"
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def exists(self) -> bool:
        """Whether any process of it runs."""
        return bool(self.cgroup.processes())

    def create(self, *groups: str) -> None:
        """Make it anew, with these control groups in its own; the state folder is empty afterwards."""
        for folder in ("lib", "log", "programs"):
            (self.state / folder).mkdir(parents=True)
        self.cgroup.create(*groups)
        log = self.state / "log" / "holder.log"
        with log.open("wb") as output:
            holder = subprocess.Popen(
                self.cgroup.entering(["unshare", "--net", "--mount", "sh", "-c", _HOLDER]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | {"STATE": str(self.state)},
                start_new_session=True,
            )
        self._started.append(holder)
        self._holder_file.write_text(str(holder.pid))
        wait(lambda: holder.poll() is not None or "ready" in log.read_text(), 10, "the sandbox", log.read_text)
        assert holder.poll() is None, f"The sandbox cannot be made: {log.read_text()}"

    def start(self, name: str, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a process inside that outlives this one; its output goes to a file named after it."""
        return self._spawn(name, self._inside(command))

    def kill(self, program: str) -> None:
        """Kill the processes inside that run a program, and wait until they are gone."""
        running = [pid for pid in self.cgroup.processes() if _program_of(pid) == program]
        assert running, f"{program} does not run"
        for pid in running:
            os.kill(pid, signal.SIGKILL)
        wait(lambda: all(map(_has_ended, running)), 30, f"the end of {program}")

    def run(self, *command: str | Path, stdin: IO[bytes] | None = None, seconds: float = 60) -> str:
        """Standard output of a command that runs inside.

        Raises
        ------
        AssertionError
            When the command fails; it says what it said.
        """
        inside = self.cgroup.entering(self._inside(command))
        done = subprocess.run(
            inside, stdin=stdin or subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
        output = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{command[0]} failed: {output}{done.stderr.decode(errors='replace')}"
        return output

    def forward(self, name: str, target: str, port: int = 0) -> int:
        """Loopback port of this machine through which an address of the inside is reached.

        The socket is made out here and listened on from in there: a socket belongs to the network in which it was made.
        """
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
            relay = [sys.executable, str(Path(__file__).parent / "relay.py"), str(listener.fileno()), target]
            self._spawn(f"relay-{name}", [*self._nsenter("--net"), *relay], listener.fileno())
            return int(listener.getsockname()[1])

    @contextmanager
    def forwarded(self, name: str, target: str) -> Iterator[int]:
        """The same for as long as it is used, in a sandbox that outlives the run."""
        port = self.forward(name, target)
        relay = self._started[-1]
        try:
            yield port
        finally:
            relay.terminate()
            relay.wait(30)
            self._started.remove(relay)

    def log(self, name: str, lines: int = 15) -> str:
        """Last lines of what a process said."""
        file = self.state / "log" / f"{name}.log"
        said = file.read_text(errors="replace").splitlines() if file.exists() else []
        return "\n".join(said[-lines:])

    def destroy(self) -> None:
        """End all processes, with which namespaces and mounts go, and remove what is left of it."""
        self.cgroup.remove()
        while self._started:
            self._started.pop().wait()
        if self.state.exists():
            shutil.rmtree(self.state)

    def _inside(self, command: Sequence[str | Path]) -> list[str]:
        return [*self._nsenter("--net", "--mount", "--wdns=/"), *map(str, command)]

    def _nsenter(self, *options: str) -> list[str]:
        # Not "ip netns exec": it mounts /sys anew, and the kubelet no longer finds the control groups.
        holder = int(self._holder_file.read_text())
        assert holder in self.cgroup.processes(), f"The sandbox {self.name} has ended: {self.log('holder')}"
        return ["nsenter", f"--target={holder}", *options]

    def _spawn(self, name: str, command: list[str], *keep: int) -> subprocess.Popen[bytes]:
        with (self.state / "log" / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                self.cgroup.entering(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=keep,
            )
        self._started.append(process)
        return process


def _program_of(pid: int) -> str:
    """Path of a process's program as its command line says; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]
    except OSError:
        return ""


def _has_ended(pid: int) -> bool:
    """Whether nothing of a process is left but its exit code: before that it may still hold its ports."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}
