"""What is past its age goes, a day at a time, and nothing else does. The decision, without any table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wheeltapper_api.config import RetentionConfig
from wheeltapper_workers.history.retention import DAY_NS, Incident, Part, decide

NOW = 20_000 * DAY_NS + 12 * 3600 * 10**9
KEPT = RetentionConfig(
    raw_ns=30 * DAY_NS,
    features_ns=400 * DAY_NS,
    scores_ns=400 * DAY_NS,
    events_ns=3650 * DAY_NS,
    around_incidents_ns=1825 * DAY_NS,
    incident_margin_ns=DAY_NS,
)


def part(age: int, table: str = "raw", plant: str = "riverside", written: int | None = None) -> Part:
    """Of a day so many days ago, written on that day."""
    day = NOW // DAY_NS - age
    return Part(table, plant, "pump", day, 10, 100, (day if written is None else NOW // DAY_NS - written) * DAY_NS)


def incident(start: int, end: int | None, plant: str = "riverside") -> Incident:
    """From so many days ago until so many days ago."""
    return Incident("p-1-wear-1", plant, "pump", NOW - start * DAY_NS, None if end is None else NOW - end * DAY_NS)


def days(parts) -> list[int]:
    return [NOW // DAY_NS - one.day for one in parts]


def test_a_day_goes_when_all_of_it_is_past_the_age():
    parts = [part(age) for age in (0, 29, 30, 31, 32, 400)]
    assert days(decide(KEPT, parts, [], (), NOW).expired) == [400, 32, 31]
    later = NOW - 12 * 3600 * 10**9 + DAY_NS  # the very end of the day thirty days ago, and a moment before
    assert days(decide(KEPT, parts, [], (), later).expired) == [400, 32, 31, 30]
    assert days(decide(KEPT, parts, [], (), later - 1).expired) == [400, 32, 31]


@pytest.mark.parametrize(
    ("table", "goes"), [("raw", True), ("features", False), ("scores", False), ("events", False), ("configs", False)]
)
def test_each_table_has_its_own_age(table, goes):
    assert bool(decide(KEPT, [part(100, table)], [], (), NOW).expired) == goes


def test_configs_and_ticks_never_go():
    """Without them nothing that is left could be computed again."""
    parts = [part(9_999, table) for table in ("configs", "ticks", "removed")]
    assert decide(KEPT, parts, [], (), NOW).expired == []


def test_history_that_was_filled_in_is_not_gone_the_next_hour():
    assert decide(KEPT, [part(300, written=2)], [], (), NOW).expired == []
    assert days(decide(KEPT, [part(300, written=31)], [], (), NOW).expired) == [300]


def test_days_around_an_alert_stay():
    parts = [part(age) for age in (105, 104, 103, 102, 101, 100, 99, 98)]
    found = decide(KEPT, parts, [incident(103, 101)], (), NOW)
    assert days(found.expired) == [105, 100 - 1, 98]
    assert [NOW // DAY_NS - one.day for one, _ in found.pinned] == [104, 103, 102, 101, 100]
    assert {pin.alert_id for _, pin in found.pinned} == {"p-1-wear-1"}


def test_open_alert_keeps_everything_since():
    parts = [part(age) for age in (105, 104, 60, 31)]
    assert days(decide(KEPT, parts, [incident(103, None)], (), NOW).expired) == [105]


def test_alert_of_another_plant_keeps_nothing_here():
    parts = [part(100), part(100, plant="hillside")]
    found = decide(KEPT, parts, [incident(100, 100, "hillside")], (), NOW)
    assert [one.plant for one in found.expired] == ["riverside"]


def test_old_alert_no_longer_keeps_its_days_unless_it_is_held():
    parts, old = [part(1900)], incident(1900, 1900)
    assert days(decide(KEPT, parts, [old], (), NOW).expired) == [1900]
    found = decide(KEPT, parts, [old], {"p-1-wear-1"}, NOW)
    assert found.expired == []
    assert found.pinned[0][1].held


def test_hold_keeps_the_alert_itself():
    parts, old = [part(5000, "events")], incident(5000, 5000)
    assert decide(KEPT, parts, [old], (), NOW).expired == parts
    assert decide(KEPT, parts, [old], {"p-1-wear-1"}, NOW).expired == []


def test_hold_is_told_before_the_policy():
    other = replace(incident(100, 100), alert_id="p-2-wear-2")
    found = decide(KEPT, [part(100)], [other, incident(100, 100)], {"p-1-wear-1"}, NOW)
    assert found.pinned[0][1].alert_id == "p-1-wear-1"
