"""The featurizer: a step from telemetry blocks to feature rows.

Windows are cut on event time: ``[end - window, end)``, ends at whole multiples of the pipeline's step. A row of an
asset is formed when the asset's own watermark, its newest source time less the declared lateness, has passed the end.
So neither the cut of the blocks nor the moment of their arrival changes a row, and data that is merely delayed counts
in full.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyarrow import RecordBatch

from wheeltapper_api.config import FeatureConfig, LineConfig
from wheeltapper_api.wire import Stage
from wheeltapper_workers.features.arrived import Arrived
from wheeltapper_workers.features.buffer import Buffer, Samples, View
from wheeltapper_workers.features.bursts import Bursts, measured
from wheeltapper_workers.features.held import held_statistics
from wheeltapper_workers.features.layout import Group, Layout
from wheeltapper_workers.features.modes import NEVER, UNKNOWN, ModeState
from wheeltapper_workers.features.statistics import segment_statistics
from wheeltapper_workers.features.tracks import as_numbers, indicator
from wheeltapper_workers.runtime.blocks import (
    Block,
    Codes,
    Item,
    codes,
    encode_matrix,
    encode_names,
    encode_times,
    is_waveform,
    make_batch,
    numbers,
)
from wheeltapper_workers.runtime.step import Output, Snapshot, replace_rows

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FeaturizerState:
    """State of a line.

    ``bursts`` wait until a row needs them. ``newest``, ``received`` and ``next_end`` are nanoseconds per asset: newest
    believable source time, newest receive time, and end of the next row. ``late`` counts what came
    too late for its row.
    """

    buffer: Buffer
    bursts: Bursts
    newest: I64
    received: I64
    next_end: I64
    late: I64
    modes: ModeState


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to form: asset position and window end (ns), sorted by end and asset."""

    asset: I64
    end: I64

    def __len__(self) -> int:
        return len(self.asset)


class FeaturizeStep:
    """Step of the featurize role for one line."""

    version: Final = 2

    def __init__(self, config: LineConfig) -> None:
        self.layout = Layout(config)

    def initial(self, config: LineConfig) -> FeaturizerState:
        """State before the first block."""
        layout = self.layout = Layout(config)
        count = len(layout.assets)
        return FeaturizerState(
            Buffer(layout.capacity),
            Bursts.empty(),
            np.full(count, NEVER),
            np.full(count, NEVER),
            np.full(count, NEVER),
            np.zeros(count, np.int64),
            ModeState.initial(count, len(layout.modes.names)),
        )

    def step(self, state: FeaturizerState, item: Item) -> tuple[FeaturizerState, list[Output]]:
        """Take a block in and form the rows that are complete. Ticks change nothing: only data moves event time."""
        if not isinstance(item, Block):
            return state, []
        asset, samples, bursts = self._arrivals(item)
        arrived = Arrived.of(asset, bursts if len(bursts) else samples, len(self.layout.assets))
        outputs: list[Output] = []
        if self._moves_time(bursts):
            state = self._skip_silence(state, arrived, outputs)
        state = self._admit(state, arrived, samples, bursts)
        state = self._form(state, self._watermark(state), outputs)
        return state, outputs

    def reconfigure(self, state: FeaturizerState, config: LineConfig) -> FeaturizerState:
        """State under a new config: samples and modes of assets and signals that remain."""
        before, after = self.layout, Layout(config)
        index = np.array([before.asset_index.get(name, -1) for name in after.assets], np.int64)
        self.layout = after
        return FeaturizerState(
            Buffer.of(_renumber(state.buffer.samples(), before, after), after.capacity),
            _renumber_bursts(state.bursts, before, after),
            replace_rows(state.newest, index, NEVER),
            replace_rows(state.received, index, NEVER),
            self._realigned(replace_rows(state.next_end, index, NEVER), before.pipeline.every_ns),
            replace_rows(state.late, index, 0),
            after.modes.reorder(state.modes, index, before.modes.names),
        )

    def snapshot(self, state: FeaturizerState) -> Snapshot:
        """State at rest."""
        arrays = {f"samples.{name}": column for name, column in state.buffer.samples().columns().items()}
        arrays |= {f"bursts.{name}": column for name, column in state.bursts.columns().items()}
        arrays |= {"newest": state.newest, "received": state.received, "next_end": state.next_end, "late": state.late}
        arrays |= {"mode": state.modes.mode, "mode_since": state.modes.since, "mode_held": state.modes.held}
        return Snapshot(arrays, {"pipeline_digest": self.layout.pipeline.digest, "assets": self.layout.assets})

    def restore(self, snapshot: Snapshot, config: LineConfig) -> FeaturizerState:
        """State from rest, made under the same config."""
        layout = self.layout = Layout(config)
        if snapshot.document["assets"] != layout.assets:
            raise ValueError("The checkpoint is of other assets")
        if snapshot.document["pipeline_digest"] != layout.pipeline.digest:
            raise ValueError("The checkpoint is of another pipeline")
        arrays = snapshot.arrays
        samples = {name[8:]: column for name, column in arrays.items() if name.startswith("samples.")}
        bursts = {name[7:]: column for name, column in arrays.items() if name.startswith("bursts.")}
        return FeaturizerState(
            Buffer.of(Samples.from_columns(samples), layout.capacity),
            Bursts(**bursts),
            arrays["newest"],
            arrays["received"],
            arrays["next_end"],
            arrays["late"],
            ModeState(arrays["mode"], arrays["mode_since"], arrays["mode_held"]),
        )

    def summary(self, state: FeaturizerState) -> dict[str, Any]:
        """Per asset: newest source and receive time, mode and its start, samples that came too late."""
        names = self.layout.modes.names
        return {
            "assets": {
                asset: {
                    "newest_ns": int(state.newest[i]),
                    "received_ns": int(state.received[i]),
                    "mode": names[state.modes.mode[i]] if state.modes.mode[i] != UNKNOWN else None,
                    "mode_since_ns": int(state.modes.since[i]),
                    "late": int(state.late[i]),
                }
                for i, asset in enumerate(self.layout.assets)
                if state.newest[i] != NEVER
            },
            "buffered": len(state.buffer),
        }

    def _arrivals(self, block: Block) -> tuple[I64, Samples, Bursts]:
        """Asset of each row that is read, and the rows: samples or bursts."""
        if is_waveform(block.batch):
            bursts = Bursts.read(block, self.layout.asset_index, self.layout.tracks)
            return bursts.asset, Samples.empty(), bursts
        return (*self._read(block), Bursts.empty())

    def _read(self, block: Block) -> tuple[I64, Samples]:
        """Samples of all plain tracks: a state that two features look at for different things is on two tracks."""
        layout, batch = self.layout, block.batch
        asset = layout.asset_positions.of_rows(batch, "asset")
        track = layout.number_positions.of_rows(batch, "signal")
        value, text = numbers(batch, "value"), codes(batch, "text")
        wanted = (asset >= 0) & (track >= 0)
        # As a slice columns are not copied.
        rows: Any = slice(None) if wanted.all() else np.flatnonzero(wanted)
        track, read = track[rows], as_numbers(value[rows], text.take(rows))
        indicated = self._indicated(batch, asset, value, text)
        if indicated:
            plain = np.arange(len(asset))[rows], track, read
            rows, track, read = (np.concatenate(column) for column in zip(plain, *indicated, strict=True))
        asset = asset[rows]
        return asset, Samples.from_columns(
            {
                "series": asset * layout.width + track,
                "time": numbers(batch, "source_time")[rows],
                "ordinal": numbers(batch, "ordinal")[rows],
                "value": read,
                "quality": numbers(batch, "quality")[rows],
                "sequence": np.full(len(asset), block.sequence),
                "received": numbers(batch, "received_time")[rows],
            }
        )

    def _indicated(self, batch: RecordBatch, asset: I64, value: F64, text: Codes) -> list[tuple[I64, I64, F64]]:
        """Rows, tracks and numbers of the tracks that say whether a signal equals something."""
        found: list[tuple[I64, I64, F64]] = []
        if self.layout.equals:
            signal = codes(batch, "signal")
            for position, track in self.layout.equals:
                if track.signal in signal.names:
                    rows = np.flatnonzero((asset >= 0) & (signal.codes == signal.names.index(track.signal)))
                    found.append((rows, np.full(len(rows), position), indicator(track, value[rows], text.take(rows))))
        return found

    def _watermark(self, state: FeaturizerState) -> I64:
        known = state.newest != NEVER
        return np.where(known, state.newest - self.layout.pipeline.lateness_ns, NEVER)

    def _aligned(self, time: I64) -> I64:
        """End of the row that holds a time: the next whole multiple of the step after it."""
        every = self.layout.pipeline.every_ns
        return np.where(time == NEVER, NEVER, time // every * every + every)

    def _realigned(self, next_end: I64, every_before: int) -> I64:
        if every_before == self.layout.pipeline.every_ns:
            return next_end
        return np.where(next_end == NEVER, NEVER, self._aligned(next_end - 1))

    def _moves_time(self, bursts: Bursts) -> bool:
        """Whether what arrived moves an asset's time: a burst does so only where nothing else ever comes.

        Bursts of a delivery come in a block before its plain samples; moving the time they would make those late.
        """
        return not len(bursts) or not self.layout.plain

    def _skip_silence(self, state: FeaturizerState, arrived: Arrived, outputs: list[Output]) -> FeaturizerState:
        """Finish what an asset sent before a silence longer than every window, and go on after it.

        Without this the first sample after a week would form a week of empty rows.
        """
        first = arrived.oldest
        silence = self.layout.longest_ns + self.layout.pipeline.every_ns
        skips = (state.newest != NEVER) & (first != NEVER) & (first - state.newest > silence)
        if not skips.any():
            return state
        state = self._form(state, np.where(skips, state.newest + self.layout.pipeline.every_ns, NEVER), outputs)
        return replace(state, next_end=np.where(skips, self._aligned(first), state.next_end))

    def _admit(self, state: FeaturizerState, arrived: Arrived, samples: Samples, bursts: Bursts) -> FeaturizerState:
        """Buffer what is in time; count what is late; move each asset's newest time."""
        next_end, newest = state.next_end, state.newest
        if self._moves_time(bursts):
            first = arrived.oldest
            next_end = np.where((next_end == NEVER) & (first != NEVER), self._aligned(first), next_end)
            newest = np.maximum(newest, arrived.newest)
        late = arrived.before(next_end - self.layout.pipeline.every_ns)
        late_count = state.late.copy()
        np.add.at(late_count, arrived.asset[late], 1)
        # The newest block counts, whatever the clock said before it was set.
        received = np.where(arrived.newest_receipt == NEVER, state.received, arrived.newest_receipt)
        kept = np.flatnonzero(arrived.believed & ~late)
        waiting = state.bursts
        if len(bursts):
            waiting = waiting.merge(bursts.take(kept))
        else:
            state.buffer.append(samples if len(kept) == len(samples) else samples.take(kept))
        return FeaturizerState(state.buffer, waiting, newest, received, next_end, late_count, state.modes)

    def _form(self, state: FeaturizerState, watermark: I64, outputs: list[Output]) -> FeaturizerState:
        """Form all rows whose end the watermark has passed, and let go of the samples no later row needs."""
        every = self.layout.pipeline.every_ns
        ready = np.where(
            (state.next_end != NEVER) & (watermark >= state.next_end), (watermark - state.next_end) // every + 1, 0
        )
        if not ready.any():
            return state
        rows = _rows(ready, state.next_end, every)
        next_end = state.next_end + ready * every
        bursts = self._measure(state, next_end - every)
        values, coverage, quality = self._features(state.buffer, rows)
        modes, mode_rows = self.layout.modes.classify(state.modes, rows.asset, rows.end, values)
        outputs.append(self._batch(state.buffer, rows, values, coverage, quality, mode_rows))
        horizon = (next_end[:, None] - self.layout.tracks.window_ns).reshape(-1)
        state.buffer.forget(horizon, np.tile(self.layout.tracks.carried, len(next_end)))
        return replace(state, bursts=bursts, next_end=next_end, modes=modes)

    def _measure(self, state: FeaturizerState, formed: I64) -> Bursts:
        """Add the measures of the bursts that lie before the last row formed to the samples; return the other bursts.

        A burst is measured no sooner: until then a sample of the running speed may still come.
        """
        due = state.bursts.time < formed[state.bursts.asset]
        if not due.any():
            return state.bursts
        ripe = state.bursts.take(np.flatnonzero(due))
        state.buffer.append(measured(ripe, state.buffer.good(state.buffer.view()), self.layout.tracks))
        return state.bursts.take(np.flatnonzero(~due))

    def _features(self, buffer: Buffer, rows: Rows) -> tuple[F64, F64, I64]:
        """Values, coverage and quality flags, each [rows, features]."""
        layout, features = self.layout, self.layout.pipeline.features
        every = buffer.view()
        good = buffer.good(every)
        tables = [self._group(buffer, every, good, rows, group) for group in layout.groups]
        shape = (len(rows), len(features))
        values, coverage, quality = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape, np.int64)
        for i, (feature, reading) in enumerate(zip(features, layout.tracks.readings, strict=True)):
            places = [layout.place[feature.window_ns, track, reading.function] for track in reading.tracks]
            values[:, i] = _combine(feature, [tables[group][0][row, :, column] for group, row, column in places])
            coverage[:, i] = np.minimum.reduce([tables[group][1][row] for group, row, _ in places])
            quality[:, i] = np.bitwise_or.reduce([tables[group][2][row] for group, row, _ in places])
        return values, coverage, quality

    def _group(self, buffer: Buffer, every: View, good: View, rows: Rows, group: Group) -> tuple[F64, F64, I64]:
        """Statistics [tracks, rows, functions], coverage and flags [tracks, rows] of a group."""
        shape = (len(group.tracks), len(rows))
        series = (rows.asset * self.layout.width + np.array(group.tracks)[:, None]).reshape(-1)
        end = np.broadcast_to(rows.end, shape).reshape(-1)
        begin = end - group.window_ns
        starts, ends = good.positions(series, begin), good.positions(series, end)
        if group.held:
            starts = good.with_previous(series, starts)
            stale = self.layout.stale_ns[series].astype(np.int64)
            rises = self.layout.indicator[series % self.layout.width]
            table, share = held_statistics(
                good.value, good.time, starts, ends, (begin, end), stale, rises, group.functions
            )
        else:
            table = segment_statistics(good.value, good.time, starts, ends, group.functions)
            covered = (ends - starts) * self.layout.interval_ns[series]
            share = np.nan_to_num(np.minimum(covered / group.window_ns, 1.0), nan=0.0)
        if good is every:
            marks = np.zeros(len(series), np.int64)
        else:
            marks = buffer.flags(series, every.positions(series, begin), every.positions(series, end))
        return table.reshape(*shape, -1), share.reshape(shape), marks.reshape(shape)

    def _batch(self, buffer: Buffer, rows: Rows, values: F64, coverage: F64, quality: I64, modes: Any) -> Output:
        layout, every = self.layout, buffer.view()
        # An asset's series are neighbours, but its window is a slice only within each of them.
        track = np.repeat(np.arange(layout.width), len(rows))
        series = np.tile(rows.asset, layout.width) * layout.width + track
        end = np.tile(rows.end, layout.width)
        starts = every.positions(series, end - layout.tracks.window_ns[track])
        starts = np.where(layout.tracks.carried[track], every.with_previous(series, starts), starts)
        width = layout.width
        origins = buffer.origins(series, starts, every.positions(series, end))
        first, last, received = (column.reshape(width, -1) for column in origins)
        first = first.min(axis=0)
        return make_batch(
            Stage.FEATURES,
            {
                "asset": encode_names(layout.assets, rows.asset),
                "window_end": encode_times(rows.end),
                "mode": encode_names(layout.modes.names, modes.mode),
                "band": modes.band.astype(np.int8),
                "mode_since": encode_times(modes.since),
                "values": encode_matrix(values),
                "coverage": encode_matrix(coverage),
                "quality": encode_matrix(quality.astype(np.uint16)),
                "telemetry_first": np.where(first == np.iinfo(np.int64).max, 0, first).astype(np.uint64),
                "telemetry_last": last.max(axis=0).astype(np.uint64),
                "received_last": encode_times(received.max(axis=0)),
            },
            layout.metadata,
        )


def _rows(ready: I64, next_end: I64, every: int) -> Rows:
    asset = np.repeat(np.arange(len(ready)), ready)
    offset = np.arange(len(asset)) - np.repeat(np.cumsum(ready) - ready, ready)
    end = next_end[asset] + offset * every
    order = np.lexsort((asset, end))
    return Rows(asset[order], end[order])


def _combine(feature: FeatureConfig, picked: list[F64]) -> F64:
    if len(picked) == 1:
        return picked[0]
    other = picked[1] * feature.other_scale + feature.other_offset
    if feature.minus:
        return picked[0] - other
    return np.divide(picked[0], other, out=np.full_like(other, np.nan), where=other != 0)


def _renumber(samples: Samples, before: Layout, after: Layout) -> Samples:
    asset = np.array([after.asset_index.get(name, -1) for name in before.assets], np.int64)
    track = np.array([after.tracks.index.get(one, -1) for one in before.tracks.all], np.int64)
    if not len(samples):
        return samples
    new_asset, new_track = asset[samples.series // before.width], track[samples.series % before.width]
    kept = (new_asset >= 0) & (new_track >= 0)
    moved = samples.take(kept)
    moved.series = (new_asset * after.width + new_track)[kept]
    return moved


def _renumber_bursts(bursts: Bursts, before: Layout, after: Layout) -> Bursts:
    if not len(bursts):
        return bursts
    signals = {name: position for position, name in enumerate(after.tracks.bursts)}
    asset = np.array([after.asset_index.get(name, -1) for name in before.assets], np.int64)[bursts.asset]
    signal = np.array([signals.get(name, -1) for name in before.tracks.bursts], np.int64)[bursts.signal]
    moved = replace(bursts, asset=asset, signal=signal)
    return Bursts.empty().merge(moved.take(np.flatnonzero((asset >= 0) & (signal >= 0))))
