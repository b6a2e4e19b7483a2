"""Telemetry into tables and out again, beside DuckDB writing and reading zstd Parquet of the same rows and columns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final
from unittest import mock

import duckdb
import numpy as np
import pyarrow as pa

from tests.bench.harness import Goal, Options, Result, compared, in_turn, rounded, seconds
from tests.support.lines import LINE
from wheeltapper_api.config import StoreConfig
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_TRACE, Stage
from wheeltapper_workers.history import historian as module
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime import blocks

NAME: Final = "storage"
_ASSETS: Final = 50
_SIGNALS: Final = 20
_SERIES: Final = _ASSETS * _SIGNALS
_START: Final = 1_795_132_800 * 10**9  # a midnight
_PERIOD: Final = 10 * 10**9
_TICKS_IN_BLOCK: Final = 10
_CONFIG: Final = StoreConfig(tenant=LINE.tenant, lines=[], commit_every_ns=10**18, commit_rows=100_000)
_KINDS: Final[dict[str, Callable[[np.random.Generator, int], Any]]] = {
    "noise": lambda random, count: random.normal(20.0, 3.0, count),
    "12-bit": lambda random, count: np.round(2048 + 600 * random.normal(0, 1, count)).clip(0, 4095) * 0.0244140625,
    "constant": lambda _, count: np.full(count, 21.5),
}
_SERIES_SQL: Final = (
    "SELECT source_time, value FROM {} WHERE asset = 'p-17' AND signal = 'signal-07' ORDER BY source_time"
)
_FLEET_SQL: Final = "SELECT asset, signal, count(*) AS n, avg(value) AS mean, max(value) AS top FROM {} GROUP BY ALL"
_SAME: Final = "SELECT count(*) AS n, bit_xor(hash({})) AS h FROM {}"


def run(options: Options) -> Result:
    """Rows a second until they are safe, for noise; bytes and reading are goals of their own."""
    ticks = 864 if options.quick else 8640  # a day; of the kinds that are only weighed and not read, a quarter
    with tempfile.TemporaryDirectory(prefix="wheeltapper-storage-") as folder:
        found = {kind: _Kind(Path(folder) / kind, kind, ticks // (1 if kind == "noise" else 4)) for kind in _KINDS}
        for one in found.values():
            one.write()
        noise = found["noise"]
        series = noise.read(_SERIES_SQL, options.rounds(9))
        fleet = noise.read(_FLEET_SQL, options.rounds(9))
        result = Result(
            NAME,
            f"{_SERIES:,} series over a day, {noise.rows:,} rows, until they are stored",
            "rows/s",
            [one.rows / one.write_s for one in found.values()],
            f"all columns of all rows are equal, for {', '.join(found)} values",
            peer=[one.rows / one.peer_write_s for one in found.values()],
            peer_name="DuckDB, one COPY of all rows in memory to zstd Parquet, sorted by series",
            details={
                "columns": noise.columns,
                "bytesPerRow": {kind: one.bytes_document() for kind, one in found.items()},
                "oneSeries": _times(*series),
                "fleetAggregate": _times(*fleet),
                "files": len(Store(noise.root).open(LINE.tenant, "raw").file_uris()),
                "mergeSeconds": {kind: rounded(one.merge_s) for kind, one in found.items()},
            },
        )
        for kind, one in found.items():
            ratio = one.bytes / one.peer_bytes
            result.goals.append(Goal(f"bytes of {kind} against DuckDB's", ratio, "x", most=1.05))
        result.goals.append(
            Goal("one series of 1,000 against DuckDB's", median(series[0]) / median(series[1]), "x", most=2.5)
        )
        result.goals.append(
            Goal("fleet aggregate against DuckDB's", median(fleet[0]) / median(fleet[1]), "x", most=1.5)
        )
    return result


def _times(ours: list[float], peer: list[float]) -> dict[str, float]:
    return {"oursMs": rounded(median(ours) * 1e3), "duckdbMs": rounded(median(peer) * 1e3)}


class _Kind:
    """Rows with one kind of values, in our table and in DuckDB's file."""

    def __init__(self, folder: Path, kind: str, ticks: int) -> None:
        folder.mkdir()
        self.root, self._file = str(folder / "tables"), folder / "duckdb.parquet"
        self._messages = list(_messages(kind, ticks))
        self.rows = ticks * _SERIES

    def write(self) -> None:
        """Write both, and see that they are equal."""
        self.write_s = seconds(self._ingest)
        self.merge_s = seconds(self._merge)
        self._messages.clear()
        names = self._copy()
        self.bytes = sum(Path(uri.removeprefix("file://")).stat().st_size for uri in self._table().file_uris())
        self.peer_bytes = self._file.stat().st_size
        ours = self.ours(_SAME.format(names, "raw"))
        compared(("Hash of all rows", ours.to_pylist(), self.peer(_SAME.format(names, self._place())).to_pylist()))

    def read(self, sql: str, rounds: int) -> tuple[list[float], list[float]]:
        """Seconds of a question, from nothing: neither has anything open."""
        mine, theirs = sql.format("raw"), sql.format(self._place())
        compared(("Answer", _sorted(self.ours(mine)), _sorted(self.peer(theirs))))
        return in_turn(lambda: self.ours(mine), lambda: self.peer(theirs), rounds)

    def ours(self, sql: str) -> pa.Table:
        """Answer of our tables."""
        return query(self.root, sql, LINE.tenant, memory_mb=4096)

    def peer(self, sql: str) -> pa.Table:
        """Answer of DuckDB's file."""
        with duckdb.connect() as connection:
            return connection.sql(sql).to_arrow_table()

    def bytes_document(self) -> dict[str, float]:
        """Bytes per row of both."""
        return {"ours": rounded(self.bytes / self.rows), "duckdb": rounded(self.peer_bytes / self.rows)}

    def _ingest(self) -> None:
        historian = Historian(self.root, _CONFIG)
        for sequence, (payload, published) in enumerate(self._messages, 1):
            headers = {
                HEADER_TRACE: f"00-{hash((sequence, 'trace')) % 2**128:032x}-{sequence:016x}-01",
                HEADER_GENERATION: "0123456789abcdef",
            }
            assert not historian.add(
                Stage.TELEMETRY, sequence, published, LINE.subject(Stage.TELEMETRY, "c"), payload, headers
            )
            if historian.due(published):
                historian.commit()
        historian.commit()

    def _merge(self) -> None:
        """As on the next day, when nothing more is added to this one."""
        historian = Historian(self.root, _CONFIG)
        with mock.patch.object(module, "COMPACT_FILES", 0):
            while historian.compact():
                pass

    def _table(self) -> Any:
        return Store(self.root).open(LINE.tenant, "raw")

    def _place(self) -> str:
        return f"read_parquet('{self._file}')"

    def _copy(self) -> str:
        """DuckDB's file of our rows; returns the columns."""
        rows = Store(self.root).dataset(LINE.tenant, "raw").to_table()
        self.columns = rows.num_columns
        with duckdb.connect() as connection:
            given = connection.from_arrow(rows).order("asset, signal, source_time, source_nanos, ordinal")
            self.peer_write_s = seconds(lambda: given.write_parquet(str(self._file), compression="zstd"))
        return ", ".join(f'"{name}"' for name in rows.column_names)


def _sorted(table: pa.Table) -> Any:
    rows = table.sort_by([(table.column_names[0], "ascending"), (table.column_names[1], "ascending")]).to_pydict()
    return {name: [round(v, 9) if isinstance(v, float) else v for v in values] for name, values in rows.items()}


def _messages(kind: str, ticks: int) -> Iterator[tuple[bytes, int]]:
    """Blocks as a collector publishes them, and when; a source tells milliseconds, the collector nanoseconds."""
    random = np.random.default_rng(5)
    assets = pa.array([f"p-{n}" for n in range(_ASSETS)])
    signals = pa.array([f"signal-{n:02}" for n in range(_SIGNALS)])
    of_tick = np.arange(_SERIES, dtype=np.int32)
    for first in range(0, ticks, _TICKS_IN_BLOCK):
        count = _TICKS_IN_BLOCK * _SERIES
        tick = np.repeat(np.arange(first, first + _TICKS_IN_BLOCK), _SERIES)
        time = _START + tick * _PERIOD + random.integers(0, 20, count) * 10**6
        received = _START + tick * _PERIOD + 50 * 10**6 + np.repeat(random.integers(0, 10**7, _TICKS_IN_BLOCK), _SERIES)
        series = np.tile(of_tick, _TICKS_IN_BLOCK)
        columns = {
            "asset": pa.DictionaryArray.from_arrays(pa.array(series // _SIGNALS), assets),
            "signal": pa.DictionaryArray.from_arrays(pa.array(series % _SIGNALS), signals),
            "source_time": blocks.encode_times(time),
            "ordinal": np.zeros(count, np.uint32),
            "value": _KINDS[kind](random, count),
            "text": pa.nulls(count, pa.string()).dictionary_encode(),
            "quality": np.zeros(count, np.uint16),
            "status": np.zeros(count, np.uint32),
            "received_time": blocks.encode_times(received),
        }
        batch = blocks.make_batch(Stage.TELEMETRY, columns)
        yield blocks.to_bytes(batch), int(received[-1]) + 10**6
