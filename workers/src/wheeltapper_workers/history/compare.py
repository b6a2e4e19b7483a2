"""Stored rows and rows made again, compared bit by bit.

NaN is equal to NaN and to null, which is how the tables keep it; 0.0 is not equal to -0.0. Where other software or
another processor made the stored rows, numbers are compared within a stated tolerance instead, and what hangs on their
last bits, the digest of a learned baseline, is not compared.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.fields import Model

Bools = npt.NDArray[np.bool_]

RELATIVE: Final = 1e-9
ABSOLUTE: Final = 1e-12
_NOT_COMPARED: Final = frozenset({"plant", "class", "day", "published_time", "trace", "revision"})
_BITS_IN_A_DIGEST: Final = frozenset({"baseline_digest"})
_UNTOLD: Final = "none"


class Difference(Model):
    """The first place where a stored row and the row made again are not the same."""

    asset: str
    failure_model: str = ""
    window_end: str
    column: str
    """Empty if the whole row is on one side only."""
    stored: str
    replayed: str
    sequence: int
    """Stream sequence of the stored block; 0 if none is stored."""


@dataclass(slots=True)
class Tally:
    """Rows of a hop: how many there were on either side, how many agree, and the first that do not."""

    compared: int = 0
    equal: int = 0
    first: Difference | None = None

    def add(self, other: Tally) -> None:
        """Count what followed."""
        self.compared += other.compared
        self.equal += other.equal
        self.first = self.first or other.first


def compare_rows(stored: pa.Table, made: pa.Table, keys: Sequence[str], *, exact: bool) -> Tally:
    """Compare rows by their keys, the first of which is ``block_sequence``."""
    stored, made = (table.sort_by([(key, "ascending") for key in keys]).combine_chunks() for table in (stored, made))
    alone: list[Difference] = []
    if not all(stored[key].equals(made[key]) for key in keys):
        stored, made, alone = _matched(stored, made, keys)
    different = np.zeros(stored.num_rows, bool)
    columns = []
    for name in dict.fromkeys((*stored.column_names, *made.column_names)):
        if name in _NOT_COMPARED or (not exact and name in _BITS_IN_A_DIGEST):
            continue
        apart = differs(column_of(stored, name), column_of(made, name), exact=exact)
        if apart.any():
            columns.append((name, apart))
            different |= apart
    if columns:
        row = int(np.flatnonzero(different)[0])
        name = next(name for name, apart in columns if apart[row])
        alone.append(_difference(stored, row, name, _text(stored, name, row), _text(made, name, row)))
    count = stored.num_rows + len(alone) - bool(columns)
    first = min(alone, key=lambda one: one.sequence, default=None)
    return Tally(count, int((~different).sum()), first)


def compare_events(stored: Iterable[tuple[int, str]], made: Iterable[str], *, exact: bool) -> Tally:
    """Compare alert events, as JSON, by id and content.

    Parameters
    ----------
    stored
        Stream sequence and document of each.
    """
    before = {document["id"]: (sequence, document) for sequence, text in stored if (document := json.loads(text))}
    after = {document["id"]: document for text in made if (document := json.loads(text))}
    tally = Tally()
    for name in sorted(before.keys() | after.keys(), key=lambda name: before.get(name, (0, None))[0]):
        sequence, old = before.get(name, (0, None))
        new = after.get(name)
        tally.compared += 1
        if old is None or new is None:
            there = "the event" if old else "no event"
            found = "", there, "no event" if old else "the event"
        else:
            paths = [path for path in _paths(old, new, exact=exact) if _matters(path, exact=exact)]
            if not paths:
                tally.equal += 1
                continue
            found = paths[0]
        alert = (old or new or {})["data"]
        tally.first = tally.first or Difference(
            asset=alert["asset"],
            failure_model=alert["failureModel"],
            window_end=(old or new or {})["time"],
            column=found[0],
            stored=found[1],
            replayed=found[2],
            sequence=sequence,
        )
    return tally


def _matters(path: tuple[str, str, str], *, exact: bool) -> bool:
    """Whether a difference is one: a trace id is of the run, not of the data."""
    name = path[0]
    if name.endswith("lineage.traceId"):
        return False
    return exact or not (name.startswith("data.lineage.software") or name.endswith("baselineDigest"))


def _paths(old: Any, new: Any, path: str = "", *, exact: bool) -> Iterable[tuple[str, str, str]]:
    """Places in two JSON values that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _paths(old.get(key), new.get(key), f"{path}.{key}" if path else key, exact=exact)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for position, pair in enumerate(zip(old, new, strict=True)):
            yield from _paths(*pair, f"{path}[{position}]", exact=exact)
    elif not _same(old, new, exact=exact):
        yield path, repr(old), repr(new)


def _same(old: Any, new: Any, *, exact: bool) -> bool:
    if not exact and isinstance(old, float) and isinstance(new, float):
        return bool(np.isclose(old, new, rtol=RELATIVE, atol=ABSOLUTE))
    return repr(old) == repr(new)


def _matched(stored: pa.Table, made: pa.Table, keys: Sequence[str]) -> tuple[pa.Table, pa.Table, list[Difference]]:
    """Rows that both sides have, and the others as differences."""
    left, right = _keys(stored, keys), _keys(made, keys)
    there, here = set(left), set(right)
    alone = [_difference(stored, row, "", "the row", "no row") for row, key in enumerate(left) if key not in here] + [
        _difference(made, row, "", "no row", "the row") for row, key in enumerate(right) if key not in there
    ]
    return (
        stored.filter(pa.array([key in here for key in left], pa.bool_())),
        made.filter(pa.array([key in there for key in right], pa.bool_())),
        alone,
    )


def _keys(table: pa.Table, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    """Key of every row; a row that is there twice is another one the second time."""
    columns = [
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in (table[key] for key in keys)
    ]
    seen: Counter[tuple[Any, ...]] = Counter()
    numbered = []
    for key in zip(*columns, strict=True):
        numbered.append((*key, seen[key]))
        seen[key] += 1
    return numbered


def _difference(table: pa.Table, row: int, column: str, stored: str, replayed: str) -> Difference:
    model = table["failure_model"][row].as_py() if "failure_model" in table.column_names else ""
    end = table["window_end"][row].as_py().isoformat().replace("+00:00", "Z")
    return Difference(
        asset=table["asset"][row].as_py(),
        failure_model=model,
        window_end=end,
        column=column,
        stored=stored,
        replayed=replayed,
        sequence=table["block_sequence"][row].as_py(),
    )


def column_of(table: pa.Table, name: str) -> pa.Array | None:
    """A column in one piece; None where the table does not have it."""
    if name not in table.column_names:
        return None
    column = table[name].combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def differs(old: pa.Array | None, new: pa.Array | None, *, exact: bool) -> Bools:
    """Rows in which two columns are not the same; a column that is not there is null."""
    if old is None:
        return _known(new)
    if new is None:
        return _known(old)
    if pa.types.is_floating(old.type):
        return ~_equal_numbers(_floats(old), _floats(new), exact=exact)
    if pa.types.is_list(old.type) and pa.types.is_floating(old.type.value_type):
        return _lists_differ(old, new, exact=exact)
    if old.equals(new):
        return np.zeros(len(old), bool)
    pairs = zip(old.to_pylist(), new.to_pylist(), strict=True)
    return np.array([left != right for left, right in pairs], bool)


def _known(column: pa.Array) -> Bools:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)


def _lists_differ(old: pa.ListArray, new: pa.ListArray, *, exact: bool) -> Bools:
    lengths = [np.asarray(pc.list_value_length(column).fill_null(0)) for column in (old, new)]
    apart: Bools = lengths[0] != lengths[1]
    if not apart.any():
        same = _equal_numbers(_floats(old.flatten()), _floats(new.flatten()), exact=exact)
        row = np.repeat(np.arange(len(old)), lengths[0])
        apart[row[~same]] = True
    return apart


def _floats(column: pa.Array) -> npt.NDArray[np.float64]:
    """Numbers, null as NaN."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _equal_numbers(old: npt.NDArray[np.float64], new: npt.NDArray[np.float64], *, exact: bool) -> Bools:
    unknown: Bools = np.isnan(old) & np.isnan(new)
    if exact:
        same: Bools = np.ascontiguousarray(old).view(np.int64) == np.ascontiguousarray(new).view(np.int64)
    else:
        same = np.isclose(old, new, rtol=RELATIVE, atol=ABSOLUTE)
    return unknown | same


def _text(table: pa.Table, name: str, row: int) -> str:
    value = table[name][row].as_py() if name in table.column_names else None
    return _UNTOLD if value is None else repr(value) if isinstance(value, float | list) else str(value)
