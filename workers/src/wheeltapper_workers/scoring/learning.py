"""What a new config makes a line learn anew, and the baselines that were learned for it from its past.

Learned from stored history, they come with the tick that tells the config: so they are in force from the first block
on, here as in every replay.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import FeatureConfig, LineConfig, ModelConfig, PipelineConfig
from wheeltapper_workers.detectors.baseline import BaselineState
from wheeltapper_workers.runtime.checkpoint import Checkpoint, decode, encode
from wheeltapper_workers.runtime.packed import pack, unpack
from wheeltapper_workers.runtime.step import Snapshot

MOST_BYTES: Final = 4 * 2**20
"""Of a tick; a stream takes messages twice as large."""
_MOST_UNPACKED: Final = 2**30
_VERSION: Final = 1


def comparable(old: ModelConfig, before: PipelineConfig, new: ModelConfig, after: PipelineConfig) -> bool:
    """Whether what was learned under one config means the same under the other."""
    inputs = [entry.feature for entry in new.inputs]
    return (
        [entry.feature for entry in old.inputs] == inputs
        and old.modes == new.modes
        and learns(old) == learns(new)
        and before.modes == after.modes
        and _definitions(before, inputs) == _definitions(after, inputs)
    )


def learns(model: ModelConfig) -> bool:
    """Whether a model compares with a baseline."""
    return model.detector.fixed_limit is None


def learned_anew(before: LineConfig, after: LineConfig) -> list[str]:
    """Models that have to learn when one config takes over from the other."""
    known = {model.name: model for model in before.models}
    return [
        model.name
        for model in after.models
        if learns(model)
        and not (model.name in known and comparable(known[model.name], before.pipeline, model, after.pipeline))
    ]


def pack_learned(assets: list[str], learned: dict[str, BaselineState]) -> bytes:
    """Baselines of models by name, as a tick carries them; what is not final yet goes where all is too much."""
    whole = _packed(assets, learned)
    if len(whole) > MOST_BYTES:
        whole = _packed(assets, {name: _final(one) for name, one in learned.items()})
    return whole if len(whole) <= MOST_BYTES else b""


def unpack_learned(data: bytes) -> tuple[list[str], dict[str, BaselineState]]:
    """Assets, and the baselines of models by name.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    snapshot = decode(unpack(data, _MOST_UNPACKED)).snapshot
    learned = {}
    for name in snapshot.document["models"]:
        own = {key.split("/", 1)[1]: array for key, array in snapshot.arrays.items() if key.startswith(f"{name}/")}
        learned[name] = BaselineState.from_arrays(own)
    return snapshot.document["assets"], learned


def _packed(assets: list[str], learned: dict[str, BaselineState]) -> bytes:
    arrays: dict[str, npt.NDArray[Any]] = {
        f"{name}/{key}": array for name, one in learned.items() for key, array in one.to_arrays().items()
    }
    return pack(encode(Checkpoint(0, "", _VERSION, Snapshot(arrays, {"assets": assets, "models": list(learned)}))))


def _final(state: BaselineState) -> BaselineState:
    """The baselines alone: the windows they were learned from are of no more use."""
    arrays = state.to_arrays()
    waiting = ~state.frozen
    arrays["reservoir"] = np.full_like(state.reservoir, np.nan)
    for name in ("seen", "good"):
        arrays[name] = np.where(waiting.reshape(waiting.shape + (1,) * (arrays[name].ndim - 2)), 0, arrays[name])
    return BaselineState.from_arrays(arrays)


def _definitions(pipeline: PipelineConfig, inputs: list[str]) -> list[FeatureConfig]:
    """Definitions of a model's inputs, and of what the modes are told by; a title is only a title."""
    told_by = {condition.feature for mode in pipeline.modes for condition in mode.when}
    told_by |= {mode.band_of for mode in pipeline.modes}
    used = sorted((one for one in pipeline.features if one.name in told_by.union(inputs)), key=attrgetter("name"))
    return [feature.model_copy(update={"title": ""}) for feature in used]
