"""Memory that is used again: what the C library does with freed arrays decides a good part of what a step costs.

By default glibc gives the arrays of a block back to the system when they are freed, and each new block faults the same
pages in again. For arrays of some hundred KiB that takes longer than what is computed in them.

What is kept has to be kept once. glibc has up to eight arenas for each core, and Arrow an allocator of its own; what
one of them has freed no other can use. In a process that now and then does something large, such as the merging of
files, each of them would hold on to its part of that.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

import pyarrow as pa

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""Numbers of ``mallopt(3)``."""
_KEPT_BYTES: Final = 64 * 2**20
"""Freed memory that stays with the process at most, in each arena."""
_LARGE_BYTES: Final = 4 * 2**20
"""From here on an array is memory of its own, for which NumPy asks for huge pages, so that it has few faults."""
_ARENAS: Final = 2
"""One for the main thread, and one for all others: they seldom want memory at the same time."""
_VARIABLES: Final = frozenset({"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX"})


def keep_freed() -> None:
    """Keep freed memory within the process. Call it once when a process starts; without glibc it does nothing.

    Who sets one of the variables of ``mallopt(3)`` knows better and is left alone.
    """
    if _VARIABLES & os.environ.keys():
        return
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_ARENA_MAX, _ARENAS)
        pa.set_memory_pool(pa.system_memory_pool())


def give_back() -> None:
    """Give freed memory back to the system, after something that took far more than what comes next.

    It takes some milliseconds, and some more until what is needed is faulted in again. Without glibc it does nothing.
    """
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_libc(name: str) -> Any:
    """A function of the C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None)
