"""A file of the library that is refused, or says nothing useful, is wrong for every tenant at once."""

from __future__ import annotations

import re

import pytest

from tests.support.station import ROOT
from wheeltapper_api import units
from wheeltapper_api.checks import check
from wheeltapper_api.fields import LIBRARY_NAMESPACE, duration_ns
from wheeltapper_api.kinds import AssetClass, FailureModel
from wheeltapper_api.kinds.assetclass import SignalKind
from wheeltapper_api.library import entries, library_resources
from wheeltapper_api.load import load

FOLDER = ROOT / "crds" / "src" / "wheeltapper_api" / "library"
CLASSES = [entry.resource for entry in entries() if isinstance(entry.resource, AssetClass)]
MODELS = [entry.resource for entry in entries() if isinstance(entry.resource, FailureModel)]
OF = {asset_class.name: asset_class for asset_class in CLASSES}

# ISO 14224:2016, tables B.2 (mechanisms) and B.6 to B.14 (failure modes); these are those that machines here can have.
MECHANISMS = {"1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "5.1", "5.2"}
FAILURE_MODES = {"BRD", "ELP", "ELU", "ERO", "FTS", "HIO", "INL", "LOO", "NOI", "OHE", "PDE", "PLU", "STD", "VIB"}
EQUIPMENT = {"BL", "CO", "CV", "EM", "PU", None}  # tables A.4 and A.5; molding machines have no code

FAULTS = {
    "centrifugal-pump": {
        "bearing-wear",
        "misalignment",
        "unbalance",
        "cavitation",
        "seal-leakage",
        "lubricant-degradation",
    },
    "induction-motor": {"bearing-wear", "misalignment", "unbalance", "thermal-overload", "lubricant-degradation"},
    "fan": {"bearing-wear", "misalignment", "unbalance", "lubricant-degradation"},
    "compressor": {"bearing-wear", "thermal-overload", "lubricant-degradation", "seal-leakage"},
    "conveyor": {"bearing-wear", "misalignment", "lubricant-degradation", "thermal-overload"},
    "injection-molding-machine": {"seal-leakage", "lubricant-degradation", "bearing-wear", "thermal-overload"},
}

each_class = pytest.mark.parametrize("asset_class", CLASSES, ids=lambda resource: resource.name)
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda resource: resource.name)


def test_no_file_is_refused():
    loaded = load([FOLDER])
    assert loaded.problems == []
    assert len(loaded.resources) == len(entries()) == len(list(FOLDER.glob("*/*.yaml")))
    assert check(library_resources()) == ()


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.path)
def test_file_lies_where_its_name_says(entry):
    folder, file = entry.path.removesuffix(".yaml").split("/")
    resource = entry.resource
    assert resource.namespace == LIBRARY_NAMESPACE
    if isinstance(resource, AssetClass):
        assert (resource.name, file) == (folder, "class")
    else:
        assert resource.spec.asset_class == folder
        assert resource.name.endswith(f"-{file}")
    assert max(map(len, entry.text.splitlines())) <= 150, "too long to be read in a terminal"


def test_every_class_is_watched_for_what_befalls_it():
    found = {name: set() for name in OF}
    for entry in entries():
        if isinstance(entry.resource, FailureModel):
            folder, _, file = entry.path.partition("/")
            found[folder].add(file.removesuffix(".yaml"))
    assert found == FAULTS


@each_model
def test_model_has_codes_sources_and_a_runbook(model):
    spec = model.spec
    assert spec.failure_mode.iso14224.failure_mode in FAILURE_MODES
    assert spec.failure_mode.iso14224.mechanism in MECHANISMS
    assert len(spec.sources) >= 2
    assert any(re.match(r"(ISO|IEC|EN|DIN|VDI|HI|EUROMAP)\b", source) for source in spec.sources)
    assert any("our choice" in source for source in spec.sources), "does not say which numbers nobody else gives"
    assert len(spec.action.runbook.inspect) >= 2
    assert len(spec.action.runbook.capture) >= 2
    assert spec.action.runbook.if_clears


@each_model
def test_model_says_what_its_inputs_must_be(model):
    signals = {signal.name: signal for signal in OF[model.spec.asset_class].spec.signals}
    features = {feature.name: feature for feature in OF[model.spec.asset_class].spec.pipeline.features}
    for entry in model.spec.inputs:
        assert entry.needs.quantity == signals[features[entry.feature].of].quantity
        assert entry.direction != "either"
        assert features[entry.feature].title


@each_model
def test_baseline_and_coverage_can_be_reached(model):
    features = {feature.name: feature for feature in OF[model.spec.asset_class].spec.pipeline.features}
    signals = {signal.name: signal for signal in OF[model.spec.asset_class].spec.signals}
    learns = model.spec.detector.fixed_limit is None
    assert learns == (model.spec.baseline is not None)
    for entry in model.spec.inputs:
        feature = features[entry.feature]
        interval = duration_ns(signals[feature.of].contract.interval)
        samples = duration_ns(feature.window) // interval
        assert samples >= 2
        # One burst may be missing, as after a standstill; a gauge must not be missing for half of the time.
        assert 100 * (samples - 1) / samples >= model.spec.min_coverage
        if learns:
            assert feature.resolution, "a spread of zero would make the slightest change a fault"
            assert duration_ns(model.spec.baseline.at_least) >= 6 * duration_ns(feature.window)


@each_model
def test_alert_comes_long_before_the_failure(model):
    progression = duration_ns(model.spec.failure_mode.progression)
    longest = max(duration_ns(band.hold) for band in model.spec.severity)
    assert longest <= progression / 50
    holds = [duration_ns(band.hold) for band in model.spec.severity]
    assert holds == sorted(holds, reverse=True), "the worse it is, the sooner it is told"


@each_class
def test_windows_are_not_shorter_than_intervals(asset_class):
    spec = asset_class.spec
    signals = {signal.name: signal for signal in spec.signals}
    for feature in spec.pipeline.features:
        window = duration_ns(feature.window)
        assert window >= duration_ns(spec.pipeline.every)
        of = signals[feature.of]
        if of.kind in {SignalKind.GAUGE, SignalKind.WAVEFORM, SignalKind.COUNTER}:
            assert window >= 2 * duration_ns(of.contract.interval), feature.name


@each_class
def test_class_is_described(asset_class):
    spec = asset_class.spec
    assert spec.iso14224 in EQUIPMENT
    assert spec.description
    assert spec.sources
    assert all(signal.title for signal in spec.signals)
    assert all(feature.title for feature in spec.pipeline.features)
    used = {name for f in spec.pipeline.features for name in (f.of, f.minus, f.over, f.spectrum and f.spectrum.speed)}
    assert {signal.name for signal in spec.signals} - used == set(), "a signal that no feature reads"


@each_class
def test_modes_rest_on_required_signals(asset_class):
    """A mode that rests on a signal that a twin does not bind would leave the machine without any mode for ever."""
    required = {signal.name for signal in asset_class.spec.signals if signal.required}
    features = {feature.name: feature for feature in asset_class.spec.pipeline.features}
    for mode in asset_class.spec.modes:
        names = {condition.feature for condition in mode.when} | {mode.bands and mode.bands.of}
        for name in names - {None}:
            assert features[name].of in required
            assert features[name].over is None or features[name].over in required
    assert asset_class.spec.modes[0].name == "off"
    assert not asset_class.spec.modes[-1].when


@each_class
def test_signals_have_the_contracts_of_their_kind(asset_class):
    wanted = {
        SignalKind.GAUGE: ("10s", "2m"),
        SignalKind.WAVEFORM: ("2h", "12h"),
        SignalKind.COUNTER: ("10m", "24h"),
        SignalKind.STATE: ("10m", "30d"),
        SignalKind.ALARM: ("10m", "30d"),
        SignalKind.CONTEXT: ("10m", "30d"),
    }
    for signal in asset_class.spec.signals:
        assert (signal.contract.interval, signal.contract.stale_after) == wanted[signal.kind], signal.name
        if signal.kind is SignalKind.GAUGE:
            assert signal.contract.range.min < signal.contract.range.max
        if signal.unit is not None:
            assert units.fits(signal.quantity, signal.unit)
