"""How much a gateway gives to whom."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

_FORGET: Final = 1000
"""Askers that are remembered."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds, each of which keeps one person from taking everybody's gateway."""

    commands: int = 2
    """Run at the same time; others wait."""
    waiting: int = 16
    """Requests in the house, those that run among them."""
    seconds: float = 300.0
    """A command may run."""
    idle_seconds: float = 30.0
    """A client may take to send its request, to wait for its turn, or to take the next part of the answer."""
    memory_bytes: int = 1024 * 2**20
    """Memory that a command may take for its data."""
    written_bytes: int = 2 * 2**30
    """Bytes that a command may write to be sent."""
    request_bytes: int = 2**20
    a_minute: int = 120
    """Requests of one person."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Limits:
        """Limits of the environment of a process, where it has some."""
        default = cls()

        def number(name: str, otherwise: int) -> int:
            return int(environment.get(f"WHEELTAPPER_GATEWAY_{name}", otherwise))

        return cls(
            commands=number("COMMANDS", default.commands),
            waiting=number("WAITING", default.waiting),
            seconds=number("SECONDS", int(default.seconds)),
            idle_seconds=number("IDLE_SECONDS", int(default.idle_seconds)),
            memory_bytes=number("MEMORY_MIB", default.memory_bytes // 2**20) * 2**20,
            written_bytes=number("WRITTEN_MIB", default.written_bytes // 2**20) * 2**20,
            a_minute=number("A_MINUTE", default.a_minute),
        )


class Rate:
    """Requests of each asker, of which only so many a minute are let through; a few at once always.

    Parameters
    ----------
    a_minute
        What refills in a minute, and what there is at first.
    """

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = float(a_minute), clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def takes(self, asker: str) -> bool:
        """Whether one more request of this asker is within the rate."""
        now = self._clock()
        left, then = self._left.pop(asker, (self._most, now))
        left = min(self._most, left + (now - then) * self._most / 60)
        self._left[asker] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > _FORGET:
            self._left.popitem(last=False)
        return left >= 1
