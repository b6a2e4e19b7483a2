"""OPC UA binary encoding of a publication (part 6, 5.2; part 4, 5.14.5), straight to columns.

The library decodes every sample into half a dozen objects; here a run of samples of one layout is one NumPy view of the
bytes that came in, timestamps included. What is no plain number (text, arrays, structures) is given to the library.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import nodeid_from_binary, variant_from_binary
from asyncua.ua.uaerrors import UaError

from wheeltapper_workers.contracts.raw import NO_TIME

Array = npt.NDArray[Any]

_EPOCH_TICKS: Final = 116_444_736_000_000_000
"""1970 in ticks of 100 ns since 1601."""
_LAST_TICKS: Final = np.iinfo(np.int64).max // 100
_TEXT_LIMIT: Final = 1024

_NUMBERS: Final = {
    ua.VariantType.Boolean: "u1",
    ua.VariantType.SByte: "i1",
    ua.VariantType.Byte: "u1",
    ua.VariantType.Int16: "<i2",
    ua.VariantType.UInt16: "<u2",
    ua.VariantType.Int32: "<i4",
    ua.VariantType.UInt32: "<u4",
    ua.VariantType.Int64: "<i8",
    ua.VariantType.UInt64: "<u8",
    ua.VariantType.Float: "<f4",
    ua.VariantType.Double: "<f8",
}
_KINDS: Final = {kind.value: code for kind, code in _NUMBERS.items()}
_ARRAY: Final = 0x80
"""Bit of a variant's encoding byte: an array follows, its length first (part 6, 5.2.2.16)."""
_STRING: Final = ua.VariantType.String.value
_NO_VALUE: Final = -1

_VALUE, _STATUS, _SOURCE, _SERVER, _SOURCE_PICO, _SERVER_PICO = (1 << bit for bit in range(6))
_RUN: Final = 16
"""Rows looked at first when a run begins; doubled as long as it lasts, so that a look costs what it yields."""


class MalformedError(ValueError):
    """Bytes that are no publication."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Data changes in their order, [n]."""

    handle: npt.NDArray[np.uint32]
    value: npt.NDArray[np.float64]
    status: npt.NDArray[np.uint32]
    time_ns: npt.NDArray[np.int64]
    """Source time, or the server's where that is missing, or ``NO_TIME``."""
    text: dict[int, str]
    bursts: dict[int, Array]
    """Arrays of numbers."""

    def __len__(self) -> int:
        return len(self.handle)


@dataclass(frozen=True, slots=True)
class Publication:
    """One publish response, or one message published again."""

    subscription: int
    sequence: int
    changes: Changes
    status: int | None = None
    """The server's word on the subscription, if it has one."""
    empty: bool = True
    """Keep-alive: the sequence number is that of the next message."""
    available: tuple[int, ...] = ()
    """Messages the server still keeps."""


@dataclass(slots=True)
class _Columns:
    """Columns being filled."""

    handle: npt.NDArray[np.uint32]
    value: npt.NDArray[np.float64]
    status: npt.NDArray[np.uint32]
    source: npt.NDArray[np.int64]
    source_pico: npt.NDArray[np.uint16]
    server: npt.NDArray[np.int64]
    server_pico: npt.NDArray[np.uint16]
    text: dict[int, str] = field(default_factory=dict)
    bursts: dict[int, Array] = field(default_factory=dict)
    lead: int = 4
    """Bytes of the handle in front of each value; history has none."""


def publication(body: bytes) -> Publication:
    """Publication of the body of a PublishResponse after its header.

    Raises
    ------
    MalformedError
        If the bytes are none.
    """
    try:
        subscription, count = struct.unpack_from("<Ii", body)
        available = struct.unpack_from(f"<{max(count, 0)}I", body, 8)
        return _message(body, 8 + 4 * len(available) + 1, subscription, available)
    except (struct.error, ValueError, IndexError, UaError) as error:
        raise MalformedError(f"The server's publication cannot be decoded: {error}") from error


def republication(body: bytes, subscription: int) -> Publication:
    """Publication of the body of a RepublishResponse after its header.

    Raises
    ------
    MalformedError
        If the bytes are none.
    """
    try:
        return _message(body, 0, subscription, ())
    except (struct.error, ValueError, IndexError, UaError) as error:
        raise MalformedError(f"The server's publication cannot be decoded: {error}") from error


@dataclass(frozen=True, slots=True)
class Past:
    """What a server's history says of one node."""

    status: int
    continuation: bytes | None
    """To be sent back for the rest."""
    values: Changes
    """Handles are 0."""


def history(body: bytes) -> list[Past]:
    """Results of the body of a HistoryReadResponse after its header (part 4, 5.10.3), one a node.

    Raises
    ------
    MalformedError
        If the bytes are none.
    """
    try:
        (count,) = struct.unpack_from("<i", body)
        found, position = [], 4
        for _ in range(max(count, 0)):
            status, length = struct.unpack_from("<Ii", body, position)
            position += 8 + max(length, 0)
            continuation = body[position - length : position] if length > 0 else None
            kind, start, position = _extension(body, position)
            known = kind == ObjectIds.HistoryData_Encoding_DefaultBinary
            found.append(Past(status, continuation, data_changes(body, start, lead=0) if known else _joined([])))
    except (struct.error, ValueError, IndexError, UaError) as error:
        raise MalformedError(f"The server's history cannot be decoded: {error}") from error
    return found


def _message(body: bytes, position: int, subscription: int, available: tuple[int, ...]) -> Publication:
    sequence, _, notifications = struct.unpack_from("<Iqi", body, position)
    position += 16
    changes, status = [], None
    for _ in range(max(notifications, 0)):
        kind, start, position = _extension(body, position)
        if kind == ObjectIds.DataChangeNotification_Encoding_DefaultBinary:
            changes.append(data_changes(body, start))
        elif kind == ObjectIds.StatusChangeNotification_Encoding_DefaultBinary:
            (status,) = struct.unpack_from("<I", body, start)
    joined = changes[0] if len(changes) == 1 else _joined(changes)
    return Publication(subscription, sequence, joined, status, notifications <= 0, available)


def _extension(body: bytes, position: int) -> tuple[int, int, int]:
    """Type id of an extension object, where its body starts and where it ends."""
    buffer = Buffer(body, position)
    node = nodeid_from_binary(buffer)
    start = buffer.cur_pos
    encoding = body[start]
    if encoding == 0:
        return 0, start + 1, start + 1
    (length,) = struct.unpack_from("<i", body, start + 1)
    end = start + 5 + max(length, 0)
    if end > len(body):
        raise ValueError("an extension object is longer than the message")
    numeric = node.NamespaceIndex == 0 and isinstance(node.Identifier, int)
    return (int(node.Identifier) if numeric else 0), start + 5, end


def _joined(parts: list[Changes]) -> Changes:
    offsets = np.cumsum([0, *(len(part) for part in parts)])
    return Changes(
        handle=np.concatenate([np.empty(0, np.uint32), *(part.handle for part in parts)]),
        value=np.concatenate([np.empty(0, np.float64), *(part.value for part in parts)]),
        status=np.concatenate([np.empty(0, np.uint32), *(part.status for part in parts)]),
        time_ns=np.concatenate([np.empty(0, np.int64), *(part.time_ns for part in parts)]),
        text={int(at) + row: one for at, part in zip(offsets, parts, strict=False) for row, one in part.text.items()},
        bursts={int(at) + row: a for at, part in zip(offsets, parts, strict=False) for row, a in part.bursts.items()},
    )


def data_changes(body: bytes, position: int, lead: int = 4) -> Changes:
    """Columns of the DataChangeNotification that starts at ``position``; without handles, of the HistoryData.

    Raises
    ------
    ValueError, struct.error, IndexError, UaError
        If the bytes are none.
    """
    (count,) = struct.unpack_from("<i", body, position)
    position += 4
    count = max(count, 0)
    if count * (lead + 1) > len(body) - position:
        raise ValueError(f"{count} data changes do not fit into {len(body)} bytes")
    columns = _Columns(
        handle=np.zeros(count, np.uint32),
        value=np.full(count, np.nan),
        status=np.zeros(count, np.uint32),
        source=np.zeros(count, np.int64),
        source_pico=np.zeros(count, np.uint16),
        server=np.zeros(count, np.int64),
        server_pico=np.zeros(count, np.uint16),
        lead=lead,
    )
    _fill(body, position, count, columns)
    time_ns = _times(columns.source, columns.source_pico)
    server_ns = _times(columns.server, columns.server_pico)
    time_ns = np.where(time_ns == NO_TIME, server_ns, time_ns)
    return Changes(columns.handle, columns.value, columns.status, time_ns, columns.text, columns.bursts)


def _fill(body: bytes, position: int, count: int, columns: _Columns) -> None:
    scattered: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    row, lead = 0, columns.lead
    while row < count:
        mask = body[position + lead]
        kind = body[position + lead + 1] if mask & _VALUE else _NO_VALUE
        if mask & _VALUE and kind not in _KINDS:
            position = _other(body, position, row, columns)
            row += 1
            continue
        layout = _layout(mask, kind, lead)
        following = position + layout.itemsize + lead
        if body[following : following + 2] != body[position + lead : position + lead + 2]:
            rows, starts = scattered.setdefault((mask, kind), ([], []))
            rows.append(row)
            starts.append(position)
            done = 1
        else:
            done = _run(body, position, row, count - row, mask, kind, columns)
        row += done
        position += done * layout.itemsize
    if position > len(body):
        raise ValueError("a data change is longer than the message")
    for (mask, kind), (rows, starts) in scattered.items():
        _gather(body, _layout(mask, kind, lead), np.array(rows), np.array(starts), columns)


@lru_cache(maxsize=256)
def _layout(mask: int, kind: int, lead: int) -> np.dtype[Any]:
    """Bytes of one data change with these parts present and this type of number."""
    fields: list[tuple[str, str]] = [("handle", "<u4"), ("mask", "u1")] if lead else [("mask", "u1")]
    if mask & _VALUE:
        fields += [("kind", "u1"), ("value", _KINDS[kind])]
    for bit, name, code in (
        (_STATUS, "status", "<u4"),
        (_SOURCE, "source", "<i8"),
        (_SOURCE_PICO, "source_pico", "<u2"),
        (_SERVER, "server", "<i8"),
        (_SERVER_PICO, "server_pico", "<u2"),
    ):
        if mask & bit:
            fields.append((name, code))
    return np.dtype(fields)


def _run(body: bytes, position: int, row: int, left: int, mask: int, kind: int, columns: _Columns) -> int:
    """Take rows as long as their layout is the same. A row that begins right and looks right ends right."""
    layout = _layout(mask, kind, columns.lead)
    done, look = 0, _RUN
    while done < left:
        start = position + done * layout.itemsize
        take = min(look, left - done, (len(body) - start) // layout.itemsize)
        view = np.frombuffer(body, layout, take, start)
        same = view["mask"] == mask
        if kind != _NO_VALUE:
            same &= view["kind"] == kind
        length = take if same.all() else int(np.argmin(same))
        _copy(view[:length], slice(row + done, row + done + length), columns)
        done += length
        if length < look:
            break
        look *= 2
    if not done:
        raise ValueError("a data change is longer than the message")
    return done


def _gather(body: bytes, layout: np.dtype[Any], rows: Array, starts: Array, columns: _Columns) -> None:
    if starts[-1] + layout.itemsize > len(body):
        raise ValueError("a data change is longer than the message")
    data = np.frombuffer(body, np.uint8)
    taken = data[starts[:, None] + np.arange(layout.itemsize)]
    _copy(np.ascontiguousarray(taken).view(layout)[:, 0], rows, columns)


def _copy(view: Array, rows: slice | Array, columns: _Columns) -> None:
    names = view.dtype.names or ()
    for name in ("handle", "value", "status", "source", "source_pico", "server", "server_pico"):
        if name in names:
            getattr(columns, name)[rows] = view[name]


def _other(body: bytes, position: int, row: int, columns: _Columns) -> int:
    """One data change whose value is no plain number; the position after it."""
    if columns.lead:
        (columns.handle[row],) = struct.unpack_from("<I", body, position)
    mask = body[position + columns.lead]
    position += columns.lead + 1
    if body[position] == _STRING:
        (length,) = struct.unpack_from("<i", body, position + 1)
        position += 5
        if length > len(body) - position:
            raise ValueError("a string is longer than the message")
        if length >= 0:
            columns.text[row] = body[position : position + length].decode("utf-8", "replace")[:_TEXT_LIMIT]
        position += max(length, 0)
    elif body[position] - _ARRAY in _KINDS:
        position = _burst(body, position, row, columns)
    else:
        buffer = Buffer(body, position)
        said = _describe(variant_from_binary(buffer))
        if said is not None:
            columns.text[row] = said[:_TEXT_LIMIT]
        position = buffer.cur_pos
    for bit, name, code, size in (
        (_STATUS, "status", "<I", 4),
        (_SOURCE, "source", "<q", 8),
        (_SOURCE_PICO, "source_pico", "<H", 2),
        (_SERVER, "server", "<q", 8),
        (_SERVER_PICO, "server_pico", "<H", 2),
    ):
        if mask & bit:
            (getattr(columns, name)[row],) = struct.unpack_from(code, body, position)
            position += size
    return position


def _burst(body: bytes, position: int, row: int, columns: _Columns) -> int:
    """An array of numbers, as a copy of its bytes; the position after it. An absent one is no value."""
    kind = np.dtype(_KINDS[body[position] - _ARRAY])
    length: int = struct.unpack_from("<i", body, position + 1)[0]
    position += 5
    if length * kind.itemsize > len(body) - position:
        raise ValueError("an array is longer than the message")
    if length >= 0:
        columns.bursts[row] = np.frombuffer(body, kind, length, position).copy()
    return position + max(length, 0) * kind.itemsize


def _describe(variant: ua.Variant) -> str | None:
    value = variant.Value
    if value is None:
        return None
    if isinstance(value, list):
        return f"array of {len(value)}"
    if isinstance(value, ua.LocalizedText):
        return value.Text
    return f"{variant.VariantType.name} {value}"


def _times(ticks: npt.NDArray[np.int64], pico: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """Nanoseconds since 1970 of ticks of 100 ns since 1601, exactly; 0 is no time (part 6, 5.2.2.5).

    Times before 1677 and after 2262 do not fit into nanoseconds and become the bound. ``pico`` counts 10 ps.
    """
    since = np.clip(ticks - _EPOCH_TICKS, -_LAST_TICKS, _LAST_TICKS)
    return np.where(ticks <= 0, NO_TIME, since * 100 + pico // 100)
