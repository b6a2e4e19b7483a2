"""What of a change of status a person should be told at once, as an Event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from wheeltapper_api.conditions import ALERT_OPEN, APPLYING, FRESH, READY, STARTING

_PASSING: Final = frozenset({APPLYING, STARTING})
"""Reasons that end by themselves within seconds; they are in the status and need no Event."""


@dataclass(frozen=True, slots=True)
class News:
    """Something to be told of an object."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    """What is new between two statuses: it has become ready or not, silent, or an alert has opened."""
    was, now = _condition(before, READY), _condition(after, READY)
    if (was.get("status"), was.get("reason")) != (now["status"], now["reason"]) and now["reason"] not in _PASSING:
        yield News("Normal" if now["status"] == "True" else "Warning", now["reason"], now["message"])
    fresh = _condition(after, FRESH)
    if fresh.get("status") == "False" and _condition(before, FRESH).get("status") == "True":
        yield News("Warning", fresh["reason"], fresh["message"])
    opened = int(after.get("openAlerts") or 0)
    if opened > int(before.get("openAlerts") or 0):
        yield News("Warning", ALERT_OPEN, f"{opened} open alert{'' if opened == 1 else 's'}, {after.get('health')}")


def _condition(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((one for one in status.get("conditions", ()) if one["type"] == name), {})
