"""Baselines for a config that a line does not run yet, learned from the line's stored samples.

They are what the line would have learned if it had run the config from the beginning of what is stored: the same steps
over the same samples, one machine after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from wheeltapper_api.config import AssetConfig, LineConfig
from wheeltapper_api.wire import Quality, Stage
from wheeltapper_workers.detectors import baseline
from wheeltapper_workers.detectors.baseline import BaselineState
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.late.lateness import Rules
from wheeltapper_workers.history.rows import block_of
from wheeltapper_workers.history.stored import of_line
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime.blocks import Block
from wheeltapper_workers.scoring.learning import pack_learned
from wheeltapper_workers.scoring.scorer import ScorerState, ScoreStep

_LONG_ENOUGH: Final = 3
"""Times the time that a baseline needs at least: by then every mode that is common was seen."""
_STREAM: Final = Stage.TELEMETRY.stream


def learn(store: Store, config: LineConfig, models: list[str], go_on: Callable[[], None] = lambda: None) -> bytes:
    """Baselines of models for all assets of a line, packed as a tick carries them; empty if nothing is stored.

    Parameters
    ----------
    models
        Names of models of the config.
    go_on
        Called before anything is read; what it raises ends the work.

    Raises
    ------
    DeltaError, ArrowException, OSError
        If the tables cannot be read.
    """
    dataset = store.dataset(config.line.tenant, "raw")
    if dataset is None or not config.assets:
        return b""
    days = _days(dataset, config)
    learned = [_learn_asset(dataset, config, asset, models, days, go_on) for asset in config.assets]
    if not any((one.first_ns != np.iinfo(np.int64).min).any() for states in learned for one in states.values()):
        return b""
    joined = {name: baseline.join([states[name] for states in learned]) for name in models}
    return pack_learned([asset.name for asset in config.assets], joined)


def _days(dataset: pads.Dataset, config: LineConfig) -> list[date]:
    """Days of which samples of the line are stored."""
    found = {
        keys["day"]
        for fragment in dataset.get_fragments(filter=of_line(config.line))
        if "day" in (keys := pads.get_partition_keys(fragment.partition_expression))
    }
    return sorted(found)


def _learn_asset(
    dataset: pads.Dataset,
    config: LineConfig,
    asset: AssetConfig,
    models: list[str],
    days: list[date],
    go_on: Callable[[], None],
) -> dict[str, BaselineState]:
    """Baselines of one asset by model."""
    own = config.model_copy(
        update={"assets": [asset], "models": [model for model in config.models if model.name in models]}
    )
    featurizer, scorer = FeaturizeStep(own), ScoreStep(own)
    features, scores = featurizer.initial(own), scorer.initial(own)
    enough_ns = _LONG_ENOUGH * max(model.baseline_at_least_ns or 0 for model in own.models)
    where = of_line(own.line) & (pc.field("asset") == asset.name) & _believed(Rules.of(own))
    for day in days if asset.models else []:
        go_on()
        for rows in _parts(dataset.to_table(filter=where & (pc.field("day") == day))):
            features, made = featurizer.step(features, Block(_STREAM, 0, block_of(rows)))
            for one in made:
                if isinstance(one, pa.RecordBatch):
                    scores, _ = scorer.step(scores, Block(Stage.FEATURES.stream, 0, one))
        if _seen_ns(scores) >= enough_ns:
            break
    return {name: scores.models[name].baseline for name in models}


def _believed(rules: Rules) -> pc.Expression:
    """Samples that a feature reads, at times that can be true."""
    read = pc.field("signal").isin(list(rules.signals))
    return read & (pc.bit_wise_and(pc.field("quality"), pa.scalar(int(Quality.CLOCK), pa.int32())) == 0)


def _parts(rows: pa.Table) -> Iterator[pa.Table]:
    """Bursts, and then plain samples, as a collector sends them."""
    bursts = rows["sample_rate"].is_valid()
    for chosen in (bursts, pc.invert(bursts)):
        part = rows.filter(chosen)
        if part.num_rows:
            yield part


def _seen_ns(scores: ScorerState) -> int:
    """Time from which every model has learned."""
    spans: list[Any] = [int(state.baseline.span_ns.max(initial=0)) for state in scores.models.values()]
    return min(spans, default=0)
