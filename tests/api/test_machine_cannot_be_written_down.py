"""Ten sorts of real machines, with what makes each awkward, must be expressible and pass every check."""

from __future__ import annotations

from pathlib import Path

import pytest

from wheeltapper_api.kinds import AssetClass, AssetTwin, FailureModel
from wheeltapper_api.kinds.assetclass import Quantity, SignalKind
from wheeltapper_api.load import load
from wheeltapper_api.resolve import Resolver
from wheeltapper_api.validate import validate

VALID = Path(__file__).parents[2] / "crds" / "examples" / "valid"


@pytest.fixture(scope="module")
def resources():
    return load([VALID]).resources


def of_kind(resources, kind):
    return [resource for resource in resources if isinstance(resource, kind)]


def test_nothing_is_wrong_with_them():
    assert validate([VALID]) == []


def test_they_are_as_various_as_plants_are(resources):
    classes, twins = of_kind(resources, AssetClass), of_kind(resources, AssetTwin)
    assert len(classes) >= 10
    assert len(of_kind(resources, FailureModel)) >= 5
    signals = [signal for asset_class in classes for signal in asset_class.spec.signals]
    assert {signal.kind for signal in signals} == set(SignalKind)
    assert len({signal.quantity for signal in signals} & set(Quantity)) >= 20
    bindings = [binding for twin in twins for binding in twin.spec.signals]
    assert any(binding.node for binding in bindings)
    assert any(binding.topic and binding.path for binding in bindings)
    assert any(binding.register_ for binding in bindings)
    assert any(binding.sensor and binding.sensor.replaced for binding in bindings)
    assert any(relation.standby_for for twin in twins for relation in twin.spec.relations)
    assert any(relation.part_of for twin in twins for relation in twin.spec.relations)
    assert any(twin.spec.maintenance for twin in twins)
    assert any(twin.spec.aliases for twin in twins)


def test_a_tag_is_all_that_a_twin_of_an_addressed_class_says(resources):
    resolver = Resolver(resources)
    fan = next(twin for twin in of_kind(resources, AssetTwin) if twin.name == "fan-21")
    bindings = {binding.signal.name: binding for binding in resolver.bindings(fan)}
    assert bindings["speed"].address == "ns=3;s=FAN.F21.N"
    assert bindings["ambient-temperature"].address == "ns=3;s=HALL2.TEMP"
    assert [model.name for model, _ in resolver.failure_models(fan)] == ["fan-imbalance"]


def test_what_a_twin_says_itself_comes_before_the_addressing(resources):
    resolver = Resolver(resources)
    fan = next(twin for twin in of_kind(resources, AssetTwin) if twin.name == "fan-22")
    bindings = {binding.signal.name: binding for binding in resolver.bindings(fan)}
    assert (bindings["vibration-de"].protocol, bindings["vibration-de"].connection) == ("mqtt", "sensors")
    assert (bindings["current"].address, bindings["current"].unit) == ("ns=3;s=FAN.F22.I", "mA")


def test_a_model_that_a_twin_switches_off_is_off(resources):
    resolver = Resolver(resources)
    pump = next(twin for twin in of_kind(resources, AssetTwin) if twin.name == "bfp-2")
    assert resolver.failure_models(pump) == []
