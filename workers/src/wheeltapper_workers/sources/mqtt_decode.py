"""MQTT payloads to columns: many messages at a time, numbers never one by one where they are alike.

Messages that are read in the same way go together. Plain numbers are one cast of a column of bytes, JSON objects one
read of newline-delimited JSON with a fixed schema. Whatever does not fit (a text, an array, broken JSON) is looked at
alone and costs its neighbours nothing but the second look.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json as paj

from wheeltapper_workers.contracts.raw import NO_TIME

Array = npt.NDArray[Any]

_TEXT_LIMIT: Final = 200
_STEP: Final = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d{1,6})\]")
_SCALES: Final = ((1e17, 1), (1e14, 10**3), (1e11, 10**6), (0.0, 10**9))
"""Numbers of this size are nanoseconds, microseconds, milliseconds, seconds since 1970."""
_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,4})?|[-+]?(nan|inf|infinity)", re.IGNORECASE)
_WORDS: Final = {"true": 1.0, "false": 0.0}

Step = str | int


class PathError(ValueError):
    """Text that is no path. Its text says why."""


def parse_path(text: str) -> tuple[Step, ...]:
    """Steps of a path such as ``$.motor.temperature`` or ``$.axes[0].rms``.

    Raises
    ------
    PathError
        If it is none.
    """
    rest, steps = text.removeprefix("$"), list[Step]()
    while rest:
        match = _STEP.match(rest)
        if match is None:
            raise PathError(
                f"{text} is no path at {rest[:20]!r}; write one such as $.motor.temperature or $.axes[0].rms"
            )
        steps.append(match[1] if match[2] is None else int(match[2]))
        rest = rest[match.end() :]
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a payload is read: nowhere in particular (plain), or at a path; and where its time is, if anywhere."""

    path: tuple[Step, ...] | None
    time_path: tuple[Step, ...] | None = None


@dataclass(slots=True)
class Values:
    """What messages say, [n]: number or NaN, time or ``NO_TIME``; texts and arrays by row; rows that say nothing."""

    value: npt.NDArray[np.float64]
    time_ns: npt.NDArray[np.int64]
    text: dict[int, str] = field(default_factory=dict)
    bursts: dict[int, Array] = field(default_factory=dict)
    wrong: set[int] = field(default_factory=set)
    """Rows whose payload could not be read as it should; ``text`` says what was found."""


def decode(payloads: Sequence[bytes], reading: Reading) -> Values:
    """Values of messages that are read alike."""
    values = Values(np.full(len(payloads), np.nan), np.full(len(payloads), NO_TIME))
    if reading.path is None:
        _plain(payloads, values)
    elif not _objects(payloads, reading, values):
        for row, payload in enumerate(payloads):
            _object(payload, row, reading, values)
    return values


def _plain(payloads: Sequence[bytes], values: Values) -> None:
    try:
        values.value[:] = pa.array(payloads, pa.binary()).cast(pa.string()).cast(pa.float64()).to_numpy(False)
    except (pa.ArrowInvalid, ValueError):
        for row, payload in enumerate(payloads):
            _word(payload, row, values)


def _word(payload: bytes, row: int, values: Values) -> None:
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError:
        _say(values, row, f"{len(payload)} bytes that are no text", wrong=True)
        return
    if _NUMBER.fullmatch(text):
        values.value[row] = float(text)
    elif text in _WORDS:
        values.value[row] = _WORDS[text]
    else:
        _say(values, row, text, wrong=not text)


def _objects(payloads: Sequence[bytes], reading: Reading, values: Values) -> bool:
    """All at once, if all are flat enough and say numbers; nothing is changed if not."""
    paths = [path for path in (reading.path, reading.time_path) if path is not None]
    if any(not path or not all(isinstance(step, str) for step in path) for path in paths):
        return False
    # A line break within a message would let it pass for two.
    if any(not payload.startswith(b"{") or b"\n" in payload for payload in payloads):
        return False
    schema = _schema(reading)
    try:
        table = paj.read_json(
            pa.BufferReader(b"\n".join(payloads)),
            read_options=paj.ReadOptions(use_threads=False, block_size=max(2**20, 2 * max(map(len, payloads)))),
            parse_options=paj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return False
    found = _column(table, reading.path or ())
    if len(found) != len(payloads) or found.null_count:
        return False
    if reading.time_path is not None:
        times = _column(table, reading.time_path)
        if times.null_count or not _times(times, values):
            values.time_ns[:] = NO_TIME
            return False
    values.value[:] = found.to_numpy(zero_copy_only=False)
    return True


def _schema(reading: Reading) -> pa.Schema:
    tree: dict[str, Any] = {}
    for path, kind in ((reading.path, pa.float64()), (reading.time_path, pa.string())):
        place = tree
        for step in (path or ())[:-1]:
            place = place.setdefault(str(step), {})
        if path:
            place[str(path[-1])] = kind

    def fields(node: dict[str, Any]) -> list[pa.Field]:
        return [pa.field(k, pa.struct(fields(v)) if isinstance(v, dict) else v) for k, v in node.items()]

    return pa.schema(fields(tree))


def _column(table: pa.Table, path: tuple[Step, ...]) -> pa.Array:
    column = table.column(str(path[0])).combine_chunks()
    for step in path[1:]:
        # A member of an absent object is absent, too.
        column = pa.compute.struct_field(column, str(step))
    return column


def _times(column: pa.Array, values: Values) -> bool:
    try:
        moments = column.cast(pa.timestamp("ns", "UTC"))
    except pa.ArrowInvalid:
        return False
    values.time_ns[:] = moments.view(pa.int64()).to_numpy()
    return True


def _object(payload: bytes, row: int, reading: Reading, values: Values) -> None:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        _say(values, row, f"{_shown(payload)}, which is no JSON", wrong=True)
        return
    found, there = _at(document, reading.path or ())
    if not there:
        _say(values, row, f"JSON without {_text(reading.path or ())}", wrong=True)
        return
    _take(found, row, values)
    if reading.time_path is not None:
        moment, there = _at(document, reading.time_path)
        time_ns = time_of(moment) if there else None
        if time_ns is None:
            _say(values, row, f"no time at {_text(reading.time_path)}", wrong=True)
        else:
            values.time_ns[row] = time_ns


def _take(found: Any, row: int, values: Values) -> None:
    match found:
        case bool() | int() | float():
            try:
                values.value[row] = float(found)
            except OverflowError:
                values.value[row] = np.inf
        case str():
            _say(values, row, found)
        case list() if found and all(isinstance(one, (int, float)) for one in found):
            try:
                values.bursts[row] = np.array(found, np.float64)
            except OverflowError:
                _say(values, row, "an array with a number beyond all bounds", wrong=True)
        case None:
            _say(values, row, "null", wrong=True)
        case _:
            _say(values, row, _shown(json.dumps(found).encode()), wrong=True)


def _at(document: Any, path: tuple[Step, ...]) -> tuple[Any, bool]:
    for step in path:
        if isinstance(step, str):
            if not isinstance(document, dict) or step not in document:
                return None, False
            document = document[step]
        else:
            if not isinstance(document, list) or step >= len(document):
                return None, False
            document = document[step]
    return document, True


def time_of(moment: Any) -> int | None:
    """Nanoseconds since 1970 of an RFC 3339 text, or of a number by its size; None if it is neither."""
    if isinstance(moment, str):
        try:
            column = pa.array([moment]).cast(pa.timestamp("ns", "UTC"))
        except pa.ArrowInvalid:
            return _iso(moment)
        return int(column.view(pa.int64())[0].as_py())
    if isinstance(moment, bool) or not isinstance(moment, (int, float)) or not 0 <= moment < 2**63:
        return None
    scale = next(factor for bound, factor in _SCALES if moment >= bound)
    time_ns = moment * scale if isinstance(moment, int) else round(moment * scale)
    return time_ns if time_ns < 2**63 else None


def _iso(moment: str) -> int | None:
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return None if parsed.tzinfo is None else int(parsed.timestamp() * 1e6) * 1000


def _say(values: Values, row: int, text: str, *, wrong: bool = False) -> None:
    values.text[row] = text[:_TEXT_LIMIT]
    values.value[row] = np.nan
    if wrong:
        values.wrong.add(row)


def _shown(payload: bytes) -> str:
    text = payload[:40].decode("utf-8", "replace")
    return f"{text!r}{' ...' if len(payload) > 40 else ''}"


def _text(path: tuple[Step, ...]) -> str:
    return "$" + "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in path)
