"""A status that contradicts itself, lags behind or changes without reason is worse than none."""

from __future__ import annotations

import random

import pytest

from wheeltapper_api.conditions import FRESH
from wheeltapper_api.kinds.meta import Condition, Status
from wheeltapper_operator.status.conditions import Said, Verdict, broken_rules, conditions

VERDICTS = [
    Verdict("ready", "Running", "runs"),
    Verdict("ready", "Running", "runs", degraded=("SourceAway", "hall 2 is away")),
    Verdict("waiting", "Applying", "soon"),
    Verdict("stalled", "ReferenceNotFound", "no such class", more=(Said(FRESH, "Unknown", "NoData", "nothing"),)),
    Verdict("ready", "Running", "runs", more=(Said(FRESH, "True", "WithinObjective", "recent"),)),
    Verdict("ready", "Running", "runs", more=(Said(FRESH, "False", "SignalsStale", "old"),)),
]


@pytest.mark.parametrize("seed", range(30))
def test_every_history_of_verdicts_keeps_the_rules(seed):
    chance = random.Random(seed)
    known: list[Condition] = []
    for step in range(50):
        generation, now = step // 5 + 1, f"2026-01-01T00:00:{step:02}Z"
        new = conditions(known, generation, chance.choice(VERDICTS), now)
        assert not list(broken_rules(Status(conditions=new, observed_generation=generation), generation))
        before = {condition.type: condition for condition in known}
        for condition in new:
            last = before.get(condition.type)
            moved = last is None or last.status != condition.status
            assert condition.last_transition_time == (now if moved else last.last_transition_time)
        known = new


def test_the_same_verdict_again_gives_the_same_conditions():
    verdict = VERDICTS[3]
    first = conditions([], 1, verdict, "2026-01-01T00:00:00Z")
    assert conditions(first, 1, verdict, "2026-01-01T00:00:09Z") == first


def condition(**fields):
    fields = {
        "type": "Ready",
        "status": "True",
        "reason": "Running",
        "message": "runs",
        "observed_generation": 1,
    } | fields
    return Condition(last_transition_time="2026-01-01T00:00:00Z", **fields)


@pytest.mark.parametrize(
    ("of", "word"),
    [
        ([], "Ready is missing"),
        ([condition(), condition()], "twice"),
        ([condition(), condition(type="Reconciling", status="False")], "Reconciling is there and False"),
        ([condition(), condition(type="Stalled")], "Ready, and Reconciling or Stalled"),
        ([condition(status="False")], "neither"),
        ([condition(status="False"), condition(type="Stalled"), condition(type="Reconciling")], "at once"),
        ([condition(observed_generation=0)], "about generation 0"),
        ([condition(message="")], "says nothing"),
    ],
)
def test_the_rules_find_what_breaks_them(of, word):
    assert any(word in rule for rule in broken_rules(Status(conditions=of, observed_generation=1), 1))


def test_a_generation_that_is_not_there_yet_is_not_judged():
    status = Status(conditions=[condition(observed_generation=2)], observed_generation=2)
    assert any("observedGeneration is 2" in rule for rule in broken_rules(status, 1))
