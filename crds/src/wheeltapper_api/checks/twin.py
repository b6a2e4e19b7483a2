"""Checks of one ``AssetTwin`` against its class, its plant and its failure models."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from wheeltapper_api import units
from wheeltapper_api.checks.failure_model import check_fit
from wheeltapper_api.checks.finding import Finding, check_address, check_contract, check_severities, invalid, not_found
from wheeltapper_api.checks.plant import ADDRESS_FIELDS, protocol_of
from wheeltapper_api.conditions import REFERENCE_NOT_FOUND, UNIT_NOT_CONVERTIBLE
from wheeltapper_api.explain import suggestion
from wheeltapper_api.kinds import AssetClass, AssetTwin, Plant
from wheeltapper_api.kinds.assetclass import Signal
from wheeltapper_api.kinds.assettwin import SignalBinding
from wheeltapper_api.resolve import Resolver, address_of, merged_contract


def check_twin(twin: AssetTwin, resolver: Resolver) -> Iterator[Finding]:
    """What is wrong between a twin and what it refers to."""
    namespace = resolver.namespace(twin)
    asset_class, plant = resolver.asset_class(twin), resolver.plant(twin)
    if asset_class is None:
        known = resolver.visible_names(AssetClass, namespace)
        yield not_found(twin, ("spec", "class"), "AssetClass", twin.spec.asset_class, known)
    if plant is None:
        known = resolver.names(Plant, namespace)
        yield not_found(twin, ("spec", "plant"), "Plant", twin.spec.plant, known)
    if asset_class is not None:
        signals = {signal.name: signal for signal in asset_class.spec.signals}
        for index, binding in enumerate(twin.spec.signals):
            yield from _check_binding(twin, index, binding, signals)
        yield from _check_models(twin, asset_class, resolver)
    if plant is not None:
        for index, binding in enumerate(twin.spec.signals):
            yield from _check_source(twin, index, binding, plant)
    if asset_class is not None and plant is not None:
        # Without its connection nothing is bound: the one is told, not each signal.
        yield from list(_check_from(twin, plant)) or _check_required(twin, asset_class, resolver)
    yield from _check_maintenance(twin)


def _check_binding(
    twin: AssetTwin, index: int, binding: SignalBinding, signals: dict[str, Signal]
) -> Iterator[Finding]:
    path = ("spec", "signals", index)
    signal = signals.get(binding.name)
    if signal is None:
        yield not_found(twin, (*path, "name"), "signal", binding.name, signals, f"class {twin.spec.asset_class}")
        return
    if binding.contract is not None:
        yield from check_contract(twin, (*path, "contract"), merged_contract(signal.contract, binding))
    if binding.unit is not None:
        yield from _check_unit(twin, index, binding.unit, signal)


def _check_unit(twin: AssetTwin, index: int, unit: str, signal: Signal) -> Iterator[Finding]:
    path = ("spec", "signals", index, "unit")
    if signal.unit is None:
        message = f"The signal {signal.name} is of kind {signal.kind.value} and has no unit"
        yield Finding(twin, path, UNIT_NOT_CONVERTIBLE, message, "Remove the unit")
    elif (wrong := units.check_unit(unit)) is not None:
        what, _, remedy = wrong.partition("; ")
        yield Finding(twin, path, UNIT_NOT_CONVERTIBLE, what, f"{remedy[0].upper()}{remedy[1:]}")
    elif units.check_unit(signal.unit) is None:
        try:
            units.conversion(unit, signal.unit)
        except units.UnitError as error:
            remedy = f"Write a unit that converts to {signal.unit}, or turn the number into one with scale"
            yield Finding(twin, path, UNIT_NOT_CONVERTIBLE, str(error), remedy)


def _check_from(twin: AssetTwin, plant: Plant) -> Iterator[Finding]:
    source, asset_class = twin.spec.source, twin.spec.asset_class
    if source is None:
        return
    known = [entry.source for entry in plant.spec.addressing if entry.asset_class == asset_class]
    if source not in known:
        where = f"the addressing of {asset_class} at plant {plant.name}"
        yield not_found(twin, ("spec", "from"), "connection", source, known, where)


def _check_source(twin: AssetTwin, index: int, binding: SignalBinding, plant: Plant) -> Iterator[Finding]:
    if binding.source is None:
        return
    path = ("spec", "signals", index)
    connections = {connection.name: connection for connection in plant.spec.connections}
    connection = connections.get(binding.source)
    if connection is None:
        yield not_found(twin, (*path, "from"), "connection", binding.source, connections, f"plant {plant.name}")
        return
    protocol, address = address_of(binding)
    if address is None:
        return
    right, field = protocol_of(connection), ADDRESS_FIELDS[protocol]
    if protocol != right:
        message = f"The connection {connection.name} is {right} and takes no {field}"
        yield invalid(twin, (*path, field), message, f"Write a {ADDRESS_FIELDS[right]} or name another connection")
    elif "{tag}" in address:
        message = "A twin's own address is read as it stands, and {tag} has no meaning in it"
        remedy = f"Write the whole {field}, or put the pattern into the addressing of plant {plant.name}"
        yield invalid(twin, (*path, field), message, remedy)
    else:
        yield from check_address(twin, path, field, address)


def _check_required(twin: AssetTwin, asset_class: AssetClass, resolver: Resolver) -> Iterator[Finding]:
    bound = {binding.signal.name for binding in resolver.bindings(twin)}
    missing = [s.name for s in asset_class.spec.signals if s.required and s.name not in bound]
    if not missing:
        return
    listed = {binding.name: index for index, binding in enumerate(twin.spec.signals)}
    path: tuple[str | int, ...] = ("spec",)
    if missing[0] in listed:
        path = ("spec", "signals", listed[missing[0]])
    names = f"signal{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
    remedy = "Add them to signals with from and an address" if len(missing) > 1 else "Add from and its address"
    if twin.spec.tag is None and resolver.tag_source(twin) is not None:
        remedy = f"Give the twin its tag: the plant {twin.spec.plant} says how tags of {asset_class.name} are formed"
    message = f"The class {asset_class.name} requires the {names}, which nothing binds"
    yield Finding(twin, path, REFERENCE_NOT_FOUND, message, remedy)


def _check_models(twin: AssetTwin, asset_class: AssetClass, resolver: Resolver) -> Iterator[Finding]:
    models = {model.name: model for model in resolver.class_models(resolver.namespace(twin), asset_class.name)}
    for index, override in enumerate(twin.spec.failure_models):
        path = ("spec", "failureModels", index)
        model = models.get(override.name)
        if model is None:
            message = f"There is no FailureModel {override.name} for the class {asset_class.name}"
            yield Finding(twin, (*path, "name"), REFERENCE_NOT_FOUND, message, suggestion(override.name, models))
            continue
        severities, clear = override.severity or model.spec.severity, override.clear or model.spec.clear
        if override.severity or override.clear:
            here = (*path, "severity") if override.severity else path
            clear_path = (*path, "clear", "below") if override.clear else path
            yield from check_severities(twin, here, severities, clear, clear_path)
    for model, _ in resolver.failure_models(twin):
        # A tenant's own class may hide the library's that the model was written for.
        if resolver.visible(AssetClass, resolver.namespace(model), asset_class.name) is not asset_class:
            for finding in check_fit(model, asset_class):
                message = f"The FailureModel {model.name} does not fit: {finding.message}"
                remedy = f"Switch {model.name} off in failureModels, or give the class what it needs"
                yield Finding(twin, ("spec", "class"), finding.reason, message, remedy)


def _check_maintenance(twin: AssetTwin) -> Iterator[Finding]:
    for index, window in enumerate(twin.spec.maintenance):
        if dt.datetime.fromisoformat(window.end) <= dt.datetime.fromisoformat(window.start):
            message = f"The maintenance ends at {window.end}, not after its start at {window.start}"
            yield invalid(twin, ("spec", "maintenance", index, "end"), message, "Write a later time")
