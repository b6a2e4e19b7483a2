"""A condition that is not shown, does not end, names a consequence instead of its cause, or forgets since when."""

from __future__ import annotations

import pytest

from wheeltapper_workers.runtime.clock import RECENT_NS, ClockWatch
from wheeltapper_workers.runtime.conditions import Machine, conditions, sentence, transitions

SECOND = 10**9
NOW = 1_800_000_000 * SECOND
WELL = {
    "collect-riverside-scada": {"connection": "scada", "connected": True, "problems": [], "held": "", "problem": ""},
    "featurize-riverside-pump-s0": {"pending": 0, "readNs": NOW - 900 * SECOND, "missed": {"ago": None}, "held": ""},
    "store": {"waitingRows": 5, "problem": "", "missed": {"ago": None}},
    "keep": {"streams": {"TELEMETRY": {"problem": ""}}},
}


def judged(parts=None, machine=None, before=(), now=NOW):
    return {one.type: one for one in conditions(WELL | (parts or {}), machine or Machine(), before, now)}


def collector(**fields):
    return {"collect-riverside-scada": WELL["collect-riverside-scada"] | fields}


def role(**fields):
    return {"featurize-riverside-pump-s0": WELL["featurize-riverside-pump-s0"] | fields}


def stale(signal):
    return {"kind": "stale", "message": f"p-1/{signal}: no sample for 2 minutes"}


def test_all_is_well():
    found = judged()
    assert set(found) == {"Flowing", "Storing", "ClockSane", "Complete", "Fresh"}
    assert {one.status for one in found.values()} == {"True"}
    assert "Fresh" not in {one.type for one in conditions({"store": WELL["store"]}, Machine(), (), NOW)}


@pytest.mark.parametrize(
    ("parts", "machine", "kind", "reason", "words"),
    [
        ({}, Machine(connected=False), "Flowing", "BackboneAway", "does not answer"),
        (role(held="The stream FEATURES is full", full=True), None, "Flowing", "StreamFull", "FEATURES is full"),
        (role(held="does not store: disk", full=False), None, "Flowing", "BackboneRefuses", "disk"),
        ({"keep": {"streams": {"SCORES": {"problem": "SCORES is filled"}}}}, None, "Flowing", "StreamFull", "SCORES"),
        (collector(connected=False, message="No way to it"), None, "Flowing", "SourceAway", "No way"),
        (role(pending=7), None, "Flowing", "ReaderBehind", "15 min behind, with 7 messages"),
        (collector(problems=[stale("a"), stale("b")]), None, "Fresh", "SignalsStale", "a: no sample"),
        ({"store": WELL["store"] | {"problem": "Cannot write"}}, None, "Storing", "StorageUnwritable", "Cannot"),
        (role(problem="The state cannot be saved"), None, "Storing", "StateUnwritable", "saved"),
        ({}, Machine(clock_step_ns=-3600 * SECOND), "ClockSane", "ClockStepped", "back by 1 h"),
        (collector(problems=[{"kind": "clock", "message": "off"}]), None, "ClockSane", "SourceClockOff", "off"),
        (role(missed={"ago": 5.0, "newest": "gone"}), None, "Complete", "MessagesMissed", "gone"),
        (collector(lastLossSeconds=5.0, lost=3), None, "Complete", "SourceLost", "3 gaps"),
    ],
)
def test_each_trouble_has_its_condition_and_ends(parts, machine, kind, reason, words):
    found = judged(parts, machine)
    assert (found[kind].status, found[kind].reason) == ("False", reason)
    assert words in found[kind].message
    assert [one.type for one in found.values() if one.status != "True"] == [kind]
    assert judged(before=list(found.values()))[kind].status == "True"


def test_cause_comes_before_consequence():
    behind = role(pending=900, held="The stream FEATURES is full", full=True)
    away = collector(connected=False, message="No way to it")
    assert judged(behind | away)["Flowing"].reason == "StreamFull"
    assert judged(behind | away, Machine(connected=False))["Flowing"].reason == "BackboneAway"


def test_a_connection_being_made_is_neither_well_nor_ill():
    found = judged(collector(connected=False, message="Connecting to opc.tcp://plant"))
    assert (found["Flowing"].status, found["Flowing"].reason) == ("Unknown", "Connecting")


def test_a_loss_is_told_for_a_day():
    assert judged(role(missed={"ago": 86_399.0, "newest": "gone"}))["Complete"].status == "False"
    assert judged(role(missed={"ago": 86_401.0, "newest": "gone"}))["Complete"].status == "True"


def test_time_of_the_change_stays_while_the_status_does():
    first = judged(role(pending=7))
    later = judged(role(pending=9), before=list(first.values()), now=NOW + 60 * SECOND)
    assert later["Flowing"].last_transition_time == first["Flowing"].last_transition_time
    well = judged(before=list(later.values()), now=NOW + 90 * SECOND)
    assert well["Flowing"].last_transition_time > first["Flowing"].last_transition_time


def test_each_change_is_told_once():
    well = list(judged().values())
    assert transitions([], well) == [], "a first look at what is well is no change"
    ill = list(judged(role(pending=7), before=well).values())
    (told,) = transitions(well, ill)
    assert sentence(told).startswith("Flowing is False: ReaderBehind. featurize-riverside-pump-s0 is 15 min behind")
    assert transitions(ill, list(judged(role(pending=99), before=ill).values())) == []
    full = list(judged(role(held="x", full=True), before=ill).values())
    assert [one.reason for one in transitions(ill, full)] == ["StreamFull"]
    assert [(one.type, one.status) for one in transitions(full, well)] == [("Flowing", "True")]


def test_only_a_clock_that_is_set_has_stepped():
    watch, wall, steady = ClockWatch(), NOW, 5 * SECOND
    for _ in range(10_000):  # slewed by 500 ppm, as NTP does at most
        wall, steady = wall + 1_000_500_000, steady + SECOND
        assert watch.look(wall, steady) == 0
    assert watch.look(wall + 60 * SECOND, steady + 60 * SECOND) == 0, "a process that was paused"
    steady += 61 * SECOND
    assert watch.look(wall - 3600 * SECOND, steady) == -3661 * SECOND
    assert watch.look(wall - 3599 * SECOND, steady + SECOND) == 0
    assert watch.recent(steady + SECOND) == -3661 * SECOND
    assert watch.recent(steady + RECENT_NS) == 0
