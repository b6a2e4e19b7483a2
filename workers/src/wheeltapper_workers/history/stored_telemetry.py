"""Stored telemetry as the blocks it came in, fast enough to be read again a few hundred times faster than it came.

A row group becomes flat columns once, with the positions of its rows in the order of their blocks: however long they
wait for the rest of a block, they are not looked at again before that is there. What is rare, such as flags of quality,
is only read where there is any.
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
_CHUNKS_AHEAD: Final = 8
"""Row groups of merged files end together: then many chunks are complete at once, and none for a while."""
_SORTED_BY_COUNTING: Final = 2**16
_SPARSE: Final = 8
"""A range of sequences this many times wider than its rows is not counted through one by one."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of a row group by their positions in its columns, in the order of their blocks; names are codes.

    Block ``numbers[i]`` has the rows from ``bounds[i]`` to ``bounds[i + 1]``.
    """

    columns: dict[str, Array]
    rows: I64
    numbers: I64
    bounds: I64

    @classmethod
    def of(cls, columns: dict[str, Array], sequence: I64) -> _Part:
        """All rows of columns, and the block of each."""
        numbers, index, counts = _numbered(sequence)
        # Two bytes are sorted by counting, which is many times faster.
        key = index.astype(np.uint16) if len(counts) <= _SORTED_BY_COUNTING else index
        return cls(columns, np.argsort(key, kind="stable"), numbers, np.cumsum([0, *counts]))

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str, dtype: Any, plain: int) -> Array:
        """A column's values; the plain one throughout if there are no others."""
        return self.columns[name].take(self.rows) if name in self.columns else np.full(len(self), plain, dtype)

    def split(self, before: int) -> tuple[_Part, _Part]:
        """Rows of blocks before a number, and the others."""
        cut = int(np.searchsorted(self.numbers, before))
        row = self.bounds[cut]
        return (
            _Part(self.columns, self.rows[:row], self.numbers[:cut], self.bounds[: cut + 1]),
            _Part(self.columns, self.rows[row:], self.numbers[cut:], self.bounds[cut:] - row),
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
    for chunk in ahead(_Reader().chunks(store, line, last), _CHUNKS_AHEAD):
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
            for bound in (*_cuts(waiting, before), before):
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
        numbers, counts, order = _in_blocks(parts)

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
    return [part for part, _ in pairs if len(part)], [part for _, part in pairs if len(part)]


def _cuts(parts: list[_Part], before: int) -> list[int]:
    """Blocks at which to cut what lies before a number, so that what is worked on at once has a handy size."""
    numbers, counts, _ = _blocks_of([part.split(before)[0] for part in parts])
    last = np.flatnonzero(np.diff(np.cumsum(counts) // _CHUNK_ROWS))
    found: list[int] = numbers[last + 1].tolist()
    return found


def _beyond(table: pa.Table, last: int) -> bool:
    highest: int = pc.max(table["block_sequence"]).as_py() or 0
    return highest > last


def _split(tables: list[pa.Table], before: int) -> tuple[pa.Table, list[pa.Table]]:
    """Rows of blocks before a number, and tables of the others."""
    if not any(_lowest(table) < before for table in tables):
        return pa.table({}), tables
    table = pa.concat_tables(tables)
    complete = pc.less(table["block_sequence"], before)
    ready, waiting = table.filter(complete), table.filter(pc.invert(complete))
    return ready, [waiting] if waiting.num_rows else []


def _lowest(table: pa.Table) -> int:
    found: int = pc.min(table["block_sequence"]).as_py() if table.num_rows else _MOST
    return found


def _numbered(sequence: I64) -> tuple[I64, I64, I64]:
    """Blocks of rows, the position of each row's among them, and how many rows each has."""
    lowest, highest = int(sequence.min(initial=_MOST)), int(sequence.max(initial=0))
    if highest - lowest > _SPARSE * len(sequence):
        return np.unique(sequence, return_inverse=True, return_counts=True)
    index = sequence - lowest
    counts = np.bincount(index)
    numbers = np.flatnonzero(counts)
    if len(numbers) < len(counts):
        index = (np.cumsum(counts > 0) - 1).take(index)
    return numbers + lowest, index, counts[numbers]


def _blocks_of(parts: list[_Part]) -> tuple[I64, I64, list[I64]]:
    """Blocks of all parts together, how many rows each has, and the positions of each part's blocks among them."""
    numbers = np.unique(np.concatenate([part.numbers for part in parts]))
    counts = np.zeros(len(numbers), np.int64)
    places = [np.searchsorted(numbers, part.numbers) for part in parts]
    for part, place in zip(parts, places, strict=True):
        counts[place] += np.diff(part.bounds)
    return numbers, counts, places


def _in_blocks(parts: list[_Part]) -> tuple[I64, I64, I64]:
    """Blocks, how many rows each has, and the positions of the parts' rows in the order of blocks and rows."""
    numbers, counts, places = _blocks_of(parts)
    begins = np.cumsum(counts) - counts
    pairs = zip(parts, places, strict=True)
    begin = np.concatenate([np.repeat(begins[place], np.diff(part.bounds)) for part, place in pairs])
    row = np.concatenate([part.column("block_row", np.int32, 0) for part in parts])
    order = np.full(len(row) + 1, -1)
    order[np.minimum(begin + row, len(row))] = np.arange(len(row))
    if (order[:-1] >= 0).all():
        return numbers, counts, order[:-1]
    return numbers, counts, np.lexsort((row, begin))  # rows are missing or there twice
