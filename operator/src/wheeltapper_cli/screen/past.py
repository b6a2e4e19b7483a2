"""What the streams of late say of every twin: scores, features and modes, in bounded memory. Pure: batches in.

Blocks stay arrays; only a change of mode, which is rare, becomes an object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from wheeltapper_api.config import LineConfig
from wheeltapper_cli.screen.series import CELLS, F32, I64, Series
from wheeltapper_workers.alerts import explain
from wheeltapper_workers.runtime.blocks import codes, matrix, metadata, numbers

SPAN_NS: Final = 10 * 60 * 10**9
"""The time a sparkline shows, unless windows are so far apart that it has to be longer to show anything."""
_SPAN_WINDOWS: Final = 30
"""Windows a sparkline shows at least."""
_MODES_KEPT: Final = 16
_NEVER: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class ModeChange:
    """A mode with its load band, and when it began (event time)."""

    mode: str
    band: int
    since_ns: int


class Inputs:
    """What the newest scores of one model rest on: what it expected of its inputs and how far off they are.

    Parameters
    ----------
    features
        Names of the inputs.
    count
        Number of assets.
    """

    def __init__(self, features: list[str], count: int) -> None:
        self.features = features
        self.expected = np.full((count, len(features)), np.nan)
        self.deviation = np.full((count, len(features)), np.nan)
        self._end_ns = np.full(count, _NEVER)

    def take(self, asset: I64, end: I64, batch: pa.RecordBatch, rows: I64) -> None:
        """Take rows of this model in, one an asset; what was expected before holds while a machine stands."""
        found = [batch.column(name).take(pa.array(rows)) for name in ("expected", "deviation")]
        if any(len(lists.flatten()) != len(rows) * len(self.features) for lists in found):
            return  # made with other inputs
        expected, deviation = (np.asarray(lists.flatten()).reshape(len(rows), -1) for lists in found)
        newer = end >= self._end_ns[asset]
        asset, expected = asset[newer], expected[newer]
        self._end_ns[asset], self.deviation[asset] = end[newer], deviation[newer]
        known = ~np.isnan(expected).all(axis=1)
        self.expected[asset[known]] = expected[known]


class LinePast:
    """The late past of one line's assets."""

    def __init__(self, config: LineConfig) -> None:
        self.config = config
        every_ns = config.pipeline.every_ns
        self.span_ns = max(SPAN_NS, _SPAN_WINDOWS * every_ns)
        cell_ns = max(every_ns, self.span_ns // CELLS)
        self.cells = max(1, self.span_ns // cell_ns)
        """How many of the cells of a series are of this span."""
        self.assets = {asset.name: position for position, asset in enumerate(config.assets)}
        self.models = {model.name: position for position, model in enumerate(config.models)}
        self.features = [feature.name for feature in config.pipeline.features]
        self._digest = config.pipeline.digest
        count, width = len(self.assets), len(self.features)
        self._scores = Series(count * max(1, len(self.models)), cell_ns, keep_peak=True)
        self._features = Series(count * max(1, width), cell_ns, keep_peak=False)
        self._values = np.full((count, width), np.nan)
        self._value_ns = np.full(count, _NEVER)
        self._inputs = [Inputs([entry.feature for entry in model.inputs], count) for model in config.models]
        self._modes: list[deque[ModeChange]] = [deque(maxlen=_MODES_KEPT) for _ in config.assets]
        self._mode_since = np.full(count, _NEVER)

    @property
    def titles(self) -> dict[str, str]:
        """Titles of the failure modes, by the name of their model."""
        return {model.name: model.failure_mode for model in self.config.models}

    def mode_title(self, name: str) -> str:
        """Title of an operating mode."""
        return next((mode.title for mode in self.config.pipeline.modes if mode.name == name), name)

    def mode_text(self, change: ModeChange) -> str:
        """A mode with its load, such as ``steady at 150 to 175 m³/h``."""
        found = next((mode for mode in self.config.pipeline.modes if mode.name == change.mode), None)
        if found is None:
            return change.mode
        return explain.state_text(found.title, found.band_unit, found.edges if found.band_of else [], change.band)

    def take_features(self, batch: pa.RecordBatch) -> None:
        """Take a block of the FEATURES stream in."""
        asset, end = codes(batch, "asset").to_index(self.assets), numbers(batch, "window_end")
        kept = np.flatnonzero(asset >= 0)
        if not len(kept) or not self._is_of_this_pipeline(batch):
            return
        values = matrix(batch, "values")
        asset, end, values = asset[kept], end[kept], values[kept]
        width = len(self.features)
        series = asset[:, None] * width + np.arange(width)
        self._features.put(series.reshape(-1), np.repeat(end, width), values.reshape(-1))
        newest = _newest_rows(asset, end)
        newest = newest[end[newest] >= self._value_ns[asset[newest]]]
        self._values[asset[newest]], self._value_ns[asset[newest]] = values[newest], end[newest]
        self._take_modes(batch, asset, kept)

    def take_scores(self, batch: pa.RecordBatch) -> None:
        """Take a block of the SCORES stream in."""
        asset, model = (codes(batch, name).to_index(index) for name, index in self._score_index())
        end = numbers(batch, "window_end")
        kept = np.flatnonzero((asset >= 0) & (model >= 0))
        if not len(kept) or not self._is_of_this_pipeline(batch):
            return
        series = asset[kept] * len(self.models) + model[kept]
        self._scores.put(series, end[kept], numbers(batch, "score")[kept])
        newest = kept[_newest_rows(series, end[kept])]
        for position, inputs in enumerate(self._inputs):
            rows = newest[model[newest] == position]
            if len(rows):
                inputs.take(asset[rows], end[rows], batch, rows)

    def score_row(self, asset: str, model: str) -> F32 | None:
        """Peaks of a score over the span, the oldest first; None if there is no such pair."""
        if asset not in self.assets or model not in self.models:
            return None
        return self._scores.row(self.assets[asset] * len(self.models) + self.models[model])[-self.cells :]

    def feature_row(self, asset: str, feature: str) -> F32:
        """Values of a feature over the span, the oldest first."""
        position = self.features.index(feature)
        return self._features.row(self.assets[asset] * len(self.features) + position)[-self.cells :]

    def value(self, asset: str, feature: str) -> float:
        """Newest value of a feature, NaN if there is none."""
        return float(self._values[self.assets[asset], self.features.index(feature)])

    def inputs(self, asset: str, model: str) -> list[tuple[str, float, float]]:
        """Of a model's inputs: feature, what is expected of it, deviation; NaN where that is not known."""
        found, row = self._inputs[self.models[model]], self.assets[asset]
        expected, deviation = found.expected[row].tolist(), found.deviation[row].tolist()
        return list(zip(found.features, expected, deviation, strict=True))

    def modes(self, asset: str) -> list[ModeChange]:
        """Changes of mode, the newest first."""
        return list(reversed(self._modes[self.assets[asset]]))

    def _is_of_this_pipeline(self, batch: pa.RecordBatch) -> bool:
        """Rows made by a pipeline that is no longer, or not yet, this one have other columns."""
        return metadata(batch).get("pipeline_digest") == self._digest

    def _score_index(self) -> tuple[tuple[str, dict[str, int]], tuple[str, dict[str, int]]]:
        return ("asset", self.assets), ("failure_model", self.models)

    def _take_modes(self, batch: pa.RecordBatch, asset: I64, kept: I64) -> None:
        mode, band, since = codes(batch, "mode"), numbers(batch, "band"), numbers(batch, "mode_since")
        for row in np.flatnonzero(since[kept] > self._mode_since[asset]).tolist():
            position, began = int(asset[row]), int(since[kept[row]])
            code = int(mode.codes[kept[row]])
            if code < 0 or began <= self._mode_since[position]:
                continue
            self._mode_since[position] = began
            self._modes[position].append(ModeChange(mode.names[code], int(band[kept[row]]), began))


class Past:
    """The late past of all lines, by line key; follows the configs of the installation."""

    def __init__(self) -> None:
        self.lines: dict[str, LinePast] = {}

    def configure(self, tenant: str, lines: Iterable[LineConfig]) -> None:
        """Follow the lines of a tenant as they are now; one whose rows mean something else begins anew."""
        now = {line.line.key: line for line in lines}
        for key in [key for key, past in self.lines.items() if past.config.line.tenant == tenant and key not in now]:
            del self.lines[key]
        for key, config in now.items():
            before = self.lines.get(key)
            if before is not None and _meaning(before.config) == _meaning(config):
                before.config = config
            else:
                self.lines[key] = LinePast(config)

    @property
    def span_ns(self) -> int:
        """The longest time any sparkline shows."""
        return max((line.span_ns for line in self.lines.values()), default=SPAN_NS)

    def of(self, tenant: str, plant: str, twin: str) -> LinePast | None:
        """The line of a twin."""
        for past in self.lines.values():
            line = past.config.line
            if (line.tenant, line.plant) == (tenant, plant) and twin in past.assets:
                return past
        return None


def _meaning(config: LineConfig) -> tuple[object, ...]:
    """What rows are of: a changed title or policy is not among it."""
    models = [(model.name, [entry.feature for entry in model.inputs]) for model in config.models]
    return config.pipeline.digest, [asset.name for asset in config.assets], models


def _newest_rows(group: I64, end: I64) -> I64:
    """Row with the newest end of each group."""
    order = np.lexsort((end, group))
    last = np.append(np.diff(group[order]) != 0, [True] * bool(len(order)))
    newest: I64 = order[last]
    return newest
