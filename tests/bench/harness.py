"""How a benchmark measures and what it says.

A peer is measured in the same run as we are, in turn (ours, peer, ours, peer ...), because a shared machine is never
the same twice. That both give equal values is shown before a clock is started. Medians are compared, and all runs are
told.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any, Literal

from tests.bench import machine


class CannotRunError(Exception):
    """A benchmark lacks something on this machine; the message says what and how to get it."""


class UnequalError(Exception):
    """Ours and the peer, or what was sent and what was stored, are not equal: there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of every benchmark."""

    quick: bool = False
    """A small run that shows whether the benchmark works; its figures are not kept."""
    repeat: int | None = None
    """Runs of each side; each benchmark has its own number."""

    def rounds(self, usual: int) -> int:
        """Runs of each side."""
        return self.repeat or (min(usual, 3) if self.quick else usual)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should be, and what it is."""

    what: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None
    aim: float | None = None
    """The better value hoped for."""
    turns: Sequence[float] = ()
    """The value in each turn, for what is small against the noise: then the interval of their median has to decide."""

    @property
    def met(self) -> bool | None:
        """Whether the value is good enough; None where the runs cannot tell."""
        if not self.turns:
            return self._good(self.value)
        between = median_between(self.turns)
        if between is None:
            return None
        low, high = map(self._good, between)
        return low if low == high else None

    def _good(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def document(self) -> dict[str, Any]:
        """For the JSON line."""
        bound = f"at least {self.least:,g}" if self.least is not None else f"at most {self.most:,g}"
        hoped = "" if self.aim is None else f", hoped for {self.aim:,g}"
        between = median_between(self.turns)
        return {
            "what": self.what,
            "goal": bound + hoped,
            "value": rounded(self.value),
            "unit": self.unit,
            "between": [rounded(one) for one in between] if between is not None else None,
            "met": self.met,
        }


@dataclass(slots=True)
class Result:
    """What a benchmark found. ``ours`` and ``peer`` hold every run in the unit."""

    name: str
    title: str
    unit: str
    ours: list[float]
    checked: str
    """Which values were compared, and how."""
    better: Literal["higher", "lower"] = "higher"
    peer: list[float] = field(default_factory=list)
    peer_name: str = ""
    goals: list[Goal] = field(default_factory=list)
    processes: list[dict[str, Any]] = field(default_factory=list)
    """CPU and memory by process, see :class:`tests.bench.machine.Meter`."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer, by the medians."""
        if not self.peer:
            return None
        ours, peer = median(self.ours), median(self.peer)
        return ours / peer if self.better == "higher" else peer / ours

    def document(self, surroundings: machine.Surroundings) -> dict[str, Any]:
        """The JSON line."""
        return {
            "bench": self.name,
            "title": self.title,
            "unit": self.unit,
            "better": self.better,
            "ours": spread(self.ours),
            "peer": {"name": self.peer_name, **spread(self.peer)} if self.peer else None,
            "ratio": rounded(self.ratio) if self.ratio is not None else None,
            "goals": [goal.document() for goal in self.goals],
            "checked": self.checked,
            "processes": self.processes,
            "details": self.details,
            "machine": machine.document(surroundings),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def spread(runs: Sequence[float]) -> dict[str, Any]:
    """Smallest, middle and largest of the runs, and all of them."""
    return {
        "min": rounded(min(runs)),
        "median": rounded(median(runs)),
        "max": rounded(max(runs)),
        "runs": [rounded(run) for run in runs],
    }


def rounded(value: float) -> float:
    """Four significant digits: a shared machine gives no more."""
    return float(f"{value:.4g}")


def seconds(work: Callable[[], object]) -> float:
    """Time that one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compared(*values: tuple[str, object, object]) -> None:
    """Refuse to measure what is not equal: what it is, what was found, and what should have been.

    Raises
    ------
    UnequalError
        With the first that differ.
    """
    for what, found, wanted in values:
        if found != wanted:
            raise UnequalError(f"{what} should be {wanted}, and is {found}")


def median_between(values: Sequence[float]) -> tuple[float, float] | None:
    """Where the median lies with at least 95 % confidence; None if there are fewer than six values, too few to say.

    By order statistics, which ask nothing of the distribution (the sign test turned round).
    """
    ordered, count = sorted(values), len(values)
    outside = 0
    while 2 * sum(math.comb(count, one) for one in range(outside + 1)) <= 0.05 * 2**count:
        outside += 1
    return (ordered[outside - 1], ordered[count - outside]) if outside else None


def in_turn(ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each call, ours and the peer's in turn, after one of each that does not count."""
    ours()
    peer()
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(seconds(ours))
        theirs.append(seconds(peer))
    return mine, theirs
