"""Stored telemetry as the blocks it came in, fast enough to be read again a few hundred times faster than it came.

A row group becomes flat columns once, with the positions of its rows in the order of their blocks. So which of them
belong to the blocks that are complete is a search, and each row is copied once, straight to its place in its block. What
is rare, such as flags of quality, is only read where there is any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.history.rows import block_of
from wheeltapper_workers.history.stored import Group, ahead, groups_of
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime import blocks
from wheeltapper_workers.runtime.blocks import Block

I64 = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

_NAMES: Final = ("asset", "signal", "text")
_TIMES: Final = ("source", "received")
_NUMBERS: Final[dict[str, Any]] = {
    "ordinal": np.uint32,
    "value": np.float64,
    "quality": np.uint16,
    "status": np.uint32,
}
_COLUMNS: Final = (
    *("block_sequence", "block_row", "sample_rate", "samples", *_NAMES, *_NUMBERS),
    *(f"{name}_{part}" for name in _TIMES for part in ("time", "nanos")),
)
_BURSTS: Final = frozenset({"sample_rate", "samples"})
_PLAIN: Final[dict[str, int | None]] = {
    **dict.fromkeys(("ordinal", "quality", "status", "source_nanos", "received_nanos"), 0),
    **dict.fromkeys(("text", *_BURSTS)),
}
"""What these columns mostly hold and nothing else."""
_NO_NAME: Final = -1
_MOST: Final = np.iinfo(np.int64).max
_CHUNK_ROWS: Final = 262_144
_SAMPLED: Final = 1024
"""Of so many rows one is looked at to see where a chunk may end."""
_SPARSE: Final = 8
"""A range of sequences this many times wider than its rows is not counted through one by one."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of a row group by their positions in its columns, in the order of their blocks; names are codes."""

    columns: dict[str, Array]
    rows: Array
    sequence: I64
    """Block of each row."""

    @classmethod
    def of(cls, columns: dict[str, Array], sequence: I64) -> _Part:
        """All rows of columns."""
        lowest, highest = int(sequence.min(initial=_MOST)), int(sequence.max(initial=0))
        # Two bytes are sorted by counting, which is many times faster.
        key = (sequence - lowest).astype(np.uint16) if highest - lowest < 2**16 else sequence
        rows = np.argsort(key, kind="stable")
        return cls(columns, rows, sequence.take(rows))

    def column(self, name: str, dtype: Any, plain: int) -> Array:
        """A column's values; the plain one throughout if there are no others."""
        return self.columns[name].take(self.rows) if name in self.columns else np.full(len(self.rows), plain, dtype)

    def split(self, before: int) -> tuple[_Part, _Part]:
        """Rows of blocks before a number, and the others."""
        cut = int(np.searchsorted(self.sequence, before))
        return (
            _Part(self.columns, self.rows[:cut], self.sequence[:cut]),
            _Part(self.columns, self.rows[cut:], self.sequence[cut:]),
        )


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Plain samples of whole blocks in their order, the blocks' numbers and sizes, and bursts of other blocks."""

    batch: pa.RecordBatch | None
    numbers: I64
    counts: I64
    bursts: pa.Table

    def blocks(self) -> Iterator[Block]:
        """Blocks in order: each is a slice of the batch."""
        of_bursts = np.asarray(self.bursts["block_sequence"]) if self.bursts.num_rows else np.empty(0, np.int64)
        begins = dict(zip(self.numbers.tolist(), (np.cumsum(self.counts) - self.counts).tolist(), strict=True))
        counts = dict(zip(self.numbers.tolist(), self.counts.tolist(), strict=True))
        for number in sorted({*begins, *np.unique(of_bursts).tolist()}):
            if number in begins and self.batch is not None:
                batch = self.batch.slice(begins[number], counts[number])
            else:
                batch = block_of(self.bursts.filter(pa.array(of_bursts == number)))
            yield Block(Stage.TELEMETRY.stream, number, batch)


def telemetry_in_order(store: Store, line: Line, last: int | None = None) -> Iterator[Block]:
    """Telemetry blocks of a line up to ``last``, with the rows and the values that were published."""
    for chunk in ahead(_Reader().chunks(store, line, last)):
        yield from chunk.blocks()


class _Reader:
    """Reads row groups, and numbers the names it meets."""

    def __init__(self) -> None:
        self._codes: dict[str, dict[str, int]] = {name: {} for name in _NAMES}

    def chunks(self, store: Store, line: Line, last: int | None) -> Iterator[_Chunk]:
        """Chunks of whole blocks that follow one another."""
        groups = groups_of(store, line, "raw", last)
        waiting: list[_Part] = []
        bursts: list[pa.Table] = []
        for group, following in zip(groups, [*groups[1:], None], strict=True):
            table = group.read(_needed(group), _NAMES)
            if last is not None:
                table = table.filter(pc.less_equal(table["block_sequence"], last)) if _beyond(table, last) else table
            if "sample_rate" in table.column_names:
                of_bursts = table["sample_rate"].is_valid()
                bursts.append(table.filter(of_bursts))
                table = table.filter(pc.invert(of_bursts))
            waiting.append(self._part(table))
            before = following.lowest if following else _MOST
            for bound in (*_bounds(waiting, before), before):
                ready, waiting = _divided(waiting, bound)
                ready_bursts, bursts = _split(bursts, bound)
                if ready or ready_bursts.num_rows:
                    yield self._chunk(ready, ready_bursts)

    def _part(self, table: pa.Table) -> _Part:
        """Columns of a row group without what is only needed for bursts; those that are plain are not among them."""
        there = set(table.column_names)
        columns: dict[str, Array] = {"block_row": np.asarray(table["block_row"])}
        columns |= {name: self._numbered(table, name) for name in _NAMES if name in there}
        for name in there & _NUMBERS.keys():
            columns[name] = np.asarray(table[name]).astype(_NUMBERS[name], copy=False)
        for name in _TIMES:
            columns[name] = np.asarray(table[f"{name}_time"].combine_chunks().view(pa.int64())) * 1000
            if f"{name}_nanos" in there:
                columns[name] += np.asarray(table[f"{name}_nanos"])
        return _Part.of(columns, np.asarray(table["block_sequence"]))

    def _numbered(self, table: pa.Table, name: str) -> npt.NDArray[np.int32]:
        column = table[name].unify_dictionaries().combine_chunks()
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if column.null_count == len(column):
            return np.full(len(column), _NO_NAME, np.int32)
        codes = self._codes[name]
        lookup = [codes.setdefault(text, len(codes)) for text in column.dictionary.to_pylist()]
        indices = column.indices.fill_null(-1) if column.null_count else column.indices
        return np.array([*lookup, _NO_NAME], np.int32).take(np.asarray(indices))

    def _chunk(self, parts: list[_Part], bursts: pa.Table) -> _Chunk:
        empty = np.empty(0, np.int64)
        if not parts:
            return _Chunk(None, empty, empty, bursts)
        sequence = np.concatenate([part.sequence for part in parts])
        row = np.concatenate([part.column("block_row", np.int32, 0) for part in parts])
        numbers, counts, order = _in_blocks(sequence, row)

        def placed(name: str, dtype: Any, plain: int = 0) -> Array:
            if not any(name in part.columns for part in parts):
                return np.full(len(order), plain, dtype)
            return np.concatenate([part.column(name, dtype, plain) for part in parts]).take(order)

        columns: dict[str, Any] = {name: placed(name, dtype) for name, dtype in _NUMBERS.items()}
        columns |= {f"{name}_time": blocks.encode_times(placed(name, np.int64)) for name in _TIMES}
        columns |= {name: self._names(name, placed(name, np.int32, _NO_NAME)) for name in _NAMES}
        return _Chunk(blocks.batch_of(blocks.SCHEMAS[Stage.TELEMETRY], columns), numbers, counts, bursts)

    def _names(self, name: str, codes: Array) -> pa.DictionaryArray:
        """Names of codes; of texts, which may be any number, only those that occur are listed."""
        names, null = list(self._codes[name]), codes == _NO_NAME
        if name == "text":
            if null.all():
                return blocks.encode_names([], codes)
            used, inverse = np.unique(codes, return_inverse=True)
            names = [names[code] for code in used.tolist() if code >= 0]
            codes = inverse - np.count_nonzero(used < 0)
        return pa.DictionaryArray.from_arrays(
            pa.array(codes.astype(np.int32, copy=False), mask=null if null.any() else None),
            pa.array(names, pa.string()),
        )


def _needed(group: Group) -> list[str]:
    """Columns that tell more than that all rows are plain; of bursts all."""
    alike = group.alike(_PLAIN)
    plain = {name for name, value in alike.items() if value == _PLAIN[name]}
    return [name for name in _COLUMNS if name not in plain] if plain >= _BURSTS else list(_COLUMNS)


def _divided(parts: list[_Part], before: int) -> tuple[list[_Part], list[_Part]]:
    """Parts of blocks before a number, and of the others."""
    pairs = [part.split(before) for part in parts]
    return [part for part, _ in pairs if len(part.rows)], [part for _, part in pairs if len(part.rows)]


def _bounds(parts: list[_Part], before: int) -> list[int]:
    """Blocks at which to cut what lies before a number, into chunks small enough for a processor's cache."""
    some = np.concatenate([part.sequence[::_SAMPLED] for part in parts])
    found: list[int] = np.unique(np.sort(some[some < before])[:: _CHUNK_ROWS // _SAMPLED]).tolist()
    return found


def _beyond(table: pa.Table, last: int) -> bool:
    highest: int = pc.max(table["block_sequence"]).as_py() or 0
    return highest > last


def _split(tables: list[pa.Table], before: int) -> tuple[pa.Table, list[pa.Table]]:
    """Rows of blocks before a number, and tables of the others."""
    if not tables:
        return pa.table({}), []
    table = pa.concat_tables(tables)
    complete = pc.less(table["block_sequence"], before)
    ready, waiting = table.filter(complete), table.filter(pc.invert(complete))
    return ready, [waiting] if waiting.num_rows else []


def _in_blocks(sequence: I64, row: Array) -> tuple[I64, I64, I64]:
    """Blocks, how many rows each has, and the positions of the rows in the order of blocks and rows."""
    lowest = int(sequence.min())
    if int(sequence.max()) - lowest <= _SPARSE * len(sequence):
        index = sequence - lowest
        every = np.bincount(index)
        numbers = np.flatnonzero(every)
        counts = every[numbers]
        begins = (np.cumsum(every) - every)[index]
        numbers = numbers + lowest
    else:
        numbers, index, counts = np.unique(sequence, return_inverse=True, return_counts=True)
        begins = (np.cumsum(counts) - counts)[index]
    place = np.minimum(begins + row, len(row))
    order = np.full(len(row) + 1, -1)
    order[place] = np.arange(len(row))
    order = order[:-1]
    if (order < 0).any():  # rows are missing or there twice; then only sorting puts the others in order
        order = np.lexsort((row, sequence))
    return numbers, counts, order
