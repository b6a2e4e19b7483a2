"""History from a file, through the same contracts and the same steps as live data.

A file has the columns ``time``, ``asset``, ``signal`` and ``value``, sorted by time, with values as the source would
deliver them. Since nobody wrote down when they arrived, they count as received when they were measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from nats.aio.client import Client

from wheeltapper_api.config import CollectorConfig
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_INPUT, Line, Stage
from wheeltapper_workers.contracts.check import check
from wheeltapper_workers.contracts.raw import RawBatch, raw_batch
from wheeltapper_workers.contracts.state import ContractState, initial
from wheeltapper_workers.contracts.table import SeriesTable, series_table
from wheeltapper_workers.runtime.blocks import TIMESTAMP, to_bytes
from wheeltapper_workers.runtime.fenced import FencedWriter
from wheeltapper_workers.runtime.jetstream import insist

WRITER: Final = "backfill"
BLOCK_ROWS: Final = 50_000
_COLUMNS: Final = ("time", "asset", "signal", "value")


class RecordingError(ValueError):
    """A file of history cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What came of a file."""

    rows: int
    unknown: int
    """Rows of assets or signals that are not configured."""
    last_sequence: dict[Line, int]
    """Stream sequence of the last block of each line."""


async def backfill(
    client: Client,
    collectors: list[CollectorConfig],
    path: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Backfilled:
    """Write a file of history into the telemetry stream; started again after a crash it goes on where it was.

    Parameters
    ----------
    progress
        Called with rows done and rows in all.

    Raises
    ------
    RecordingError
        If the file cannot be read, or a line already has live data: history must come before what follows it.
    """
    total, batches = _read(path)
    table = _table(collectors)
    state = initial(table, time.time_ns())
    writers = {line: await _writer(client, line) for line in table.lines}
    done = unknown = 0
    for number, batch in enumerate(batches, 1):
        raw = _raw(batch, table)
        state, sent = await _write(raw, state, table, writers, number)
        done, unknown = done + len(batch), unknown + len(batch) - sent
        progress(done, total)
    return Backfilled(done, unknown, {line: writer.last_sequence for line, writer in writers.items()})


async def _write(
    raw: RawBatch, state: ContractState, table: SeriesTable, writers: dict[Line, FencedWriter], number: int
) -> tuple[ContractState, int]:
    state, checked = check(state, raw, table)
    for line, block in checked.blocks(table):
        writer = writers[line]
        if number > int(writer.last_input.partition(":")[0] or 0):
            await writer.write(to_bytes(block), {HEADER_INPUT: f"{number}:0", HEADER_GENERATION: ""})
    return state, len(raw)


async def _writer(client: Client, line: Line) -> FencedWriter:
    own = line.subject(Stage.TELEMETRY, WRITER)
    info = await insist(
        lambda: client.jetstream().stream_info(Stage.TELEMETRY.stream, subjects_filter=line.filter(Stage.TELEMETRY)),
        what="Looking at the telemetry stream",
    )
    others = set(info.state.subjects or {}) - {own, line.subject(Stage.TELEMETRY, "tick")}
    if others:
        raise RecordingError(
            f"{line.plant}/{line.asset_class} already has live data, and history has to come before it; "
            "start from an empty state folder with wheeltapper up --backfill FILE"
        )
    writer = FencedWriter(client, Stage.TELEMETRY.stream, own)
    await writer.open()
    return writer


def _table(collectors: list[CollectorConfig]) -> SeriesTable:
    """Series of all collectors, with a clock that believes the past."""
    series = [series for collector in collectors for series in collector.series]
    if not series:
        raise RecordingError("No twin has a signal, so there is nothing to fill; bind signals first")
    everything = collectors[0].model_copy(update={"series": series, "max_behind_ns": time.time_ns()})
    return series_table(everything)


def _raw(batch: pa.RecordBatch, table: SeriesTable) -> RawBatch:
    index = {(s.asset, s.signal): position for position, s in enumerate(table.series)}
    assets, asset = _codes(batch.column("asset"))
    signals, signal = _codes(batch.column("signal"))
    lookup = np.array([[index.get((a, s), -1) for s in signals] for a in assets], np.int64).reshape(len(assets), -1)
    series = lookup[asset, signal]
    known = series >= 0
    times = np.asarray(batch.column("time").cast(TIMESTAMP).view(pa.int64()))[known]
    values = np.asarray(batch.column("value").cast(pa.float64()))[known]
    return raw_batch(series[known], times, values, times)


def _codes(column: pa.Array) -> tuple[list[str], Any]:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices)


def _read(path: Path) -> tuple[int, Iterator[pa.RecordBatch]]:
    try:
        if path.suffix == ".csv":
            table = pyarrow.csv.read_csv(path)
            _check_columns(path, table.column_names)
            return len(table), iter(table.select(_COLUMNS).combine_chunks().to_batches(max_chunksize=BLOCK_ROWS))
        file = pyarrow.parquet.ParquetFile(path)
        _check_columns(path, file.schema_arrow.names)
        return file.metadata.num_rows, file.iter_batches(BLOCK_ROWS, columns=list(_COLUMNS))
    except (pa.ArrowInvalid, OSError) as error:
        raise RecordingError(f"{path} cannot be read as Parquet or CSV: {error}") from error


def _check_columns(path: Path, names: list[str]) -> None:
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise RecordingError(f"{path} has no column {', '.join(missing)}; it needs {', '.join(_COLUMNS)}")
