"""Checks of a ``FailureModel`` against the class whose machines it watches."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from wheeltapper_api.checks.finding import Finding, check_severities, invalid, not_found
from wheeltapper_api.conditions import INPUT_NOT_AVAILABLE, REFERENCE_NOT_FOUND
from wheeltapper_api.explain import suggestion
from wheeltapper_api.kinds import AssetClass, FailureModel
from wheeltapper_api.kinds.assetclass import Signal
from wheeltapper_api.kinds.failuremodel import Needs
from wheeltapper_api.resolve import Resolver

_SHOWN: Final = 5


def check_model(model: FailureModel, resolver: Resolver) -> Iterator[Finding]:
    """What is wrong within a failure model and between it and its class."""
    spec = model.spec
    namespace = resolver.namespace(model)
    asset_class = resolver.visible(AssetClass, namespace, spec.asset_class)
    if asset_class is None:
        known = resolver.visible_names(AssetClass, namespace)
        yield not_found(model, ("spec", "class"), "AssetClass", spec.asset_class, known)
    else:
        yield from check_fit(model, asset_class)
    yield from _check_limits(model)
    # That clear is below all severities is a rule of the kind; here it is only about their order.
    yield from check_severities(model, ("spec", "severity"), spec.severity, spec.clear, ("spec", "clear", "below"))


def check_fit(model: FailureModel, asset_class: AssetClass) -> Iterator[Finding]:
    """Whether the class gives the features, the sort of signal behind them, and the modes that a model needs."""
    features = {feature.name: feature for feature in asset_class.spec.pipeline.features}
    signals = {signal.name: signal for signal in asset_class.spec.signals}
    for index, entry in enumerate(model.spec.inputs):
        path = ("spec", "inputs", index)
        if entry.feature not in features:
            message = f"The class {asset_class.name} has no feature {entry.feature}"
            remedy = suggestion(entry.feature, features)
            yield Finding(model, (*path, "feature"), INPUT_NOT_AVAILABLE, message, remedy)
        elif entry.needs is not None and (signal := signals.get(features[entry.feature].of)) is not None:
            fitting = _fitting(entry.needs, asset_class)
            yield from _check_needs(model, index, entry.needs, signal, fitting)
    modes = [mode.name for mode in asset_class.spec.modes]
    for index, mode in enumerate(model.spec.modes):
        if mode not in modes:
            message = f"The class {asset_class.name} has no mode {mode}"
            yield Finding(model, ("spec", "modes", index), REFERENCE_NOT_FOUND, message, suggestion(mode, modes))


def _check_needs(
    model: FailureModel, index: int, needs: Needs, signal: Signal, fitting: list[str]
) -> Iterator[Finding]:
    for field, (needed, given) in _needed_and_given(needs, signal).items():
        if needed is not None and needed != given:
            remedy = "Take a feature of another signal or correct the class"
            if fitting:
                remedy = f"Take a feature whose signal fits: {', '.join(fitting[:_SHOWN])}"
            yield Finding(
                model,
                ("spec", "inputs", index, "needs", field),
                INPUT_NOT_AVAILABLE,
                f"The {field} must be {needed.value}, but the signal {signal.name} of class {model.spec.asset_class} "
                f"has {given.value if given else 'none'}",
                remedy,
            )


def _needed_and_given(needs: Needs, signal: Signal) -> dict[str, tuple[StrEnum | None, StrEnum | None]]:
    position = signal.mounting.position if signal.mounting else None
    return {
        "quantity": (needs.quantity, signal.quantity),
        "statistic": (needs.statistic, signal.statistic),
        "position": (needs.position, position),
    }


def _fitting(needs: Needs, asset_class: AssetClass) -> list[str]:
    """Features of a class whose signal is what a model needs."""
    fit = {
        signal.name
        for signal in asset_class.spec.signals
        if all(needed in {None, given} for needed, given in _needed_and_given(needs, signal).values())
    }
    return [feature.name for feature in asset_class.spec.pipeline.features if feature.of in fit]


def _check_limits(model: FailureModel) -> Iterator[Finding]:
    if model.spec.detector.fixed_limit is None:
        return
    inputs = [entry.feature for entry in model.spec.inputs]
    limits = model.spec.detector.fixed_limit.limits
    path = ("spec", "detector", "fixedLimit", "limits")
    for index, limit in enumerate(limits):
        if limit.feature not in inputs:
            message = f"The feature {limit.feature} is not an input of the model"
            remedy = suggestion(limit.feature, inputs)
            yield Finding(model, (*path, index, "feature"), REFERENCE_NOT_FOUND, message, remedy)
    limited = {limit.feature for limit in limits}
    for index, feature in enumerate(inputs):
        if feature not in limited:
            message = f"The input {feature} has no limit in the detector"
            yield invalid(model, ("spec", "inputs", index), message, "Add its limit or remove the input")
