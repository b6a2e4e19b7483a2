"""Samples that have passed the contract, and the blocks they become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.contracts.table import SeriesTable
from wheeltapper_workers.contracts.waveforms import encode_bursts
from wheeltapper_workers.runtime.blocks import WAVEFORMS, batch_of, encode_names, encode_times, make_batch

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Checked:
    """Samples in the order of their arrival, [n]; repeated ones are left out."""

    series: npt.NDArray[np.int32]
    source_time_ns: npt.NDArray[np.int64]
    ordinal: npt.NDArray[np.uint32]
    value: npt.NDArray[np.float64]
    """In the class's unit; a state's code; NaN for text."""
    quality: Flags
    status: npt.NDArray[np.uint32]
    received_ns: npt.NDArray[np.int64]
    text: dict[int, str]
    bursts: dict[int, Floats]
    """Samples of the rows that are bursts, in the class's unit."""

    def __len__(self) -> int:
        return len(self.series)

    def blocks(self, table: SeriesTable) -> list[tuple[Line, pa.RecordBatch]]:
        """Blocks of each line that has samples: bursts, and then plain samples.

        Plain samples move the time of their asset; bursts of the same delivery would be late behind them.
        """
        bursts = np.zeros(len(self), np.bool_)
        bursts[list(self.bursts)] = True
        of_line = table.line[self.series]
        found = []
        for line in np.unique(of_line).tolist():
            own = of_line == line
            plain, waves = np.flatnonzero(own & ~bursts), np.flatnonzero(own & bursts)
            if len(waves):
                found.append((table.lines[line], self._waveforms(table, waves)))
            if len(plain):
                found.append((table.lines[line], self._plain(table, None if len(plain) == len(self) else plain)))
        return found

    def _plain(self, table: SeriesTable, rows: npt.NDArray[np.int64] | None) -> pa.RecordBatch:
        chosen: Any = slice(None) if rows is None else rows
        columns = {"value": pa.array(self.value[chosen]), "text": self._texts(rows)}
        return make_batch(Stage.TELEMETRY, self._common(table, chosen) | columns)

    def _waveforms(self, table: SeriesTable, rows: npt.NDArray[np.int64]) -> pa.RecordBatch:
        samples = encode_bursts([self.bursts[row] for row in rows.tolist()])
        columns = {"sample_rate": table.sample_rate[self.series[rows]], "samples": samples}
        return batch_of(WAVEFORMS, self._common(table, rows) | columns)

    def _common(self, table: SeriesTable, chosen: Any) -> dict[str, Any]:
        series = self.series[chosen]
        return {
            "asset": _names(table.assets, table.asset[series]),
            "signal": _names(table.signals, table.signal[series]),
            "source_time": encode_times(self.source_time_ns[chosen]),
            "ordinal": self.ordinal[chosen],
            "quality": self.quality[chosen],
            "status": self.status[chosen],
            "received_time": encode_times(self.received_ns[chosen]),
        }

    def _texts(self, rows: npt.NDArray[np.int64] | None) -> pa.DictionaryArray:
        names = tuple(dict.fromkeys(self.text.values()))
        position = {name: number for number, name in enumerate(names)}
        index = np.full(len(self), -1, np.int32)
        for row, text in self.text.items():
            index[row] = position[text]
        return _names(names, index if rows is None else index[rows])


def _names(names: tuple[str, ...], index: npt.NDArray[np.int32]) -> pa.DictionaryArray:
    """Dictionary column that carries only the names it uses: a connection may know thousands."""
    used = np.unique(index[index >= 0])
    if len(used) == len(names):
        return encode_names(names, index)
    compact = np.full(len(names) + 1, -1, np.int32)
    compact[used] = np.arange(len(used))
    return encode_names([names[position] for position in used.tolist()], compact[index])
