"""What of the learned a change of config leaves in force."""

from __future__ import annotations

from operator import attrgetter

from wheeltapper_api.config import FeatureConfig, LineConfig, ModelConfig, PipelineConfig


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


def _definitions(pipeline: PipelineConfig, inputs: list[str]) -> list[FeatureConfig]:
    """Definitions of a model's inputs, and of what the modes are told by; a title is only a title."""
    told_by = {condition.feature for mode in pipeline.modes for condition in mode.when}
    told_by |= {mode.band_of for mode in pipeline.modes}
    used = sorted((one for one in pipeline.features if one.name in told_by.union(inputs)), key=attrgetter("name"))
    return [feature.model_copy(update={"title": ""}) for feature in used]
