"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], T], seconds: float = 20.0, what: str = "the condition") -> T:
    """Result of the condition as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds} s"
        await asyncio.sleep(0.02)
    return result


def wait(condition: Callable[[], T], seconds: float, what: str, tell: Callable[[], str] = lambda: "") -> T:
    """The same without an event loop; ``tell`` says what is seen instead when it does not come about."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds} s. {tell()}"
        time.sleep(0.05)
    return result
