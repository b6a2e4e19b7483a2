"""Gaps: what a source has not delivered, as far as it can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.contracts import rules
from wheeltapper_workers.contracts.raw import NO_TIME, RawBatch
from wheeltapper_workers.contracts.state import ContractState
from wheeltapper_workers.contracts.table import SeriesTable
from wheeltapper_workers.runtime.blocks import encode_names, encode_times, make_batch

TOLERATED: Final = 1.5
"""Of the expected interval: nothing fits into a stretch that is no longer."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """Stretches of series, all columns [n]; at most one of each series."""

    series: npt.NDArray[np.int32]
    since_ns: npt.NDArray[np.int64]
    """Last sample before."""
    until_ns: npt.NDArray[np.int64]
    """First sample after."""

    def __len__(self) -> int:
        return len(self.series)

    def take(self, chosen: npt.NDArray[np.bool_]) -> Gaps:
        """Some of them."""
        return Gaps(self.series[chosen], self.since_ns[chosen], self.until_ns[chosen])

    def blocks(
        self, table: SeriesTable, cause: str, recovered: npt.NDArray[np.bool_], samples: npt.NDArray[np.int64]
    ) -> list[tuple[Line, pa.RecordBatch]]:
        """Blocks of each line that has any, for the ledger."""
        found = []
        of_line = table.line[self.series]
        for line in np.unique(of_line).tolist():
            rows = np.flatnonzero(of_line == line)
            series = self.series[rows]
            columns = {
                "asset": encode_names(table.assets, table.asset[series]),
                "signal": encode_names(table.signals, table.signal[series]),
                "since": encode_times(self.since_ns[rows]),
                "until": encode_times(self.until_ns[rows]),
                "cause": encode_names([cause], np.zeros(len(rows), np.int32)),
                "recovered": recovered[rows],
                "samples": samples[rows].astype(np.uint32),
            }
            found.append((table.lines[line], make_batch(Stage.GAPS, columns)))
        return found


def open_since(state: ContractState) -> Gaps:
    """Series that may have a gap whose end has not come yet; it has none."""
    series = np.flatnonzero(state.unsure & (state.newest_ns != NO_TIME)).astype(np.int32)
    return Gaps(series, state.newest_ns[series], np.full(len(series), NO_TIME))


def gaps_before(state: ContractState, raw: RawBatch, table: SeriesTable) -> Gaps:
    """Gaps that end with samples of this batch.

    They lie before a sample of which the source says so, and before the first one of a series that is unsure, where
    more than its usual interval has passed.
    """
    order = np.argsort(raw.series, kind="stable")
    series, time_ns = raw.series[order], raw.source_time_ns[order]
    time_ns = np.where(time_ns == NO_TIME, raw.received_ns[order], time_ns)
    first = rules.first_rows(series)
    before = rules.previous(time_ns, first, state.newest_ns[series])
    interval = np.array([one.interval_ns for one in table.series], np.float64)[series] * TOLERATED
    unsure = first & state.unsure[series] & (time_ns - before > interval)
    lost = raw.lost_before[order]
    found = np.flatnonzero((unsure | lost) & (before != NO_TIME) & (time_ns > before))
    _, earliest = np.unique(series[found], return_index=True)
    found = found[earliest]
    return Gaps(series[found], before[found], time_ns[found])
