"""The control group of one cluster: whatever its processes start stays in it, so ending it leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path


class Cgroup:
    """One group of the same name in every hierarchy; the kubelet makes those of its pods below it."""

    def __init__(self, name: str) -> None:
        self.name = name
        hierarchies = _hierarchies()
        self._folders = [hierarchy / name for hierarchy in hierarchies]
        # With version 1 a process has one group in each hierarchy; this is the one by which it is found again.
        tracking = [hierarchy for hierarchy in hierarchies if hierarchy.name == "pids"] or hierarchies
        self._tracked = tracking[0] / name

    def create(self, *inner: str) -> None:
        """Make the group, and others in it; its processes are in a leaf, since version 2 allows them nowhere else."""
        for folder in self._folders:
            folder.mkdir(exist_ok=True)
            for name in inner:
                (folder / name).mkdir(exist_ok=True)
        (self._tracked / "system").mkdir(exist_ok=True)

    def entering(self, command: Sequence[str]) -> list[str]:
        """The command, made to move into the group before it begins."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._tracked / "system" / "cgroup.procs"), *command]

    def processes(self) -> set[int]:
        """Ids of all processes of the group and of the groups below it."""
        found: set[int] = set()
        for file in self._tracked.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # the group went in the meantime
                found |= {int(line) for line in file.read_text().split()}
        return found

    def remove(self, seconds: float = 30.0) -> None:
        """Kill all processes of the group, then remove it and all groups below it.

        Raises
        ------
        TimeoutError
            When a process does not die.
        """
        deadline = time.monotonic() + seconds
        while running := self.processes():
            for process in running:
                self._kill(process)
            if time.monotonic() > deadline:
                raise TimeoutError(f"Processes {sorted(running)} of {self.name} do not die")
            time.sleep(0.02)
        for folder in self._folders:
            _remove_groups(folder, deadline)

    def _kill(self, process: int) -> None:
        # Its number may be another's by now. A handle keeps it from being given anew while the group is read.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            handle = os.pidfd_open(process)
            try:
                if f"/{self.name}/" in Path(f"/proc/{process}/cgroup").read_text():
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)


def _hierarchies() -> list[Path]:
    """Where control groups are mounted: one place with version 2, one for each controller with version 1."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [Path(mount[1]) for mount in mounts if mount[2] in {"cgroup", "cgroup2"}]
    return list(dict.fromkeys(found))


def _remove_groups(folder: Path, deadline: float) -> None:
    """Remove groups from the innermost out; one that a dying process still holds is tried again."""
    while folder.exists():
        for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                inner.rmdir()
        with contextlib.suppress(OSError):
            folder.rmdir()
        if time.monotonic() > deadline:
            raise TimeoutError(f"The control group {folder} cannot be removed")
        time.sleep(0.01 if folder.exists() else 0)
