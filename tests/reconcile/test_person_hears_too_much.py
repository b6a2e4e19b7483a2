"""Events are for what a person should see, once; what ends by itself within seconds is not among it."""

from __future__ import annotations

from wheeltapper_operator.status.news import news


def status(ready="True", reason="Running", fresh="True", **more):
    conditions = [
        {"type": "Ready", "status": ready, "reason": reason, "message": f"{reason}."},
        {"type": "Fresh", "status": fresh, "reason": "SignalsStale", "message": "old"},
    ]
    return {"conditions": conditions, "openAlerts": 0, "health": "good"} | more


def told(before, after):
    return [(one.type, one.reason) for one in news(before, after)]


def test_nothing_new_is_not_told():
    assert told(status(), status()) == []
    assert told(status(), status(mode="steady")) == []


def test_becoming_ready_and_not_is_told_but_not_the_moments_between():
    assert told({}, status("False", "Applying", "Unknown")) == []
    assert told(status("False", "Applying"), status()) == [("Normal", "Running")]
    assert told(status(), status("False", "ReferenceNotFound")) == [("Warning", "ReferenceNotFound")]
    assert told(status("False", "QuotaExceeded"), status("False", "ImageUnavailable")) == [
        ("Warning", "ImageUnavailable")
    ]


def test_silence_and_alerts_are_told_when_they_begin():
    assert told(status(), status(fresh="False")) == [("Warning", "SignalsStale")]
    assert told(status(fresh="Unknown"), status(fresh="False")) == []
    assert told(status(), status(openAlerts=1, health="act")) == [("Warning", "AlertOpen")]
    assert told(status(openAlerts=2), status(openAlerts=1)) == []
