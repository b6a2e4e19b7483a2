"""The featurizer: a step from telemetry blocks to feature rows.

Windows are cut on event time: ``[end - window, end)``, ends at whole multiples of the pipeline's step. A row of an
asset is formed when the asset's own watermark, its newest source time less the declared lateness, has passed the end.
So neither the cut of the blocks nor the moment of their arrival changes a row, and data that is merely delayed counts
in full.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import FeatureConfig, LineConfig
from wheeltapper_api.wire import UNUSABLE, Quality, Stage
from wheeltapper_workers.features.buffer import Samples, extremes, flags, positions
from wheeltapper_workers.features.modes import NEVER, UNKNOWN, Modes, ModeState
from wheeltapper_workers.features.statistics import segment_statistics
from wheeltapper_workers.runtime.blocks import (
    Block,
    Item,
    codes,
    encode_matrix,
    encode_names,
    encode_times,
    make_batch,
    numbers,
)
from wheeltapper_workers.runtime.step import Output, Snapshot, replace_rows
from wheeltapper_workers.software import SOFTWARE

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeaturizerState:
    """State of a line.

    ``newest``, ``received`` and ``next_end`` are nanoseconds per asset: newest believable source time, newest receive
    time, and end of the next row. ``late`` counts the samples that came too late for their row.
    """

    samples: Samples
    newest: I64
    received: I64
    next_end: I64
    late: I64
    modes: ModeState


@dataclass(frozen=True, slots=True)
class Group:
    """Features of one window length, the signals they read and the functions they need."""

    window_ns: int
    signals: tuple[int, ...]
    functions: tuple[str, ...]
    features: tuple[int, ...]


class Layout:
    """Positions of a line's assets, signals and features."""

    def __init__(self, config: LineConfig) -> None:
        pipeline = config.pipeline
        self.config = config
        self.pipeline = pipeline
        self.assets = [asset.name for asset in config.assets]
        self.asset_index = {name: position for position, name in enumerate(self.assets)}
        used = {name for feature in pipeline.features for name in (feature.of, feature.minus, feature.over) if name}
        self.signals = [signal.name for signal in pipeline.signals if signal.name in used]
        self.signal_index = {name: position for position, name in enumerate(self.signals)}
        self.modes = Modes(pipeline.modes, {feature.name: i for i, feature in enumerate(pipeline.features)})
        self.groups = tuple(self._groups())
        self.longest_ns = max(group.window_ns for group in self.groups)
        # Expected time between samples of every series (ns); a signal an asset does not have has none.
        self.interval_ns = np.array(
            [[a.signals.get(s, np.nan) for s in self.signals] for a in config.assets], np.float64
        ).reshape(-1)
        self.metadata = {
            "pipeline_digest": pipeline.digest,
            "features": json.dumps([feature.name for feature in pipeline.features]),
            "units": json.dumps([feature.unit for feature in pipeline.features]),
            "software": json.dumps(SOFTWARE),
        }

    def _groups(self) -> Iterator[Group]:
        features = self.pipeline.features
        for window_ns in sorted({feature.window_ns for feature in features}):
            members = [i for i, feature in enumerate(features) if feature.window_ns == window_ns]
            read = {name for i in members for name in (features[i].of, features[i].minus, features[i].over) if name}
            yield Group(
                window_ns,
                tuple(sorted(self.signal_index[name] for name in read)),
                tuple(sorted({features[i].function.value for i in members})),
                tuple(members),
            )


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to form: asset position and window end (ns), sorted by end and asset."""

    asset: I64
    end: I64

    def __len__(self) -> int:
        return len(self.asset)


class FeaturizeStep:
    """Step of the featurize role for one line."""

    version: Final = 1

    def __init__(self, config: LineConfig) -> None:
        self.layout = Layout(config)

    def initial(self, config: LineConfig) -> FeaturizerState:
        """State before the first block."""
        layout = self.layout = Layout(config)
        count = len(layout.assets)
        return FeaturizerState(
            Samples.empty(),
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
        arrived = self._read(item)
        outputs: list[Output] = []
        state = self._skip_silence(state, arrived, outputs)
        state = self._admit(state, arrived)
        state = self._form(state, self._watermark(state), outputs)
        return state, outputs

    def reconfigure(self, state: FeaturizerState, config: LineConfig) -> FeaturizerState:
        """State under a new config: samples and modes of assets and signals that remain."""
        before, after = self.layout, Layout(config)
        index = np.array([before.asset_index.get(name, -1) for name in after.assets], np.int64)
        self.layout = after
        return FeaturizerState(
            _renumber(state.samples, before, after),
            replace_rows(state.newest, index, NEVER),
            replace_rows(state.received, index, NEVER),
            self._realigned(replace_rows(state.next_end, index, NEVER), before.pipeline.every_ns),
            replace_rows(state.late, index, 0),
            after.modes.reorder(state.modes, index, before.modes.names),
        )

    def snapshot(self, state: FeaturizerState) -> Snapshot:
        """State at rest."""
        arrays = {f"samples.{name}": column for name, column in state.samples.columns().items()}
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
        columns = {name[8:]: column for name, column in arrays.items() if name.startswith("samples.")}
        return FeaturizerState(
            Samples.from_columns(columns),
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
            "buffered": len(state.samples),
        }

    def _read(self, block: Block) -> Samples:
        layout, batch = self.layout, block.batch
        asset = codes(batch, "asset").to_index(layout.asset_index)
        signal = codes(batch, "signal").to_index(layout.signal_index)
        rows = np.flatnonzero((asset >= 0) & (signal >= 0))
        return Samples.from_columns(
            {
                "series": (asset * len(layout.signals) + signal)[rows],
                "time": numbers(batch, "source_time")[rows],
                "ordinal": numbers(batch, "ordinal")[rows],
                "value": numbers(batch, "value")[rows],
                "quality": numbers(batch, "quality")[rows],
                "sequence": np.full(len(rows), block.sequence),
                "received": numbers(batch, "received_time")[rows],
            }
        )

    def _asset_of(self, samples: Samples) -> I64:
        return samples.series // len(self.layout.signals)

    def _watermark(self, state: FeaturizerState) -> I64:
        known = state.newest != NEVER
        return np.where(known, state.newest - self.layout.pipeline.lateness_ns, NEVER)

    def _aligned(self, time: I64) -> I64:
        """End of the row that holds a time: the next whole multiple of the step after it."""
        every = self.layout.pipeline.every_ns
        return np.where(time == NEVER, NEVER, time // every * every + every)

    def _realigned(self, next_end: I64, every_before: int) -> I64:
        return next_end if every_before == self.layout.pipeline.every_ns else self._aligned(next_end - 1)

    def _skip_silence(self, state: FeaturizerState, arrived: Samples, outputs: list[Output]) -> FeaturizerState:
        """Finish what an asset sent before a silence longer than every window, and go on after it.

        Without this the first sample after a week would form a week of empty rows.
        """
        first = self._first_times(arrived)
        silence = self.layout.longest_ns + self.layout.pipeline.every_ns
        skips = (state.newest != NEVER) & (first != NEVER) & (first - state.newest > silence)
        if not skips.any():
            return state
        state = self._form(state, np.where(skips, state.newest + self.layout.pipeline.every_ns, NEVER), outputs)
        return replace(state, next_end=np.where(skips, self._aligned(first), state.next_end))

    def _first_times(self, arrived: Samples) -> I64:
        first = np.full(len(self.layout.assets), np.iinfo(np.int64).max)
        believed = arrived.quality & Quality.CLOCK == 0
        np.minimum.at(first, self._asset_of(arrived)[believed], arrived.time[believed])
        return np.where(first == np.iinfo(np.int64).max, NEVER, first)

    def _admit(self, state: FeaturizerState, arrived: Samples) -> FeaturizerState:
        """Buffer what is in time; count what is late; move each asset's newest time."""
        asset = self._asset_of(arrived)
        believed = arrived.quality & Quality.CLOCK == 0
        first = self._first_times(arrived)
        starts = (state.next_end == NEVER) & (first != NEVER)
        next_end = np.where(starts, self._aligned(first), state.next_end)
        late = believed & (arrived.time < (next_end - self.layout.pipeline.every_ns)[asset])
        newest, received, late_count = state.newest.copy(), state.received.copy(), state.late.copy()
        np.maximum.at(newest, asset[believed], arrived.time[believed])
        np.maximum.at(received, asset, arrived.received)
        np.add.at(late_count, asset[late], 1)
        samples = state.samples.merge(arrived.take(believed & ~late))
        return FeaturizerState(samples, newest, received, next_end, late_count, state.modes)

    def _form(self, state: FeaturizerState, watermark: I64, outputs: list[Output]) -> FeaturizerState:
        """Form all rows whose end the watermark has passed, and let go of the samples no later row needs."""
        every = self.layout.pipeline.every_ns
        ready = np.where(
            (state.next_end != NEVER) & (watermark >= state.next_end), (watermark - state.next_end) // every + 1, 0
        )
        if not ready.any():
            return state
        rows = _rows(ready, state.next_end, every)
        values, coverage, quality = self._features(state.samples, rows)
        modes, mode_rows = self.layout.modes.classify(state.modes, rows.asset, rows.end, values)
        outputs.append(self._batch(state.samples, rows, values, coverage, quality, mode_rows))
        next_end = state.next_end + ready * every
        needed = (
            state.samples.time >= (next_end - every)[self._asset_of(state.samples)] + every - self.layout.longest_ns
        )
        return replace(state, samples=state.samples.take(needed), next_end=next_end, modes=modes)

    def _features(self, samples: Samples, rows: Rows) -> tuple[F64, F64, I64]:
        """Values, coverage and quality flags, each [rows, features]."""
        features = self.layout.pipeline.features
        good = samples.take(samples.quality & UNUSABLE == 0)
        shape = (len(rows), len(features))
        values, coverage, quality = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape, np.int64)
        for group in self.layout.groups:
            table, share, marks = self._group(samples, good, rows, group)
            where = {signal: position for position, signal in enumerate(group.signals)}
            for i in group.features:
                read = self._read_by(features[i])
                picked = [table[where[s], :, group.functions.index(features[i].function.value)] for s in read]
                values[:, i] = _combine(features[i], picked)
                coverage[:, i] = np.minimum.reduce([share[where[s]] for s in read])
                quality[:, i] = np.bitwise_or.reduce([marks[where[s]] for s in read])
        return values, coverage, quality

    def _read_by(self, feature: FeatureConfig) -> list[int]:
        return [self.layout.signal_index[name] for name in (feature.of, feature.minus or feature.over) if name]

    def _group(self, samples: Samples, good: Samples, rows: Rows, group: Group) -> tuple[F64, F64, I64]:
        """Statistics [signals, rows, functions], coverage and flags [signals, rows] of one window length."""
        shape = (len(group.signals), len(rows))
        series = (rows.asset * len(self.layout.signals) + np.array(group.signals)[:, None]).reshape(-1)
        end = np.broadcast_to(rows.end, shape).reshape(-1)
        starts, ends = positions(good, series, end - group.window_ns), positions(good, series, end)
        table = segment_statistics(good.value, good.time, starts, ends, group.functions)
        covered = (ends - starts) * self.layout.interval_ns[series]
        share = np.nan_to_num(np.minimum(covered / group.window_ns, 1.0), nan=0.0)
        if len(good) == len(samples):
            marks = np.zeros(len(series), np.int64)
        else:
            whole = positions(samples, series, end - group.window_ns), positions(samples, series, end)
            marks = flags(samples.quality, *whole)
        return table.reshape(*shape, -1), share.reshape(shape), marks.reshape(shape)

    def _batch(self, samples: Samples, rows: Rows, values: F64, coverage: F64, quality: I64, modes: Any) -> Output:
        layout = self.layout
        width = len(layout.signals)
        # An asset's series are neighbours, but its window is a slice only within each of them.
        series = (rows.asset * width + np.arange(width)[:, None]).reshape(-1)
        end = np.broadcast_to(rows.end, (width, len(rows))).reshape(-1)
        bounds = positions(samples, series, end - layout.longest_ns), positions(samples, series, end)
        first, _ = extremes(samples.sequence, *bounds, empty=np.iinfo(np.int64).max)
        _, last = extremes(samples.sequence, *bounds, empty=0)
        _, received = extremes(samples.received, *bounds, empty=0)
        first = first.reshape(width, -1).min(axis=0)
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
                "telemetry_last": last.reshape(width, -1).max(axis=0).astype(np.uint64),
                "received_last": encode_times(received.reshape(width, -1).max(axis=0)),
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
    width = len(before.signals)
    asset = np.array([after.asset_index.get(name, -1) for name in before.assets], np.int64)
    signal = np.array([after.signal_index.get(name, -1) for name in before.signals], np.int64)
    if not len(samples):
        return samples
    new_asset, new_signal = asset[samples.series // width], signal[samples.series % width]
    kept = (new_asset >= 0) & (new_signal >= 0)
    moved = samples.take(kept)
    moved.series = (new_asset * len(after.signals) + new_signal)[kept]
    return Samples.empty().merge(moved)
