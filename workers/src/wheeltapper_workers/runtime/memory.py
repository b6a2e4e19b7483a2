"""Memory that is used again: what the C library does with freed arrays decides a good part of what a step costs.

By default glibc gives the arrays of a block back to the system when they are freed, and each new block faults the same
pages in again. For arrays of some hundred KiB that takes longer than what is computed in them.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Numbers of ``mallopt(3)``."""
_KEPT_BYTES: Final = 64 * 2**20
"""Freed memory that stays with the process at most."""
_LARGE_BYTES: Final = 4 * 2**20
"""From here on an array is memory of its own, for which NumPy asks for huge pages, so that it has few faults."""


def keep_freed() -> None:
    """Keep freed memory within the process. Call it once when a process starts; without glibc it does nothing.

    Who sets ``MALLOC_TRIM_THRESHOLD_`` or ``MALLOC_MMAP_THRESHOLD_`` knows better and is left alone.
    """
    if {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys():
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
