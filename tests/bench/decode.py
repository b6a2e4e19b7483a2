"""One publication of 5,000 data changes to columns: ours against the decoding of asyncua."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from tests.bench.harness import Options, Result, compared, in_turn
from tests.bench.source import notification
from wheeltapper_workers.sources.opcua_decode import data_changes

NAME: Final = "decode"
_CHANGES: Final = 5_000
_FLOAT: Final = 10


def run(options: Options) -> Result:
    """Changes a second; all doubles, and doubles and floats in turn."""
    cases: dict[str, dict[str, Any]] = {}
    for name, body in {"doubles": _doubles(), "doubles and floats in turn": _mixed()}.items():
        _compare(body)
        mine, theirs = in_turn(lambda b=body: _ours(b), lambda b=body: _theirs(b), options.rounds(9))
        cases[name] = {"ours": [_CHANGES * 10 / one for one in mine], "peer": [_CHANGES / one for one in theirs]}
    first = cases["doubles"]
    mixed = cases["doubles and floats in turn"]
    return Result(
        NAME,
        f"OPC UA publication of {_CHANGES:,} data changes to columns",
        "changes/s",
        first["ours"],
        "handles, values and source times are equal, for both cases",
        peer=first["peer"],
        peer_name="asyncua's decoding to objects",
        details={
            "mixed": {
                "ours": round(median(mixed["ours"])),
                "peer": round(median(mixed["peer"])),
                "ratio": round(median(mixed["ours"]) / median(mixed["peer"]), 1),
            }
        },
    )


def _ours(body: bytes) -> None:
    for _ in range(10):
        data_changes(body, 0)


def _theirs(body: bytes) -> Any:
    return struct_from_binary(ua.DataChangeNotification, Buffer(body)).MonitoredItems


def _compare(body: bytes) -> None:
    ours, theirs = data_changes(body, 0), _theirs(body)
    compared(
        ("Handles", ours.handle.tolist(), [one.ClientHandle for one in theirs]),
        ("Values", ours.value.tolist(), [one.Value.Value.Value for one in theirs]),
        ("Times", [ns // 1000 for ns in ours.time_ns.tolist()], [_us(one.Value.SourceTimestamp) for one in theirs]),
    )


def _us(moment: Any) -> int:
    return round(moment.timestamp() * 1_000_000)


def _body(changes: bytes) -> bytes:
    return np.int32(_CHANGES).tobytes() + changes + np.int32(-1).tobytes()


def _columns() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    at = np.arange(_CHANGES)
    return at, 10 + at % 1024 / 1024, 1_700_000_000 * 10**9 + at * 10**6


def _doubles() -> bytes:
    return _body(notification.items(*_columns()))


def _mixed() -> bytes:
    handles, values, times = _columns()
    item = notification.ITEM
    single = np.dtype([(name, "<f4" if name == "value" else item[name]) for name in item.names or ()])
    pair = np.dtype([("double", item), ("float", single)])
    made = np.empty(_CHANGES // 2, pair)
    for place, (name, kind) in enumerate({"double": 11, "float": _FLOAT}.items()):
        own = made[name]
        own["handle"], own["value"] = handles[place::2], values[place::2]
        own["mask"], own["kind"] = 0x0D, kind
        own["source"] = own["server"] = notification.ticks(times[place::2])
    return _body(made.tobytes())
