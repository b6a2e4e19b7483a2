"""Bursts of waveforms that wait until all earlier samples are in, and what becomes of them: numbers of their tracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.wire import Quality
from wheeltapper_workers.features.buffer import Samples, View
from wheeltapper_workers.features.spectra import measures
from wheeltapper_workers.features.tracks import SPEED_MEMORY_NS, Track, Tracks
from wheeltapper_workers.runtime.blocks import Block, codes, numbers

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

_COLUMNS: Final = ("asset", "signal", "time", "ordinal", "quality", "sequence", "received")


@dataclass(frozen=True, slots=True)
class Bursts:
    """Columns of equal length, and the samples of all bursts one after the other.

    ``signal`` is a position in :attr:`Tracks.bursts`; ``rate`` is in Hz.
    """

    asset: I64
    signal: I64
    time: I64
    ordinal: I64
    quality: I64
    sequence: I64
    received: I64
    rate: F64
    length: I64
    samples: F64

    @classmethod
    def empty(cls) -> Bursts:
        """No bursts."""
        none = np.empty(0, np.int64)
        return cls(none, none, none, none, none, none, none, np.empty(0), none, np.empty(0))

    @classmethod
    def read(cls, block: Block, assets: dict[str, int], tracks: Tracks) -> Bursts:
        """Bursts of a block of waveforms that a feature reads."""
        batch = block.batch
        asset = codes(batch, "asset").to_index(assets)
        signal = codes(batch, "signal").to_index({name: i for i, name in enumerate(tracks.bursts)})
        lists = batch.column("samples")
        length = np.diff(np.asarray(lists.offsets)).astype(np.int64)
        every = cls(
            asset,
            signal,
            numbers(batch, "source_time").astype(np.int64),
            numbers(batch, "ordinal").astype(np.int64),
            numbers(batch, "quality").astype(np.int64),
            np.full(len(asset), block.sequence, np.int64),
            numbers(batch, "received_time").astype(np.int64),
            numbers(batch, "sample_rate"),
            length,
            np.asarray(lists.flatten(), np.float64),
        )
        return every.take(np.flatnonzero((asset >= 0) & (signal >= 0)))

    def take(self, rows: I64) -> Bursts:
        """Bursts by position."""
        start = np.cumsum(self.length) - self.length
        parts = [self.samples[start[row] : start[row] + self.length[row]] for row in rows.tolist()]
        columns = {name: getattr(self, name)[rows] for name in (*_COLUMNS, "rate", "length")}
        return Bursts(**columns, samples=np.concatenate(parts) if parts else np.empty(0))

    def merge(self, other: Bursts) -> Bursts:
        """Both, sorted by asset, signal, time and ordinal; of bursts with one identity only the first is kept."""
        both = Bursts(**{name: np.concatenate((mine, other.columns()[name])) for name, mine in self.columns().items()})
        order = np.lexsort((both.ordinal, both.time, both.signal, both.asset))
        identity = np.stack((both.asset, both.signal, both.time, both.ordinal))[:, order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (identity[:, 1:] != identity[:, :-1]).any(axis=0)
        return both.take(order[first])

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name."""
        return {name: getattr(self, name) for name in (*_COLUMNS, "rate", "length", "samples")}

    def __len__(self) -> int:
        return len(self.asset)


def measured(bursts: Bursts, speeds: View, tracks: Tracks) -> Samples:
    """Numbers of all tracks of the bursts, as samples at the bursts' times.

    A measure that needs the running speed takes the newest one of ``speeds`` at or before the burst, usable samples
    only; without one it is no number.
    """
    columns: list[dict[str, npt.NDArray[Any]]] = []
    start = np.cumsum(bursts.length) - bursts.length
    shapes = np.stack((bursts.signal, bursts.length, bursts.rate.view(np.int64)))
    distinct, which = np.unique(shapes, axis=1, return_inverse=True)
    for number, (signal, length, _) in enumerate(distinct.T.tolist()):
        rows = np.flatnonzero(which.reshape(-1) == number)
        stacked = bursts.samples[start[rows][:, None] + np.arange(length)]
        wanted = tracks.of_waveform(tracks.bursts[signal])
        for speed in dict.fromkeys((track.speed, track.speed_scale) for _, track in wanted):
            chosen = [(position, track) for position, track in wanted if (track.speed, track.speed_scale) == speed]
            hertz = _running_speed(bursts, rows, speeds, tracks, chosen[0][1])
            values = measures(stacked, float(bursts.rate[rows[0]]), hertz, [t.measure for _, t in chosen if t.measure])
            columns.extend(
                _samples(bursts, rows, position, values[:, column], len(tracks))
                for column, (position, _) in enumerate(chosen)
            )
    if not columns:
        return Samples.empty()
    return Samples.from_columns({name: np.concatenate([one[name] for one in columns]) for name in columns[0]})


def _running_speed(bursts: Bursts, rows: I64, speeds: View, tracks: Tracks, track: Track) -> F64:
    """Running speed of each burst in Hz, NaN where it is not known."""
    hertz = np.full(len(rows), np.nan)
    if track.speed is None:
        return hertz
    series = bursts.asset[rows] * len(tracks) + tracks.index[Track(track.speed)]
    time = bursts.time[rows]
    newest = speeds.positions(series, time + 1) - 1
    there = np.flatnonzero(newest >= speeds.low[series])
    there = there[time[there] - speeds.time[newest[there]] <= SPEED_MEMORY_NS]
    hertz[there] = speeds.value[newest[there]] * track.speed_scale
    return hertz


def _samples(bursts: Bursts, rows: I64, position: int, values: F64, width: int) -> dict[str, npt.NDArray[Any]]:
    quality = np.where(np.isnan(values), bursts.quality[rows] | Quality.NOT_A_NUMBER, bursts.quality[rows])
    return {
        "series": bursts.asset[rows] * width + position,
        "time": bursts.time[rows],
        "ordinal": bursts.ordinal[rows],
        "value": values,
        "quality": quality,
        "sequence": bursts.sequence[rows],
        "received": bursts.received[rows],
    }
