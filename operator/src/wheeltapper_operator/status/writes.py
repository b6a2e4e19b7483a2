"""When a status is written: a change of readiness at once, of freshness and health now and then, nothing else ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wheeltapper_api.conditions import FRESH

HEALTH_EVERY_S: Final = 30.0
MODE_EVERY_S: Final = 300.0
"""A machine may change its mode every minute, and a thousand of them must not be heard in the API server."""


def due(before: Mapping[str, Any], after: Mapping[str, Any], since_s: float) -> bool:
    """Whether a new status has to be written now.

    Parameters
    ----------
    before, after
        The status as written last, and as it would be written.
    since_s
        Seconds since it was written last.
    """
    if before == after:
        return False
    if _essence(before) != _essence(after):
        return True
    if _health(before) != _health(after):
        return since_s >= HEALTH_EVERY_S
    return since_s >= MODE_EVERY_S


def _essence(status: Mapping[str, Any]) -> object:
    conditions = [condition for condition in status.get("conditions", ()) if condition["type"] != FRESH]
    return status.get("observedGeneration"), conditions


def _health(status: Mapping[str, Any]) -> object:
    fresh = [condition["status"] for condition in status.get("conditions", ()) if condition["type"] == FRESH]
    return status.get("health"), status.get("openAlerts"), fresh
