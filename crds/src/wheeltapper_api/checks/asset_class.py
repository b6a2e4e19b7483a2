"""Checks of an ``AssetClass``: units, features and modes against its own signals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from wheeltapper_api import units
from wheeltapper_api.checks.finding import Finding, check_contract, invalid, not_found
from wheeltapper_api.conditions import UNIT_NOT_CONVERTIBLE
from wheeltapper_api.fields import duration_ns
from wheeltapper_api.kinds import AssetClass
from wheeltapper_api.kinds.assetclass import Feature, Function, Mode, Quantity, Signal, SignalKind, Spectrum
from wheeltapper_api.parsing import FieldPath
from wheeltapper_api.unit_table import MISTAKES

_OF_SAMPLES = frozenset(Function) - {
    Function.INCREASE,
    Function.SHARE,
    Function.CHANGES,
    Function.PEAK_AMPLITUDE,
    Function.PEAK_FREQUENCY,
    Function.ORDER_AMPLITUDE,
}
_OF_BURSTS = (_OF_SAMPLES - {Function.LAST, Function.COUNT, Function.SLOPE}) | {
    Function.PEAK_AMPLITUDE,
    Function.PEAK_FREQUENCY,
    Function.ORDER_AMPLITUDE,
}
_OF_WORDS = frozenset({Function.SHARE, Function.CHANGES})
FUNCTIONS = {
    SignalKind.GAUGE: _OF_SAMPLES,
    SignalKind.WAVEFORM: _OF_BURSTS,
    SignalKind.COUNTER: _OF_SAMPLES | {Function.INCREASE},
    SignalKind.STATE: _OF_WORDS,
    SignalKind.ALARM: _OF_WORDS,
    SignalKind.CONTEXT: _OF_WORDS,
}
"""Which functions the samples of each kind allow."""


def check_class(asset_class: AssetClass) -> Iterator[Finding]:
    """What is wrong within a class."""
    spec = asset_class.spec
    for index, signal in enumerate(spec.signals):
        yield from _check_signal(asset_class, index, signal)
    if duration_ns(spec.pipeline.every) == 0:
        path = ("spec", "pipeline", "every")
        yield invalid(asset_class, path, "The time between two rows is zero", "Write a duration such as 10s")
    signals = {signal.name: signal for signal in spec.signals}
    for index, feature in enumerate(spec.pipeline.features):
        yield from _check_feature(asset_class, index, feature, signals)
    for index, mode in enumerate(spec.modes):
        yield from _check_mode(asset_class, index, mode)


def _check_signal(asset_class: AssetClass, index: int, signal: Signal) -> Iterator[Finding]:
    path = ("spec", "signals", index)
    yield from check_contract(asset_class, (*path, "contract"), signal.contract)
    if signal.unit is None:
        return
    if (wrong := units.check_unit(signal.unit)) is not None:
        what, _, remedy = wrong.partition("; ")
        yield Finding(asset_class, (*path, "unit"), UNIT_NOT_CONVERTIBLE, what, f"{remedy[0].upper()}{remedy[1:]}")
    elif signal.quantity is not None and not units.fits(signal.quantity, signal.unit):
        yield Finding(
            asset_class,
            (*path, "unit"),
            UNIT_NOT_CONVERTIBLE,
            f"{signal.unit} is not a unit of {signal.quantity.value}",
            _unit_remedy(signal),
        )


def _unit_remedy(signal: Signal) -> str:
    meant = MISTAKES.get(signal.unit or "")
    if meant is None or signal.quantity is None or not units.fits(signal.quantity, meant):
        meant = units.usual_unit(signal.quantity) if signal.quantity else "1"
    return f"Write a unit such as {meant} or change the quantity"


def _check_feature(
    asset_class: AssetClass, index: int, feature: Feature, signals: dict[str, Signal]
) -> Iterator[Finding]:
    path = ("spec", "pipeline", "features", index)
    given = {"of": feature.of, "minus": feature.minus, "over": feature.over}
    named = {field: name for field, name in given.items() if name is not None}
    missing = {field: name for field, name in named.items() if name not in signals}
    for field, name in missing.items():
        yield not_found(asset_class, (*path, field), "signal", name, signals)
    if missing:
        return
    wrong = False
    for field, name in named.items():
        if feature.function not in FUNCTIONS[signals[name].kind]:
            wrong = True
            yield _wrong_function(asset_class, index, field, feature, signals[name])
    if wrong:
        return
    if feature.minus is not None:
        yield from _check_difference(asset_class, index, signals[feature.of], signals[feature.minus])
    if feature.equals is not None:
        yield from _check_equals(asset_class, index, feature.equals, signals[feature.of])
    yield from _check_spectrum(asset_class, index, feature, signals)
    yield from _check_window(asset_class, index, feature, signals)


def _wrong_function(asset_class: AssetClass, index: int, field: str, feature: Feature, signal: Signal) -> Finding:
    path = ("spec", "pipeline", "features", index)
    allowed = ", ".join(function.value for function in Function if function in FUNCTIONS[signal.kind])
    kind = signal.kind.value
    article = "an" if kind == "alarm" else "a"
    if field != "of":
        message = f"The signal {signal.name} is of kind {kind}, which has no {feature.function.value}"
        return invalid(asset_class, (*path, field), message, f"Name a signal of the kind of {feature.of}")
    message = f"The signal {signal.name} is of kind {kind}, which has no {feature.function.value}"
    return invalid(asset_class, (*path, "function"), message, f"The functions of {article} {kind} are {allowed}")


def _check_equals(asset_class: AssetClass, index: int, equals: str, signal: Signal) -> Iterator[Finding]:
    if signal.kind is SignalKind.CONTEXT:
        return
    names = [state.name for state in signal.states] if signal.states else ["active", "clear"]
    if equals not in names:
        path = ("spec", "pipeline", "features", index, "equals")
        yield not_found(asset_class, path, "state", equals, names, f"the signal {signal.name}")


def _check_spectrum(
    asset_class: AssetClass, index: int, feature: Feature, signals: dict[str, Signal]
) -> Iterator[Finding]:
    spectrum, signal = feature.spectrum, signals[feature.of]
    if spectrum is None:
        return
    path = ("spec", "pipeline", "features", index, "spectrum")
    if signal.waveform is None:
        message = f"The signal {signal.name} is of kind {signal.kind.value} and has no spectrum"
        yield invalid(asset_class, path, message, "Remove spectrum or name a waveform")
        return
    highest = signal.waveform.sample_rate / 2
    for field, band in (("envelope", spectrum.envelope), ("band", spectrum.band)):
        if band is not None and band.highest > highest:
            message = f"The band ends at {band.highest:g} Hz, above half the sample rate of {signal.name}"
            yield invalid(asset_class, (*path, field, "highest"), message, f"Write {highest:g} or less")
    if spectrum.speed is None:
        return
    if spectrum.speed not in signals:
        yield not_found(asset_class, (*path, "speed"), "signal", spectrum.speed, signals)
    elif not units.fits(Quantity.FREQUENCY, signals[spectrum.speed].unit or "1"):
        message = f"The signal {spectrum.speed} is no rotational speed: its unit is {signals[spectrum.speed].unit or 1}"
        yield invalid(asset_class, (*path, "speed"), message, "Name a signal in a unit such as /min or Hz")
    else:
        yield from _check_orders(asset_class, path, spectrum, signals[spectrum.speed], highest)


def _check_orders(
    asset_class: AssetClass, path: FieldPath, spectrum: Spectrum, speed: Signal, highest: float
) -> Iterator[Finding]:
    """Orders must lie below half the sample rate at every speed that the class allows; so must an order itself."""
    top = speed.contract.range.max if speed.contract.range else None
    if top is None or top <= 0 or units.check_unit(speed.unit or "1") is not None:
        return
    scale, _ = units.conversion(speed.unit or "1", "Hz")
    for index, order in enumerate(spectrum.orders or []):
        if order * top * scale > highest:
            at = f"{order * top * scale:.5g} Hz at {top:g} {units.display(speed.unit or '1')}"
            message = f"The order {order:g} is {at}, above half the sample rate, {highest:g} Hz"
            remedy = f"Write less than {highest / (top * scale):.4g}, or correct the range of {speed.name}"
            yield invalid(asset_class, (*path, "orders", index), message, remedy)


def _check_difference(asset_class: AssetClass, index: int, of: Signal, minus: Signal) -> Iterator[Finding]:
    try:
        units.conversion(minus.unit or "1", of.unit or "1")
    except units.UnitError as error:
        # A code that is no unit is a finding of its signal already.
        if all(units.check_unit(signal.unit or "1") is None for signal in (of, minus)):
            path = ("spec", "pipeline", "features", index, "minus")
            remedy = f"Subtract a signal in {of.unit} or one that converts to it, or use over"
            yield Finding(asset_class, path, UNIT_NOT_CONVERTIBLE, str(error), remedy)


def _check_window(
    asset_class: AssetClass, index: int, feature: Feature, signals: dict[str, Signal]
) -> Iterator[Finding]:
    path = ("spec", "pipeline", "features", index, "window")
    window, every = duration_ns(feature.window), asset_class.spec.pipeline.every
    if window < duration_ns(every):
        message = f"A window of {feature.window} every {every} leaves samples out between two windows"
        yield invalid(asset_class, path, message, f"Write {every} or longer")
        return
    for name in filter(None, (feature.of, feature.minus, feature.over)):
        interval = signals[name].contract.interval
        held = signals[name].kind in (SignalKind.STATE, SignalKind.ALARM, SignalKind.CONTEXT)
        if window < duration_ns(interval) and not held:
            message = f"The signal {name} comes every {interval}; a window of {feature.window} is mostly empty"
            yield invalid(asset_class, path, message, f"Write {interval} or longer")
            return


def _check_mode(asset_class: AssetClass, index: int, mode: Mode) -> Iterator[Finding]:
    path = ("spec", "modes", index)
    modes = [other.name for other in asset_class.spec.modes]
    features = [feature.name for feature in asset_class.spec.pipeline.features]
    for at, condition in enumerate(mode.when):
        if condition.feature is not None and condition.feature not in features:
            yield not_found(asset_class, (*path, "when", at, "feature"), "feature", condition.feature, features)
        if condition.since is not None and condition.since not in modes:
            yield not_found(asset_class, (*path, "when", at, "since"), "mode", condition.since, modes)
        elif condition.since == mode.name:
            remedy = "Name the mode that comes before it"
            yield invalid(asset_class, (*path, "when", at, "since"), f"The mode {mode.name} waits for itself", remedy)
    if not mode.when and index < len(modes) - 1:
        message = f"The mode {mode.name} always holds, so {modes[index + 1]} after it is never reached"
        yield invalid(asset_class, path, message, "Give it a condition or move it to the end")
    if mode.bands is None:
        return
    if mode.bands.of not in features:
        yield not_found(asset_class, (*path, "bands", "of"), "feature", mode.bands.of, features)
    edges = mode.bands.edges
    if any(later <= earlier for earlier, later in pairwise(edges)):
        shown = ", ".join(f"{edge:g}" for edge in edges)
        right = ", ".join(f"{edge:g}" for edge in sorted(set(edges)))
        yield invalid(asset_class, (*path, "bands", "edges"), f"The edges {shown} do not rise", f"Write [{right}]")
