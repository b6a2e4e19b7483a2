"""An alert wakes somebody: a spike, a stop, a repair or a doubtful score must not."""

from __future__ import annotations

import math
import time

import pytest

from tests.alerts.scores import NAN, Alerter, Score, block, series, told, with_asset, with_policy
from tests.support.lines import SECOND, START, line_config
from wheeltapper_api.config import AssetModelConfig, SeverityConfig
from wheeltapper_api.wire import NoScore
from wheeltapper_workers.alerts.compose import iso
from wheeltapper_workers.runtime.blocks import Tick


def test_one_spike_raises_nothing():
    assert Alerter().play(series([0.2, 9.0, 0.3, 0.2, 9.0, 9.0, 0.2])) == []


def test_a_lasting_score_opens_after_the_hold_and_not_before():
    assert told(Alerter().play(series([0.2, 1.0, 1.2, 1.1, 1.4]))) == ["opened p-1 warn 30"]


def test_the_very_first_window_is_held_too():
    assert told(Alerter().play(series([3.0, 3.0, 3.0]))) == ["opened p-1 warn 20"]


def test_without_a_hold_the_first_window_opens():
    warn = SeverityConfig(name="warn", above=1.0, hold_ns=0, hold="0s")
    assert told(Alerter(with_policy(line_config(), severities=[warn])).play(series([3.0]))) == ["opened p-1 warn 0"]


@pytest.mark.parametrize("low", [0.99, 0.1])
def test_a_flapping_score_restarts_the_hold(low):
    assert Alerter().play(series([1.5, 1.5, low] * 10)) == []


def test_a_change_of_load_that_passes_raises_nothing():
    rows = [
        *series([0.2, 0.3]),
        Score(20, 6.0, band=1),
        Score(30, NAN, mode="start-up", reason=NoScore.MODE),
        Score(40, 6.0, band=0),
        *series([0.3, 0.2, 0.2], start=50, band=0),
    ]
    assert Alerter().play(rows) == []


def test_time_without_a_score_is_no_evidence():
    """Two spikes with a stop between them are two windows above the limit, not a minute of it."""
    stop = series([NAN] * 6, start=10, mode="off", reason=NoScore.MODE)
    assert Alerter().play([Score(0, 5.0), *stop, Score(70, 5.0), Score(80, 0.1)]) == []


def test_missing_data_prolong_a_hold_but_do_not_restart_it():
    assert told(Alerter().play(series([1.5, NAN, 1.5, NAN, 1.5]))) == ["opened p-1 warn 40"]


def test_missing_rows_are_as_missing_data():
    assert told(Alerter().play([Score(0, 1.5), Score(20, 1.5), Score(40, 1.5)])) == ["opened p-1 warn 40"]


def test_a_gap_that_is_too_long_restarts_the_hold():
    """Holds of 20 s and 30 s, windows of 10 s: after more than ten of them nothing is known."""
    assert told(Alerter().play([Score(0, 1.5), Score(10, 1.5), Score(110, 1.5)])) == ["opened p-1 warn 110"]
    assert Alerter().play([Score(0, 1.5), Score(10, 1.5), Score(121, 1.5), Score(131, 1.5)]) == []


def test_another_detector_starts_the_hold_anew():
    rows = [*series([1.5, 1.5]), *series([1.5, 1.5], start=20, digest="sha256:two")]
    alerter = Alerter()
    assert alerter.play(rows) == []
    (event,) = alerter.play([Score(40, 1.5, digest="sha256:two")])
    assert event.data.lineage.model_digest == "sha256:two"
    assert event.data.since == iso(START + 20 * SECOND)


def test_maintenance_opens_nothing_and_is_no_evidence_afterwards():
    window = (iso(START + 15 * SECOND), iso(START + 95 * SECOND))
    alerter = Alerter(with_asset(line_config(), maintenance=[window]))
    assert told(alerter.play(series([5.0] * 13))) == ["opened p-1 warn 120"]


def test_maintenance_holds_back_its_own_twin_only():
    alerter = Alerter(with_asset(line_config(), maintenance=[(iso(START), iso(START + 500 * SECOND))]))
    events = alerter.play([*series([5.0] * 4), *series([5.0] * 4, asset="p-2")])
    assert told(events) == ["opened p-2 warn 20"]


@pytest.fixture
def far_away(monkeypatch):
    """A host whose clock is set to another zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_away")
def test_maintenance_without_an_offset_is_utc_whatever_the_host():
    window = (iso(START).rstrip("Z"), iso(START + 500 * SECOND).rstrip("Z"))
    assert Alerter(with_asset(line_config(), maintenance=[window])).play(series([5.0] * 9)) == []


def test_an_observed_twin_tells_nobody_but_shows_what_it_would_be():
    alerter = Alerter(with_asset(line_config(), mode="observe"))
    assert alerter.play(series([5.0] * 5)) == []
    assert alerter.shown()["severity"] == "warn"
    assert alerter.step.summary(alerter.state)["openAlerts"] == []
    assert alerter.play(series([0.1] * 5, start=50)) == []
    assert alerter.shown()["severity"] is None


def test_a_policy_of_the_twin_takes_the_place_of_the_models():
    loose = (
        line_config()
        .models[0]
        .policy.model_copy(update={"severities": [SeverityConfig(name="act", above=3.0, hold_ns=0, hold="0s")]})
    )
    config = with_asset(line_config(), models=[AssetModelConfig(name="wear", policy=loose)])
    alerter = Alerter(config)
    events = alerter.play([*series([2.0, 2.0, 2.0, 3.0]), *series([2.0] * 4, asset="p-2")])
    assert told(events) == ["opened p-2 warn 20", "opened p-1 act 30"]
    assert events[1].data.lineage.policy_digest == loose.digest != events[0].data.lineage.policy_digest


def test_a_policy_that_would_clear_what_it_opens_does_not_flap():
    """A twin may lower the severities and leave the model's bound of the end above them."""
    low = SeverityConfig(name="watch", above=0.5, hold_ns=0, hold="0s")
    alerter = Alerter(with_policy(line_config(), severities=[low], clear_below=0.8, clear_hold_ns=0))
    assert told(alerter.play(series([0.6] * 20))) == ["opened p-1 watch 0"]


@pytest.mark.parametrize("score", [math.inf, 1e300])
def test_a_boundless_score_reaches_only_severities_that_exist(score):
    (event,) = Alerter().play(series([score] * 5))
    assert event.data.severity == "warn"
    assert "Infinity" not in event.model_dump_json()
    assert event.data.score > 1


def test_unknown_assets_models_and_nulls_are_passed_over():
    strange = [
        *series([5.0] * 5, asset="p-9"),
        *series([5.0] * 5, model="rust"),
        *series([5.0] * 5, asset=None),
        *series([5.0] * 5, model=None),
    ]
    alerter = Alerter()
    assert alerter.play(strange) == []
    assert alerter.step.summary(alerter.state)["assets"] == {}


def test_odd_input_stops_nothing():
    alerter = Alerter()
    assert alerter.feed([]) == []
    assert alerter.feed([Score(0, NAN, mode="dancing", reason="moonlight")]) == []
    assert alerter.feed([Score(10, NAN, mode=None, reason=NoScore.NO_DATA, coverage=NAN)]) == []
    assert alerter.shown()["why"] == "too little good data of vibration (0%)"
    assert alerter.step.step(alerter.state, Tick("SCORES", 9, START))[1] == []
    empty = Alerter(line_config().model_copy(update={"assets": []}))
    assert empty.feed(series([5.0] * 5)) == []


def test_a_late_window_raises_nothing():
    alerter = Alerter()
    alerter.play(series([0.1] * 5))
    assert alerter.play(series([9.0] * 5)) == []
    assert alerter.shown()["score"] == 0.1


@pytest.mark.parametrize("apart", [True, False])
def test_a_duplicate_changes_nothing(apart):
    rows = series([1.5, 1.5])
    alerter = Alerter()
    if apart:
        again = block(rows)
        for _ in range(5):
            alerter.state, events = alerter.step.step(alerter.state, again)
            assert events == []
    else:
        assert alerter.feed(rows * 5) == []
    assert told(alerter.feed([Score(20, 1.5)] * 3)) == ["opened p-1 warn 20"]
