"""What a benchmark says of the machine, and what each process takes of it, read from ``/proc``."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any, Final

_LIBRARIES: Final = (
    "numpy",
    "scipy",
    "pyarrow",
    "onnxruntime",
    "asyncua",
    "paho-mqtt",
    "nats-py",
    "deltalake",
    "duckdb",
)
_TICK: Final = os.sysconf("SC_CLK_TCK")
_MIB: Final = 2**20


def document(surroundings: Surroundings) -> dict[str, Any]:
    """The machine in neutral words: no name, no maker."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memoryGiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "shared": True,
        **surroundings.found(),
        "system": platform.system(),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in _LIBRARIES}},
    }


class Surroundings:
    """What else ran while a benchmark did, from its making on."""

    def __init__(self) -> None:
        self._load, self._busy, self._own = os.getloadavg()[0], _busy_seconds(), _own_seconds()
        self._started = time.monotonic()

    def found(self) -> dict[str, float]:
        """Load average before and after, and the cores that other processes took meanwhile."""
        others = _busy_seconds() - self._busy - (_own_seconds() - self._own)
        return {
            "loadBefore": round(self._load, 2),
            "loadAfter": round(os.getloadavg()[0], 2),
            "coresOfOthers": round(max(0.0, others / (time.monotonic() - self._started)), 2),
        }


def _busy_seconds() -> float:
    """CPU time of everything on the machine, what its host took away included."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK


def _own_seconds() -> float:
    """CPU time of this process and of its descendants that have ended."""
    return sum(os.times()[:4])


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, without its children."""
    # The command's name stands in brackets and may hold blanks; the fields are counted from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_mib(pid: int) -> tuple[float, float]:
    """Resident memory of a process now, and the most it ever was."""
    lines = dict(
        line.partition(":")[::2] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return tuple(int(lines[name].split()[0]) * 1024 / _MIB for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


class Meter:
    """CPU and memory of processes between :meth:`start` and :meth:`stop`.

    Parameters
    ----------
    processes
        Process ids by the names they are told under.
    """

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes = processes
        self._before: dict[str, float] = {}
        self._started = 0.0

    def start(self) -> None:
        """Begin."""
        self._before = {name: cpu_seconds(pid) for name, pid in self._processes.items()}
        self._started = time.monotonic()

    def stop(self, seconds: float | None = None) -> list[dict[str, Any]]:
        """By process: name, cores (CPU seconds a second), CPU seconds, and memory in MiB.

        ``seconds`` is how long the work came in, where its last part was done later.
        """
        elapsed = seconds or time.monotonic() - self._started
        found = []
        for name, pid in self._processes.items():
            used = cpu_seconds(pid) - self._before[name]
            now, most = resident_mib(pid)
            found.append(
                {
                    "name": name,
                    "cores": round(used / elapsed, 3),
                    "cpuSeconds": round(used, 2),
                    "residentMiB": round(now),
                    "mostResidentMiB": round(most),
                }
            )
        return found
