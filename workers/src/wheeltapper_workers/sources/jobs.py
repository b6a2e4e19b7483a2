"""Jobs that run side by side and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_one_fails(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs side by side until one fails; the others are ended and the first failure is raised as it is."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        await ended(*tasks)


async def ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait until they are through.

    More than once if need be: before Python 3.12 ``asyncio.wait_for``, which the library uses, forgets a cancellation
    that comes together with a result.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.2)
    for task in tasks:
        if not task.cancelled():
            task.exception()
