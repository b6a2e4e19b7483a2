"""An idle fleet causes no write, and a restless one few."""

from __future__ import annotations

from wheeltapper_operator.status.writes import HEALTH_EVERY_S, MODE_EVERY_S, due


def status(ready="True", fresh="True", since="2026-01-01T00:00:00Z", **more):
    conditions = [
        {"type": "Ready", "status": ready, "lastTransitionTime": since},
        {"type": "Fresh", "status": fresh, "lastTransitionTime": since},
    ]
    return {
        "observedGeneration": 1,
        "conditions": conditions,
        "health": "good",
        "openAlerts": 0,
        "mode": "steady",
    } | more


def test_nothing_new_is_never_written():
    assert not due(status(), status(), 1e9)


def test_readiness_is_written_at_once():
    assert due(status(), status(ready="False"), 0)
    assert due(status(), status(observedGeneration=2), 0)
    assert due({}, status(), 0)


def test_freshness_and_health_wait_for_their_time():
    for new in (status(fresh="False"), status(health="act"), status(openAlerts=1)):
        assert not due(status(), new, HEALTH_EVERY_S - 1)
        assert due(status(), new, HEALTH_EVERY_S)


def test_a_machine_that_changes_its_mode_every_minute_is_heard_every_five():
    assert not due(status(), status(mode="transient"), MODE_EVERY_S - 1)
    assert due(status(), status(mode="transient"), MODE_EVERY_S)
