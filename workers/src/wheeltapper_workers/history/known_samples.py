"""What of a file of history is stored already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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

    def at(self, line: Line, assets: Iterable[str], signals: Iterable[str], times_ns: I64) -> Iterator[pa.RecordBatch]:
        """Blocks of the stored samples of some series at given times, to the microsecond."""
        dataset = self._store.dataset(self._tenant, "raw")
        if dataset is None or not len(times_ns):
            return
        wanted = np.unique(times_ns // 1000)
        low, high = (pa.scalar(int(end), TIME) for end in (wanted[0], wanted[-1]))
        where = of_line(line) & pc.field("asset").isin(list(assets)) & pc.field("signal").isin(list(signals))
        where &= (pc.field("source_time") >= low) & (pc.field("source_time") <= high)
        for batch in dataset.to_batches(filter=where):
            times = np.asarray(batch.column("source_time").cast(pa.int64()))
            rows = pa.Table.from_batches([batch]).filter(pa.array(np.isin(times, wanted)))
            bursts = rows["sample_rate"].is_valid()
            for part in (rows.filter(bursts), rows.filter(pc.invert(bursts))):
                if part.num_rows:
                    yield block_of(part)
