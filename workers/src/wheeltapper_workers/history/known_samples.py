"""What of a file of history is stored already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.wire import Line, Quality
from wheeltapper_workers.history.late.in_order import nanoseconds
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.rows import block_of
from wheeltapper_workers.history.stored import highest, of_line
from wheeltapper_workers.history.tables import TIME, Store

I64 = npt.NDArray[np.int64]

_SEARCH_SECONDS = 600.0


class KnownSamples:
    """Stored samples of a tenant."""

    def __init__(self, store: Store, tenant: str) -> None:
        self._store, self._tenant = store, tenant

    def last_block(self, line: Line) -> int:
        """Last telemetry block of a line that is stored."""
        return highest(self._store, line, "raw", "block_sequence")

    def newest(self, line: Line) -> dict[tuple[str, str], int]:
        """Newest believable source time of each asset and signal of a line, in ns, not before it."""
        if self._store.open(self._tenant, "raw") is None:
            return {}
        sql = (
            "SELECT asset, signal, max(source_time) AS newest FROM raw "  # noqa: S608 - names are DNS labels
            f"WHERE plant = '{line.plant}' AND class = '{line.asset_class}' AND (quality & {int(Quality.CLOCK)}) = 0 "
            "GROUP BY asset, signal"
        )
        options = self._store.storage_options
        rows = query(self._store.root, sql, self._tenant, storage_options=options, timeout_seconds=_SEARCH_SECONDS)
        newest = (nanoseconds(rows["newest"]) + 999).tolist()
        return dict(zip(zip(rows["asset"].to_pylist(), rows["signal"].to_pylist(), strict=True), newest, strict=True))

    def at(self, line: Line, assets: Sequence[str], signals: Sequence[str], times_ns: I64) -> Iterator[pa.RecordBatch]:
        """Blocks of the stored samples of given series and times, to the microsecond.

        Parameters
        ----------
        assets, signals, times_ns
            Of each sample that is asked for.
        """
        dataset = self._store.dataset(self._tenant, "raw")
        if dataset is None or not len(times_ns):
            return
        times = pa.array(times_ns // 1000).view(TIME)
        wanted = pa.table({"asset": pa.array(assets), "signal": pa.array(signals), "source_time": times})
        ends = pc.min_max(times)
        where = of_line(line) & pc.field("asset").isin(pc.unique(wanted["asset"]))
        where &= pc.field("signal").isin(pc.unique(wanted["signal"]))
        where &= (pc.field("source_time") >= ends["min"]) & (pc.field("source_time") <= ends["max"])
        for batch in dataset.to_batches(filter=where):
            rows = pa.Table.from_batches([batch])
            keys = rows.select(wanted.column_names).append_column("row", pa.array(np.arange(rows.num_rows)))
            rows = rows.take(keys.join(wanted, wanted.column_names, join_type="left semi")["row"])
            bursts = rows["sample_rate"].is_valid()
            for part in (rows.filter(bursts), rows.filter(pc.invert(bursts))):
                if part.num_rows:
                    yield block_of(part)
