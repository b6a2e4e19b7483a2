"""One alert a fault: it grows, ends and comes again as the fault does, and not as the machine is switched."""

from __future__ import annotations

import pytest

from tests.alerts.scores import NAN, Alerter, Score, series, told, with_asset, with_model, with_policy
from tests.support.lines import SECOND, START, line_config
from wheeltapper_api.config import SeverityConfig
from wheeltapper_api.wire import NoScore
from wheeltapper_workers.alerts.compose import iso

THREE = [
    SeverityConfig(name="watch", above=1.0, hold_ns=20 * SECOND, hold="20s"),
    SeverityConfig(name="warn", above=2.0, hold_ns=20 * SECOND, hold="20s"),
    SeverityConfig(name="act", above=4.0, hold_ns=40 * SECOND, hold="40s"),
]


@pytest.fixture
def graded():
    return with_policy(line_config(), severities=THREE)


def test_an_open_alert_is_not_opened_again():
    assert told(Alerter().play(series([1.5] * 50))) == ["opened p-1 warn 20"]


def test_severity_rises_and_never_flaps_down(graded):
    alerter = Alerter(graded)
    rising = [*[1.5] * 3, *[2.5] * 3, 1.2, 1.2, 2.5, 2.5, 2.5, 1.2, *[5.0] * 5]
    events = alerter.play(series(rising))
    assert told(events) == ["opened p-1 watch 20", "changed p-1 warn 50", "changed p-1 act 160"]
    assert len({event.data.alert_id for event in events}) == 1
    assert len({event.id for event in events}) == 3
    assert {event.data.since for event in events} == {iso(START)}
    assert {event.data.opened for event in events} == {iso(START + 20 * SECOND)}


def test_a_steep_fault_opens_at_the_highest_severity_it_has_held(graded):
    assert told(Alerter(graded).play(series([9.0] * 5))) == ["opened p-1 warn 20", "changed p-1 act 40"]


def test_maintenance_does_not_raise_an_open_alert_but_lets_it_end(graded):
    config = with_asset(graded, maintenance=[(iso(START + 30 * SECOND), iso(START + 300 * SECOND))])
    rows = series([*[1.5] * 3, *[9.0] * 10, *[0.1] * 5])
    assert told(Alerter(config).play(rows)) == ["opened p-1 watch 20", "cleared p-1 watch 160"]


def test_an_alert_ends_after_the_hold_of_the_end():
    alerter = Alerter()
    rows = series([*[1.5] * 3, 0.5, 0.5, 0.9, 0.5, 0.5, 0.5, 0.5])
    events = alerter.play(rows)
    assert told(events) == ["opened p-1 warn 20", "cleared p-1 warn 90"]
    assert [event.data.state for event in events] == ["open", "cleared"]
    assert events[1].data.cleared == events[1].data.updated == events[1].time
    assert alerter.step.summary(alerter.state)["openAlerts"] == []


def test_between_the_bounds_it_neither_ends_nor_grows():
    assert told(Alerter().play(series([*[1.5] * 3, *[0.85] * 50]))) == ["opened p-1 warn 20"]


def test_a_stopped_machine_is_not_healed():
    stop = {"mode": "off", "reason": NoScore.MODE}
    alerter = Alerter()
    rows = [
        *series([1.5] * 3),
        *series([0.5, 0.5], start=30),
        *series([NAN] * 8, start=50, **stop),
        Score(130, 0.5),
    ]
    assert told(alerter.play(rows)) == ["opened p-1 warn 20"]
    assert told(alerter.play([Score(140, 0.5)])) == ["cleared p-1 warn 140"], "30 s below, without the stop"


def test_a_long_stop_restarts_the_end_too():
    stop = series([NAN] * 30, start=60, mode="off", reason=NoScore.MODE)
    alerter = Alerter()
    rows = [*series([1.5] * 3), *series([0.5] * 3, start=30), *stop, Score(360, 0.5)]
    assert told(alerter.play(rows)) == ["opened p-1 warn 20"]
    assert told(alerter.play(series([0.5] * 3, start=370))) == ["cleared p-1 warn 390"]


def test_the_same_fault_after_its_end_is_another_alert():
    events = Alerter().play(series([*[1.5] * 3, *[0.1] * 5, *[1.5] * 3]))
    assert told(events) == ["opened p-1 warn 20", "cleared p-1 warn 60", "opened p-1 warn 100"]
    assert events[0].data.alert_id == events[1].data.alert_id != events[2].data.alert_id
    assert events[2].data.since == iso(START + 80 * SECOND)


def test_two_faults_on_one_machine_are_two_alerts():
    alerter = Alerter(with_model(line_config(), name="cavitation", failure_mode="Cavitation"))
    events = alerter.play([*series([1.5] * 5), *series([1.5] * 5, model="cavitation")])
    assert [event.data.failure_model for event in events] == ["wear", "cavitation"]
    assert len({event.data.alert_id for event in events}) == 2
    assert told(alerter.play(series([0.1] * 5, start=50))) == ["cleared p-1 warn 80"]
    assert len(alerter.step.summary(alerter.state)["openAlerts"]) == 1


def test_ids_differ_between_machines_and_are_the_same_in_a_replay():
    rows = [*series([1.5] * 3), *series([1.5] * 3, asset="p-2")]
    first, second = Alerter().play(rows), Alerter().play(rows)
    assert [event.id for event in first] == [event.id for event in second]
    assert first[0].data.alert_id != first[1].data.alert_id
    assert first[0].data.alert_id.startswith("p-1-wear-")


def test_the_peak_is_that_of_the_whole_alert():
    events = Alerter().play(series([0.1, 3.0, 1.5, 1.5, 7.0, 1.5, *[0.1] * 5]))
    assert told(events) == ["opened p-1 warn 30", "cleared p-1 warn 90"]
    assert [event.data.peak_score for event in events] == [3.0, 7.0]
    assert [event.data.score for event in events] == [1.5, 0.1]


def test_lineage_goes_back_to_the_onset_even_after_a_dip(graded):
    rows = [Score(10.0 * i, score, features=20 + i) for i, score in enumerate([0.1, 1.5, 1.5, 1.5, 0.9, 2.5, 2.5, 2.5])]
    alerter = Alerter(graded)
    events = alerter.play(rows)
    assert told(events) == ["opened p-1 watch 30", "changed p-1 warn 70"]
    spans = [(event.data.lineage.features.first, event.data.lineage.features.last) for event in events]
    assert spans == [(21, 23), (21, 27)]
    lineage = events[1].data.lineage
    assert (lineage.telemetry.first, lineage.telemetry.last) == (121, 130)
    assert (lineage.scores.stream, lineage.scores.first, lineage.scores.last) == ("SCORES", 2, 8)
    assert lineage.window_end == events[1].time
    assert (lineage.rule.severity, lineage.rule.above, lineage.rule.score) == ("warn", 2.0, 2.5)
    assert lineage.signals == ["vibration"]
    assert (lineage.generation, lineage.pipeline_digest) == ("g1", "sha256:pipe")
    assert lineage.trace_id == "0123456789abcdef0123456789abcdef"


def test_windows_shorter_than_a_second_keep_their_time():
    config = line_config()
    pipeline = config.pipeline.model_copy(update={"every_ns": SECOND // 2})
    alerter = Alerter(config.model_copy(update={"pipeline": pipeline}))
    (event,) = alerter.play([Score(0.5 * i, 1.5) for i in range(1, 50)])
    assert event.data.since == iso(START + SECOND // 2)
    assert event.data.since.endswith(".500000Z")
    assert event.data.lineage.window_end == event.time == iso(START + 20_500_000_000)


def test_values_that_come_late_are_marked():
    (live,) = Alerter().play(series([1.5] * 3, late=300))
    (late,) = Alerter().play(series([1.5] * 3, late=301))
    assert (live.data.delayed, late.data.delayed) == (False, True)
    assert "arrived late" in late.data.summary
    assert "arrived late" not in live.data.summary


def test_an_event_carries_only_numbers_that_json_has():
    rows = series([1.5] * 3, values=(NAN,), expected=(NAN,), deviation=(1.5,), coverage=NAN)
    (event,) = Alerter().play(rows)
    text = event.model_dump_json()
    assert "NaN" not in text
    assert "null" not in text.replace('"cleared":null', "")
    assert event.data.confidence == 0
