"""Blocks: columnar batches as Arrow, and their way on and off the wire.

Columns are declared in :mod:`wheeltapper_api.wire`. Strings that repeat (assets, signals, modes) are dictionary
encoded, so that a worker turns each distinct one into an index once a block and never looks at a string a sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.wire import (
    FEATURE_COLUMNS,
    GAP_COLUMNS,
    SCORE_COLUMNS,
    TELEMETRY_COLUMNS,
    WAVEFORM_COLUMNS,
    Columns,
    Stage,
)

Array = npt.NDArray[Any]

TIMESTAMP: Final = pa.timestamp("ns", tz="UTC")
_TYPES: Final[Mapping[str, pa.DataType]] = {
    "dictionary": pa.dictionary(pa.int32(), pa.utf8()),
    "timestamp": TIMESTAMP,
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "floats": pa.list_(pa.float64()),
    "uint16s": pa.list_(pa.uint16()),
}


def schema_of(columns: Columns) -> pa.Schema:
    """Arrow schema of declared columns."""
    return pa.schema([pa.field(name, _TYPES[kind]) for name, kind in columns])


SCHEMAS: Final[Mapping[Stage, pa.Schema]] = {
    Stage.TELEMETRY: schema_of(TELEMETRY_COLUMNS),
    Stage.FEATURES: schema_of(FEATURE_COLUMNS),
    Stage.SCORES: schema_of(SCORE_COLUMNS),
    Stage.GAPS: schema_of(GAP_COLUMNS),
}


WAVEFORMS: Final = schema_of(WAVEFORM_COLUMNS)
"""Schema of the other sort of block in the telemetry stream."""


def is_waveform(batch: pa.RecordBatch) -> bool:
    """Whether a telemetry block holds bursts."""
    return bool(batch.schema.equals(WAVEFORMS, check_metadata=False))


@dataclass(frozen=True, slots=True)
class Block:
    """A batch as a stream holds it. ``stream`` and ``sequence`` are its identity."""

    stream: str
    sequence: int
    batch: pa.RecordBatch
    trace: str = ""
    """W3C ``traceparent`` of the span that published it."""
    generation: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time, as recorded in the stream: the only way in which it enters a step."""

    stream: str
    sequence: int
    time_ns: int
    generation: str = ""
    learned: bytes = b""
    """Baselines for the config of the generation, learned from what is stored."""


Item = Block | Tick


@dataclass(frozen=True, slots=True)
class Codes:
    """A dictionary-encoded column: ``names[codes[i]]`` is row i; code -1 is null."""

    names: tuple[str, ...]
    codes: npt.NDArray[np.int32]

    def to_index(self, index: Mapping[str, int]) -> npt.NDArray[np.int64]:
        """Position of every row's name in ``index``, -1 where it is not known or null."""
        lookup = np.array([*(index.get(name, -1) for name in self.names), -1], dtype=np.int64)
        return lookup.take(self.codes)  # many times faster than an index where codes are of 32 bits

    def take(self, rows: npt.NDArray[np.int64]) -> Codes:
        """Rows by position."""
        return Codes(self.names, self.codes[rows])


class Positions:
    """Positions of names, for columns of which nearly every block has the same dictionary: the last one is remembered.

    Parameters
    ----------
    index
        Position of each name.
    """

    def __init__(self, index: Mapping[str, int]) -> None:
        self._index = index
        self._dictionary: pa.Array = pa.array([], pa.utf8())
        self._lookup = np.array([-1])

    def of_rows(self, batch: pa.RecordBatch, column: str) -> npt.NDArray[np.int64]:
        """Position of every row's name, -1 where it is not known or null."""
        encoded = batch.column(column)
        if not encoded.dictionary.equals(self._dictionary):
            self._dictionary = encoded.dictionary
            self._lookup = np.array([*(self._index.get(name, -1) for name in encoded.dictionary.to_pylist()), -1])
        return self._lookup.take(_codes(encoded))


def codes(batch: pa.RecordBatch, column: str) -> Codes:
    """Names and codes of a dictionary column."""
    encoded = batch.column(column)
    return Codes(tuple(encoded.dictionary.to_pylist()), _codes(encoded))


def _codes(encoded: pa.DictionaryArray) -> npt.NDArray[np.int32]:
    indices = encoded.indices
    if indices.null_count == len(indices):
        return np.full(len(indices), -1, np.int32)
    return np.asarray(indices.fill_null(-1) if indices.null_count else indices).astype(np.int32, copy=False)


def numbers(batch: pa.RecordBatch, column: str) -> Array:
    """A fixed-width column as a NumPy array, without a copy; timestamps as int64 nanoseconds."""
    array = batch.column(column)
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    return np.asarray(array)


def matrix(batch: pa.RecordBatch, column: str) -> Array:
    """A list column whose lists are equally long, as [rows, length]."""
    lists = batch.column(column)
    flat = np.asarray(lists.flatten())
    return flat.reshape(len(lists), -1) if len(lists) else flat.reshape(0, 0)


def encode_names(names: Sequence[str], index: Array) -> pa.DictionaryArray:
    """Dictionary column from positions in ``names``; -1 becomes null."""
    indices = pa.array(index.astype(np.int32, copy=False), mask=index < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.utf8()))


def encode_times(nanoseconds: Array) -> pa.Array:
    """Timestamp column from nanoseconds since 1970 (UTC)."""
    return pa.array(np.ascontiguousarray(nanoseconds, dtype=np.int64)).view(TIMESTAMP)


def encode_matrix(values: Array) -> pa.ListArray:
    """List column from [rows, length]."""
    rows, length = values.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * length)
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).reshape(-1)))


def make_batch(
    stage: Stage, columns: Mapping[str, pa.Array | Array], metadata: Mapping[str, str] | None = None
) -> pa.RecordBatch:
    """Record batch of a stage's schema from its columns by name."""
    return batch_of(SCHEMAS[stage], columns, metadata)


def batch_of(
    schema: pa.Schema, columns: Mapping[str, pa.Array | Array], metadata: Mapping[str, str] | None = None
) -> pa.RecordBatch:
    """Record batch of a schema from its columns by name."""
    arrays = [_as_arrow(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema.with_metadata(dict(metadata or {})))


def _as_arrow(column: pa.Array | Array, kind: pa.DataType) -> pa.Array:
    return column if isinstance(column, pa.Array) else pa.array(column, kind)


def to_bytes(batch: pa.RecordBatch) -> bytes:
    """Arrow IPC stream of one batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def from_bytes(data: bytes, stage: Stage) -> pa.RecordBatch:
    """Batch of an Arrow IPC stream.

    Raises
    ------
    ValueError
        If it is not one batch of the stage's columns: a block comes from outside and is not believed unread.
    """
    try:
        with pa.ipc.open_stream(data) as reader:
            batch = reader.read_next_batch()
    except (pa.ArrowInvalid, OSError, StopIteration) as error:
        raise ValueError(f"Not an Arrow block: {error}") from error
    known = batch.schema.equals(SCHEMAS[stage], check_metadata=False)
    if not known and not (stage is Stage.TELEMETRY and is_waveform(batch)):
        raise ValueError(f"The block's columns are not those of {stage.value}: {batch.schema.names}")
    return batch


def metadata(batch: pa.RecordBatch) -> dict[str, str]:
    """Metadata of a batch's schema."""
    return {key.decode(): value.decode() for key, value in (batch.schema.metadata or {}).items()}


def concat(batches: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of several of one schema; their dictionaries are unified."""
    table = pa.Table.from_batches(list(batches)).unify_dictionaries().combine_chunks()
    batch: pa.RecordBatch = table.to_batches()[0]
    return batch
