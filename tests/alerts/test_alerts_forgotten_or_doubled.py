"""A restart, an edit or another cut of the blocks must neither lose, double nor change an alert."""

from __future__ import annotations

import numpy as np
import pytest

from tests.alerts.scores import NAN, Alerter, Score, groups, series, told, with_asset, with_model, with_policy
from tests.support.lines import SECOND, line_config
from wheeltapper_api.config import InputConfig, SeverityConfig
from wheeltapper_api.kinds.failuremodel import Direction
from wheeltapper_api.wire import NoScore
from wheeltapper_workers.alerts.alerter import AlertStep
from wheeltapper_workers.runtime.checkpoint import Checkpoint, decode, encode

WARN = SeverityConfig(name="warn", above=1.0, hold_ns=20 * SECOND, hold="20s")
ACT = SeverityConfig(name="act", above=3.0, hold_ns=30 * SECOND, hold="30s")


@pytest.fixture(scope="module")
def config():
    return with_model(with_policy(line_config(), severities=[WARN, ACT]), name="cavitation")


@pytest.fixture(scope="module")
def history(config):
    """Forty windows of three machines with two models: faults, stops, gaps, ends and new starts."""
    random = np.random.default_rng(5)
    rows = []
    for asset in config.assets:
        for model in config.models:
            level = np.repeat(random.choice([0.2, 0.9, 1.5, 4.0, NAN], 8), 5)
            for i, score in enumerate(level):
                if random.random() < 0.9:
                    reason = NoScore.MODE if np.isnan(score) else None
                    rows.append(Score(10.0 * i, float(score), asset.name, model.name, reason=reason, features=i))
    return rows


def texts(events):
    return [event.model_dump_json() for event in events]


def restarted(alerter):
    """The alerter after a restart: its state went through a checkpoint's bytes."""
    step = alerter.step
    saved = Checkpoint(alerter.sequence, "g1", step.version, step.snapshot(alerter.state))
    fresh = Alerter(alerter.config)
    fresh.sequence, fresh.step = alerter.sequence, AlertStep(alerter.config)
    fresh.state = fresh.step.restore(decode(encode(saved)).snapshot, alerter.config)
    return fresh


def test_restart_after_every_window_gives_the_same_events(config, history):
    expected = texts(Alerter(config).play(history))
    assert {part.split(".")[-2] for part in (e.type for e in Alerter(config).play(history))} == {
        "opened",
        "changed",
        "cleared",
    }
    alerter, found = Alerter(config), []
    for window in groups(history):
        found += texts(alerter.feed(window))
        before = alerter.step.summary(alerter.state)
        alerter = restarted(alerter)
        assert alerter.step.summary(alerter.state) == before
    assert found == expected


def test_a_snapshot_does_not_go_on_living(config, history):
    alerter = Alerter(config)
    windows = groups(history)
    for window in windows[:20]:
        alerter.feed(window)
    snapshot = alerter.step.snapshot(alerter.state)
    later = [texts(alerter.feed(window)) for window in windows[20:]]
    for _ in range(2):
        again = Alerter(config)
        again.sequence, again.state = 20, again.step.restore(snapshot, config)
        assert [texts(again.feed(window)) for window in windows[20:]] == later


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_cut_of_the_blocks_changes_nothing(config, history, size):
    def plain(events):
        return [(e.id, e.time, e.data.summary, e.data.severity, e.data.peak_score, e.data.score) for e in events]

    windows = groups(history)
    alerter, found = Alerter(config), []
    for start in range(0, len(windows), size):
        rows = [row for window in windows[start : start + size] for row in window]
        found += alerter.feed(rows[::-1])
    assert plain(found) == plain(Alerter(config).play(history))


def test_machines_of_one_window_may_come_in_different_blocks(config, history):
    alerter, found = Alerter(config), []
    for window in groups(history):
        for row in window:
            found += alerter.feed([row])
    assert [e.id for e in found] == [e.id for e in sorted_by_pair(Alerter(config).play(history), config)]


def sorted_by_pair(events, config):
    """Within a window by machine and model, as one row after the other gives them."""
    assets, models = [a.name for a in config.assets], [m.name for m in config.models]
    return sorted(events, key=lambda e: (e.time, assets.index(e.subject), models.index(e.data.failure_model)))


def test_checkpoint_of_other_machines_is_refused(config):
    alerter = Alerter(config)
    snapshot = alerter.step.snapshot(alerter.state)
    with pytest.raises(ValueError, match="other assets"):
        AlertStep(config).restore(snapshot, line_config(["p-1", "p-2"]))
    snapshot.arrays.pop("peak")
    with pytest.raises(ValueError, match="arrays"):
        AlertStep(config).restore(snapshot, config)


def test_an_edit_keeps_holds_and_alerts_of_the_machines_that_remain():
    alerter = Alerter()
    alerter.play([*series([1.5] * 3), *series([1.5] * 2, start=10, asset="p-3")])
    alerter.reconfigure(line_config(["p-0", "p-3", "p-1"]))
    assert len(alerter.step.summary(alerter.state)["openAlerts"]) == 1
    rows = [*series([0.1] * 4, start=30), *series([1.5], start=30, asset="p-3")]
    assert told(alerter.play(rows)) == ["opened p-3 warn 30", "cleared p-1 warn 60"]


def test_a_removed_machine_leaves_nothing_behind():
    alerter = Alerter()
    alerter.play(series([1.5] * 3))
    alerter.reconfigure(line_config(["p-2"]))
    assert alerter.step.summary(alerter.state) == {"assets": {}, "openAlerts": []}
    alerter.reconfigure(line_config())
    assert told(alerter.play(series([1.5] * 3, start=30))) == ["opened p-1 warn 50"]


def test_a_new_detector_keeps_the_open_alert_until_it_clears_it():
    alerter = Alerter()
    (opened,) = alerter.play(series([1.5] * 3))
    events = alerter.play(series([*[1.5] * 3, *[0.1] * 4], start=30, digest="sha256:two"))
    assert told(events) == ["cleared p-1 warn 90"]
    assert events[0].data.alert_id == opened.data.alert_id


def test_another_policy_starts_holds_anew_and_keeps_the_alert(config):
    alerter = Alerter(config)
    alerter.play([*series([4.0] * 4), *series([1.5] * 2, start=20, asset="p-2")])
    alerter.reconfigure(with_policy(config, severities=[WARN]))
    assert alerter.shown()["severity"] == "warn", "it no longer has act"
    events = alerter.play([*series([0.1] * 4, start=40), *series([1.5] * 3, start=40, asset="p-2")])
    assert told(events) == ["opened p-2 warn 60", "cleared p-1 act 70"]


def test_an_edit_elsewhere_does_not_restart_holds(config):
    alerter = Alerter(config)
    alerter.play(series([1.5] * 2))
    alerter.reconfigure(with_asset(config, name="p-2", criticality="C"))
    assert told(alerter.play(series([1.5], start=20))) == ["opened p-1 warn 20"]


def test_other_modes_in_the_pipeline_keep_the_mode_that_is_shown():
    alerter = Alerter()
    alerter.play(series([1.5]))
    pipeline = alerter.config.pipeline
    alerter.reconfigure(
        alerter.config.model_copy(update={"pipeline": pipeline.model_copy(update={"modes": pipeline.modes[::-1]})})
    )
    assert alerter.step.summary(alerter.state)["assets"]["p-1"]["mode"] == "running"
    alerter.reconfigure(
        alerter.config.model_copy(update={"pipeline": pipeline.model_copy(update={"modes": pipeline.modes[:1]})})
    )
    assert alerter.step.summary(alerter.state)["assets"]["p-1"]["mode"] == ""


def test_the_end_of_observation_opens_what_lasts_from_there_on():
    observed = with_asset(line_config(), mode="observe")
    alerter = Alerter(observed)
    assert alerter.play(series([1.5] * 9)) == []
    alerter.reconfigure(line_config())
    assert told(alerter.play(series([1.5] * 3, start=90))) == ["opened p-1 warn 110"]


def test_an_alert_that_was_open_before_observation_still_ends(config):
    alerter = Alerter(config)
    alerter.play(series([1.5] * 3))
    alerter.reconfigure(with_asset(config, mode="observe"))
    assert alerter.play(series([9.0] * 5, start=30)) == [], "nothing rises"
    assert told(alerter.play(series([0.1] * 5, start=80))) == ["cleared p-1 warn 110"]


def test_scores_in_flight_of_a_model_with_other_inputs_stop_nothing():
    alerter = Alerter()
    alerter.play(series([1.5] * 2))
    inputs = [
        InputConfig(feature="vibration-level", direction=Direction.UP, resolution=0.01),
        InputConfig(feature="speed-level", direction=Direction.UP, resolution=1.0),
    ]
    model = alerter.config.models[0].model_copy(update={"inputs": inputs})
    alerter.reconfigure(alerter.config.model_copy(update={"models": [model]}))
    (event,) = alerter.play(series([1.5], start=20))
    assert event.data.contributions == []
    assert event.data.summary.startswith("P-1: bearing wear. Since ")
