"""Line configs: what a class, its failure models and its twins at one plant come to, with nothing left to look up."""

from __future__ import annotations

from collections.abc import Iterable

from wheeltapper_api import units
from wheeltapper_api.config import (
    AssetConfig,
    AssetModelConfig,
    FeatureConfig,
    InputConfig,
    LineConfig,
    ModeConditionConfig,
    ModeConfig,
    ModelConfig,
    PipelineConfig,
    PolicyConfig,
    SeverityConfig,
    SignalConfig,
    SpectrumConfig,
)
from wheeltapper_api.fields import duration_ns
from wheeltapper_api.kinds import AssetClass, AssetTwin, FailureModel, Plant
from wheeltapper_api.kinds.assetclass import Feature, Function, Mode, ModeCondition, Signal, SignalKind, Spectrum
from wheeltapper_api.kinds.assettwin import ModelOverride
from wheeltapper_api.kinds.failuremodel import Action, Clear, SeverityBand
from wheeltapper_api.resolve import Binding
from wheeltapper_api.wire import Line, RecommendedAction

_PLAIN_NUMBERS = frozenset(
    {
        Function.KURTOSIS,
        Function.SKEWNESS,
        Function.CREST_FACTOR,
        Function.COUNT,
        Function.SHARE,
        Function.CHANGES,
    }
)


def line_config(
    line: Line,
    plant: Plant,
    asset_class: AssetClass,
    models: list[FailureModel],
    assets: list[AssetConfig],
) -> LineConfig:
    """Config of a line."""
    pipeline = pipeline_config(asset_class)
    resolutions = {feature.name: feature.resolution for feature in pipeline.features}
    return LineConfig(
        line=line,
        plant_title=plant.spec.title,
        time_zone=plant.spec.time_zone,
        class_title=asset_class.spec.title,
        pipeline=pipeline,
        assets=assets,
        models=[model_config(model, resolutions) for model in models if _used(model, assets)],
    )


def _used(model: FailureModel, assets: list[AssetConfig]) -> bool:
    return any(entry.name == model.name for asset in assets for entry in asset.models)


def pipeline_config(asset_class: AssetClass) -> PipelineConfig:
    """Features and modes of a class."""
    spec = asset_class.spec
    signals = {signal.name: signal for signal in spec.signals}
    features = [_feature(feature, signals) for feature in spec.pipeline.features]
    feature_units = {feature.name: feature.unit for feature in features}
    return PipelineConfig(
        every_ns=duration_ns(spec.pipeline.every),
        lateness_ns=duration_ns(spec.pipeline.lateness),
        signals=[SignalConfig(name=s.name, title=s.title or s.name, unit=s.unit, kind=s.kind) for s in spec.signals],
        features=features,
        modes=[_mode(mode, feature_units) for mode in spec.modes],
    )


def asset_config(
    twin: AssetTwin,
    bindings: list[Binding],
    models: Iterable[tuple[FailureModel, ModelOverride | None]],
) -> AssetConfig:
    """Config of one asset."""
    return AssetConfig(
        name=twin.name,
        title=twin.spec.title or twin.name,
        criticality=twin.spec.criticality,
        mode=twin.spec.mode,
        signals={binding.signal.name: duration_ns(binding.contract.interval) for binding in bindings},
        stale_after_ns={binding.signal.name: duration_ns(binding.contract.stale_after) for binding in bindings},
        models=[AssetModelConfig(name=model.name, policy=_own_policy(model, override)) for model, override in models],
        maintenance=[(window.start, window.end) for window in twin.spec.maintenance],
    )


def model_config(model: FailureModel, resolutions: dict[str, float]) -> ModelConfig:
    """Config of a failure model."""
    spec = model.spec
    return ModelConfig(
        name=model.name,
        version=spec.version,
        failure_mode=spec.failure_mode.title,
        description=spec.failure_mode.description,
        inputs=[
            InputConfig(feature=i.feature, direction=i.direction, resolution=resolutions[i.feature])
            for i in spec.inputs
        ],
        modes=list(spec.modes),
        detector=spec.detector,
        baseline_at_least_ns=duration_ns(spec.baseline.at_least) if spec.baseline else None,
        min_coverage=spec.min_coverage / 100,
        policy=_policy(spec.severity, spec.clear),
        action=_action(spec.action),
    )


def _feature(feature: Feature, signals: dict[str, Signal]) -> FeatureConfig:
    unit = signals[feature.of].unit or "1"
    minus = signals[feature.minus].unit or "1" if feature.minus else unit
    scale, offset = units.conversion(minus, unit)
    return FeatureConfig(
        name=feature.name,
        title=feature.title or feature.name,
        unit=_feature_unit(feature, unit, signals),
        of=feature.of,
        function=feature.function,
        minus=feature.minus,
        over=feature.over,
        other_scale=scale,
        other_offset=offset,
        equals=_equals(feature, signals[feature.of]),
        spectrum=_spectrum(feature.spectrum, signals) if feature.spectrum else None,
        window_ns=duration_ns(feature.window),
        resolution=feature.resolution or 0.0,
    )


def _equals(feature: Feature, signal: Signal) -> float | str | None:
    if feature.equals is None or signal.kind is SignalKind.CONTEXT:
        return feature.equals
    states = {state.name: state.value for state in signal.states or []} or {"clear": 0, "active": 1}
    return float(states[feature.equals])


def _spectrum(spectrum: Spectrum, signals: dict[str, Signal]) -> SpectrumConfig:
    bands = [(band.lowest, band.highest) if band else None for band in (spectrum.envelope, spectrum.band)]
    speed = signals[spectrum.speed].unit if spectrum.speed else None
    return SpectrumConfig(
        envelope=bands[0],
        band=bands[1],
        orders=spectrum.orders or [],
        speed=spectrum.speed,
        speed_scale=units.conversion(speed or "1", "Hz")[0] if spectrum.speed else 1.0,
        tolerance=0.02 if spectrum.tolerance is None else spectrum.tolerance,
    )


def _feature_unit(feature: Feature, unit: str, signals: dict[str, Signal]) -> str:
    if feature.function in _PLAIN_NUMBERS:
        return "1"
    if feature.function is Function.PEAK_FREQUENCY:
        return "Hz"
    if feature.over is not None:
        return f"{unit}/({signals[feature.over].unit or '1'})"
    return f"{unit}/s" if feature.function is Function.SLOPE else unit


def _mode(mode: Mode, feature_units: dict[str, str]) -> ModeConfig:
    return ModeConfig(
        name=mode.name,
        title=mode.title or mode.name,
        when=[_condition(condition) for condition in mode.when],
        band_of=mode.bands.of if mode.bands else None,
        band_unit=feature_units[mode.bands.of] if mode.bands else "",
        edges=list(mode.bands.edges) if mode.bands else [],
    )


def _condition(condition: ModeCondition) -> ModeConditionConfig:
    return ModeConditionConfig(
        feature=condition.feature,
        below=condition.below,
        at_least=condition.at_least,
        since=condition.since,
        within_ns=duration_ns(condition.within) if condition.within else None,
    )


def _policy(severities: list[SeverityBand], clear: Clear) -> PolicyConfig:
    return PolicyConfig(
        severities=[
            SeverityConfig(name=band.name, above=band.above, hold_ns=duration_ns(band.hold), hold=band.hold)
            for band in severities
        ],
        clear_below=clear.below,
        clear_hold_ns=duration_ns(clear.hold),
    )


def _own_policy(model: FailureModel, override: ModelOverride | None) -> PolicyConfig | None:
    if override is None or not (override.severity or override.clear):
        return None
    return _policy(override.severity or model.spec.severity, override.clear or model.spec.clear)


def _action(action: Action) -> RecommendedAction:
    parts = [f"{part.quantity} x {part.number}" + (f" ({part.title})" if part.title else "") for part in action.parts]
    runbook = action.runbook
    return RecommendedAction(
        recommend=action.recommend,
        when=action.when,
        inspect=list(runbook.inspect) if runbook else [],
        capture=list(runbook.capture) if runbook else [],
        if_clears=(runbook.if_clears or "") if runbook else "",
        parts=parts,
    )
