"""The scorer: a step from feature rows to scores, one run of each model for all assets of the line.

Where a model has no score the row says why: the machine is in a mode in which the model does not answer, there are too
few good samples, or the baseline of this mode is still being learned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.config import LineConfig
from wheeltapper_api.fields import duration_text
from wheeltapper_api.wire import NoScore, Stage
from wheeltapper_workers.detectors import baseline
from wheeltapper_workers.detectors.baseline import BaselineState
from wheeltapper_workers.features.modes import UNKNOWN
from wheeltapper_workers.runtime.blocks import (
    Block,
    Item,
    codes,
    encode_matrix,
    encode_names,
    encode_times,
    make_batch,
    matrix,
    metadata,
    numbers,
)
from wheeltapper_workers.runtime.step import Output, Snapshot, replace_rows
from wheeltapper_workers.scoring.comparable import comparable
from wheeltapper_workers.scoring.learning import unpack_learned
from wheeltapper_workers.scoring.model import MIN_WINDOWS, Model, Regimes, bind

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_REASONS: Final = [reason.value for reason in (NoScore.NONE, NoScore.MODE, NoScore.NO_DATA, NoScore.LEARNING)]


@dataclass(frozen=True, slots=True)
class ModelState:
    """Of one model: the baselines of all assets, and the detector's state [assets, rows, inputs]."""

    baseline: BaselineState
    detector: F64
    digests: tuple[str, ...]
    """Of each asset's baseline, empty before any of it is final."""

    @classmethod
    def of(cls, learned: BaselineState, detector: F64) -> ModelState:
        """State with the digests of its baselines."""
        final = np.asarray(learned.frozen.any(axis=1))
        found = baseline.digests(learned) if final.any() else [""] * len(final)
        return cls(
            learned, detector, tuple(digest if known else "" for digest, known in zip(found, final, strict=True))
        )


@dataclass(frozen=True, slots=True)
class ScorerState:
    """State of a line: per model by name, and the newest window end (ns) of each asset."""

    models: dict[str, ModelState]
    newest: I64


@dataclass(frozen=True, slots=True)
class Grid:
    """The rows of a block as [windows, assets]: T distinct ends, N assets, with the block's row of each cell or -1."""

    ends: I64
    row: I64

    @classmethod
    def of(cls, asset: I64, end: I64, assets: int) -> Grid:
        """Grid of rows."""
        ends, window = np.unique(end, return_inverse=True)
        row = np.full((len(ends), assets), -1, np.int64)
        row[window, asset] = np.arange(len(asset))
        return cls(ends, row)

    def spread(self, column: npt.NDArray[Any], empty: Any) -> npt.NDArray[Any]:
        """A column of rows on the grid."""
        padded = np.concatenate((column, np.full((1, *column.shape[1:]), empty, column.dtype)))
        return padded[self.row]


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of a feature block that the models need; ``kept`` are the block's rows they came from."""

    asset: I64
    end: I64
    mode: I64
    regime: I64
    values: F64
    coverage: F64
    kept: I64

    def __len__(self) -> int:
        return len(self.asset)


class ScoreStep:
    """Step of the score role for one line."""

    version: Final = 1
    learns: ClassVar[bool] = True
    """Whether it learns baselines; a step that scores anew with what was learned does not."""

    def __init__(self, config: LineConfig) -> None:
        self._bind(config)

    def _bind(self, config: LineConfig) -> None:
        self._config = config
        self._assets = [asset.name for asset in config.assets]
        self._index = {name: position for position, name in enumerate(self._assets)}
        self._modes = {mode.name: position for position, mode in enumerate(config.pipeline.modes)}
        self._regimes = Regimes.of(config)
        self._models = [bind(config, model) for model in config.models]

    def initial(self, config: LineConfig) -> ScorerState:
        """State before the first block."""
        self._bind(config)
        newest = np.full(len(self._assets), np.iinfo(np.int64).min)
        return ScorerState({model.config.name: self._fresh(model) for model in self._models}, newest)

    def step(self, state: ScorerState, item: Item) -> tuple[ScorerState, list[Output]]:
        """Score the rows of a feature block; take over what a tick says of the past."""
        if not isinstance(item, Block):
            return self._adopt(state, item.learned) if item.learned else state, []
        rows = self._read(item.batch, state.newest)
        if not len(rows) or not self._models:
            return state, []
        newest = state.newest.copy()
        np.maximum.at(newest, rows.asset, rows.end)
        grid = Grid.of(rows.asset, rows.end, len(self._assets))
        models, parts = dict(state.models), []
        for model in self._models:
            name = model.config.name
            before = models[name]
            models[name], part = self._score(model, before, rows, grid)
            parts.append(part)
        after = ScorerState(models, newest)
        return after, [self._batch(item, rows, parts, after)]

    def reconfigure(self, state: ScorerState, config: LineConfig) -> ScorerState:
        """State under a new config: baselines and averages of assets and models that mean the same as before."""
        before_models = {model.config.name: model for model in self._models}
        before_index, before = dict(self._index), self._config.pipeline
        self._bind(config)
        index = np.array([before_index.get(name, -1) for name in self._assets], np.int64)
        models = {}
        for model in self._models:
            old = before_models.get(model.config.name)
            if old is None or not comparable(old.config, before, model.config, config.pipeline):
                models[model.config.name] = self._fresh(model)
                continue
            kept = state.models[model.config.name]
            same = old.session.digest == model.session.digest
            detector = replace_rows(kept.detector, index, 0.0) if same else self._fresh(model).detector
            models[model.config.name] = ModelState.of(baseline.select(kept.baseline, index), detector)
        return ScorerState(models, replace_rows(state.newest, index, np.iinfo(np.int64).min))

    def snapshot(self, state: ScorerState) -> Snapshot:
        """State at rest."""
        arrays: dict[str, npt.NDArray[Any]] = {"newest": state.newest}
        for name, kept in state.models.items():
            arrays |= {f"{name}/{key}": array for key, array in kept.baseline.to_arrays().items()}
            arrays[f"{name}/detector"] = kept.detector
        digests = {model.config.name: model.session.digest for model in self._models}
        return Snapshot(arrays, {"assets": self._assets, "models": digests})

    def restore(self, snapshot: Snapshot, config: LineConfig) -> ScorerState:
        """State from rest, made under the same config."""
        self._bind(config)
        digests = {model.config.name: model.session.digest for model in self._models}
        if snapshot.document != {"assets": self._assets, "models": digests}:
            raise ValueError("The checkpoint is of other assets or models")
        models = {}
        for name in digests:
            own = {k.split("/", 1)[1]: v for k, v in snapshot.arrays.items() if k.startswith(f"{name}/")}
            detector = own.pop("detector")
            models[name] = ModelState.of(BaselineState.from_arrays(own), detector)
        return ScorerState(models, snapshot.arrays["newest"])

    def summary(self, state: ScorerState) -> dict[str, Any]:
        """Digest of each model, and how far the learning of each asset is."""
        return {
            "models": {model.config.name: model.session.digest for model in self._models},
            "learning": self._learning(state),
        }

    def _adopt(self, state: ScorerState, packed: bytes) -> ScorerState:
        """State with baselines that were learned from the past, where an asset has learned nothing of a model yet."""
        assets, learned = unpack_learned(packed)
        place = {name: position for position, name in enumerate(assets)}
        index = np.array([place.get(name, -1) for name in self._assets], np.int64)
        models = dict(state.models)
        for name in learned.keys() & models.keys():
            now, past = models[name].baseline, baseline.select(learned[name], index)
            if past.reservoir.shape == now.reservoir.shape:
                nothing_yet = now.first_ns == np.iinfo(np.int64).min
                models[name] = ModelState.of(baseline.merge(now, past, nothing_yet), models[name].detector)
        return replace(state, models=models)

    def _fresh(self, model: Model) -> ModelState:
        count = len(self._assets)
        empty = BaselineState.empty(count, self._regimes.count, len(model.inputs))
        return ModelState.of(empty, model.session.initial_state(count))

    def _read(self, batch: pa.RecordBatch, newest: I64) -> Rows:
        """Rows of known assets that are newer than what was scored: a row that comes a second time changes nothing."""
        asset, end = codes(batch, "asset").to_index(self._index), numbers(batch, "window_end")
        kept = np.flatnonzero(asset >= 0)
        kept = kept[end[kept] > newest[asset[kept]]]
        mode = codes(batch, "mode").to_index(self._modes)[kept]
        band = numbers(batch, "band")[kept].astype(np.int64)
        return Rows(
            asset[kept],
            end[kept],
            mode,
            self._regimes.number(mode, band),
            matrix(batch, "values")[kept],
            matrix(batch, "coverage")[kept],
            kept,
        )

    def _score(self, model: Model, state: ModelState, rows: Rows, grid: Grid) -> tuple[ModelState, dict[str, Any]]:
        """Scores of one model for all rows of the assets it is used for."""
        coverage = rows.coverage[:, model.inputs].min(axis=1)
        values = np.where((coverage >= model.config.min_coverage)[:, None], rows.values[:, model.inputs], np.nan)
        in_mode = np.isin(rows.mode, model.modes)
        used = model.assets[rows.asset]
        active = used & in_mode & (rows.regime >= 0)
        dense = (grid.spread(values, np.nan), grid.spread(active, False), grid.spread(rows.regime, -1))
        score, deviation, expected, digests = [], [], [], []
        frozen = np.zeros(grid.row.shape, bool)
        for chunk in _chunks(model, state.baseline, dense[1], dense[2], grid.ends):
            v, a, m = (array[chunk] for array in dense)
            if self.learns:
                state = _learn(model, state, v, a, m, grid.ends[chunk])
            frozen[chunk] = state.baseline.frozen[np.arange(len(self._assets)), np.maximum(m, 0)] & (m >= 0)
            result = model.session.run(
                v, a, np.maximum(m, 0), state.baseline.center, state.baseline.spread, state.detector
            )
            state = replace(state, detector=result.state)
            digests += [state.digests] * (chunk.stop - chunk.start)
            score.append(result.score)
            deviation.append(result.deviation)
            expected.append(result.expected)
        shown = np.flatnonzero(used)
        cell = np.searchsorted(grid.ends, rows.end[shown]), rows.asset[shown]
        reason = _reasons(rows.mode[shown], in_mode[shown], values[shown], frozen[cell] | (not model.learns))
        return state, {
            "rows": shown,
            "score": np.concatenate(score)[cell],
            "reason": reason,
            "values": rows.values[shown][:, model.inputs],
            "expected": np.concatenate(expected)[cell],
            "deviation": np.concatenate(deviation)[cell],
            "coverage": coverage[shown],
            "baseline": [digests[window][asset] for window, asset in zip(*cell, strict=True)],
        }

    def _batch(self, block: Block, rows: Rows, parts: list[dict[str, Any]], state: ScorerState) -> pa.RecordBatch:
        batch = block.batch
        picked = np.concatenate([part["rows"] for part in parts])
        source = rows.kept[picked]
        which = np.repeat(np.arange(len(parts)), [len(part["rows"]) for part in parts])
        baselines = sorted({digest for part in parts for digest in part["baseline"]})
        place = {digest: position for position, digest in enumerate(baselines)}
        learned = [place[digest] for part in parts for digest in part["baseline"]]
        columns: dict[str, Any] = {
            "asset": encode_names(self._assets, rows.asset[picked]),
            "failure_model": encode_names([model.config.name for model in self._models], which),
            "window_end": encode_times(rows.end[picked]),
            "mode": encode_names(list(self._modes), rows.mode[picked]),
            "band": numbers(batch, "band")[source],
            "mode_since": encode_times(numbers(batch, "mode_since")[source]),
            "reason": encode_names(_REASONS, np.concatenate([part["reason"] for part in parts])),
            "model_digest": encode_names([model.session.digest for model in self._models], which),
            "baseline_digest": encode_names(baselines, np.array(learned, np.int64)),
            "features_sequence": np.full(len(picked), block.sequence, np.uint64),
            "telemetry_first": numbers(batch, "telemetry_first")[source],
            "telemetry_last": numbers(batch, "telemetry_last")[source],
            "received_last": encode_times(numbers(batch, "received_last")[source]),
        }
        for name in ("score", "coverage"):
            columns[name] = np.concatenate([part[name] for part in parts])
        for name in ("values", "expected", "deviation"):
            columns[name] = pa.concat_arrays([encode_matrix(part[name]) for part in parts])
        carried = {key: value for key, value in metadata(batch).items() if key in ("pipeline_digest", "software")}
        return make_batch(Stage.SCORES, columns, carried | {"learning": json.dumps(self._learning(state))})

    def _learning(self, state: ScorerState) -> dict[str, dict[str, str]]:
        """Per asset and model: ``3 h of 24 h`` until the first baseline is final."""
        told: dict[str, dict[str, str]] = {}
        for model in self._models:
            learned = state.models[model.config.name].baseline
            waiting = model.assets & ~learned.frozen.any(axis=1) if model.learns else np.zeros(len(self._assets), bool)
            if not waiting.any():
                continue
            whole, spans = duration_text(model.at_least_ns), learned.span_ns
            # Most machines began together, so a few texts serve them all.
            texts = {span: f"{duration_text(span)} of {whole}" for span in set(spans[waiting].tolist())}
            for position in np.flatnonzero(waiting).tolist():
                told.setdefault(self._assets[position], {})[model.config.name] = texts[int(spans[position])]
        return told


def _chunks(model: Model, learned: BaselineState, active: Bools, regime: I64, ends: I64) -> Iterator[slice]:
    """Windows to be done at once: one by one while a baseline may become final between them, else all together.

    So a baseline takes effect at the same window, however rows were put into blocks.
    """
    whole = slice(0, len(ends))
    frozen = learned.frozen[np.arange(active.shape[1]), np.maximum(regime, 0)]
    learning = (active & ~frozen).any(axis=0)
    if not model.learns or not learning.any():
        return iter([whole])
    first = np.where(learned.first_ns[learning] > np.iinfo(np.int64).min, learned.first_ns[learning], ends[0])
    if ends[-1] - int(first.min()) < model.at_least_ns:
        return iter([whole])
    return (slice(i, i + 1) for i in range(len(ends)))


def _learn(model: Model, state: ModelState, values: F64, active: Bools, regime: I64, ends: I64) -> ModelState:
    if not model.learns or state.baseline.frozen[model.assets].all():
        return state
    learned = baseline.learn(state.baseline, values, active, regime, ends)
    final = baseline.freeze(learned, model.at_least_ns, MIN_WINDOWS, model.resolution)
    return replace(state, baseline=final) if final is learned else ModelState.of(final, state.detector)


def _reasons(mode: I64, in_mode: Bools, values: F64, learned: Bools) -> I64:
    reason = np.where(learned, 0, _REASONS.index(NoScore.LEARNING.value))
    reason = np.where(np.isnan(values).any(axis=1), _REASONS.index(NoScore.NO_DATA.value), reason)
    reason = np.where(in_mode, reason, _REASONS.index(NoScore.MODE.value))
    return np.where(mode == UNKNOWN, _REASONS.index(NoScore.NO_DATA.value), reason)
