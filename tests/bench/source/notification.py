"""A PublishResponse with data changes, encoded as one NumPy array (OPC UA part 6, 5.2; part 4, 5.14.5)."""

from __future__ import annotations

import struct
import time
from typing import Final

import numpy as np

_TICKS_1970: Final = 116_444_736_000_000_000
"""1970 in ticks of 100 ns since 1601."""
_PUBLISH_RESPONSE, _DATA_CHANGE = 829, 811
_VALUE_SOURCE_SERVER: Final = 0x01 | 0x04 | 0x08
_DOUBLE: Final = 11
ITEM: Final = np.dtype(
    [("handle", "<u4"), ("mask", "u1"), ("kind", "u1"), ("value", "<f8"), ("source", "<i8"), ("server", "<i8")]
)


def ticks(time_ns: np.ndarray | int) -> np.ndarray | int:
    """Ticks of 100 ns since 1601."""
    return time_ns // 100 + _TICKS_1970


def items(handles: np.ndarray, values: np.ndarray, times_ns: np.ndarray) -> bytes:
    """Data changes with both timestamps."""
    made = np.empty(len(handles), ITEM)
    made["handle"], made["mask"], made["kind"] = handles, _VALUE_SOURCE_SERVER, _DOUBLE
    made["value"], made["source"] = values, ticks(times_ns)
    made["server"] = made["source"]
    return made.tobytes()


def response(request: int, subscription: int, sequence: int, changes: bytes, acknowledged: int) -> bytes:
    """Body of a PublishResponse; without changes a keep-alive."""
    now = ticks(time.time_ns())
    parts = [
        struct.pack("<BBH", 1, 0, _PUBLISH_RESPONSE),
        # Header: time, request, good, no diagnostics, no strings, no additional header.
        struct.pack("<qIIBiBBB", now, request, 0, 0, -1, 0, 0, 0),
        struct.pack("<Ii", subscription, -1),
        struct.pack("<BIq", 0, sequence, now),
    ]
    if changes:
        count = len(changes) // ITEM.itemsize
        parts.append(struct.pack("<iBBHBi", 1, 1, 0, _DATA_CHANGE, 1, 4 + len(changes) + 4))
        parts += [struct.pack("<i", count), changes, struct.pack("<i", -1)]
    else:
        parts.append(struct.pack("<i", 0))
    parts += [struct.pack("<i", acknowledged), b"\0\0\0\0" * acknowledged, struct.pack("<i", -1)]
    return b"".join(parts)
