"""What the workers tell of the machines, by twin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wheeltapper_api.wire import SEVERITIES

Reports = Mapping[str, Mapping[str, Any]]
"""Status document of each worker."""

SILENT_S: Final = 15.0
"""A worker reports every second; one that has not for so long does not run, or does not get on."""


@dataclass(slots=True)
class Observed:
    """What is known of a machine."""

    received_ns: int = 0
    """When its newest sample reached the collector; 0 before the first."""
    mode: str | None = None
    scored: bool = False
    """Whether at least one failure model has a score."""
    worst: str | None = None
    """Highest severity of its open alerts."""
    alerts: int = 0


def observed(reports: Reports) -> dict[str, Observed]:
    """What is known of each machine of a tenant, by the name of its twin."""
    found: dict[str, Observed] = {}
    for report in reports.values():
        for part in report.get("parts", {}).values():
            role, assets = part.get("role"), part.get("summary", {}).get("assets", {})
            for name, told in assets.items() if role in {"featurize", "alert"} else ():
                one = found.setdefault(name, Observed())
                if role == "featurize":
                    one.received_ns, one.mode = int(told["received_ns"]), told["mode"]
                else:
                    _take_models(one, told.get("models", {}))
    return found


def silent(report: Mapping[str, Any] | None, now_ns: int) -> bool:
    """Whether a worker has not been heard for too long."""
    return report is None or now_ns - int(report.get("timeNs", 0)) > SILENT_S * 1e9


def _take_models(one: Observed, models: Mapping[str, Mapping[str, Any]]) -> None:
    one.scored = any(told.get("score") is not None for told in models.values())
    severities = [told["severity"] for told in models.values() if told.get("severity") in SEVERITIES]
    one.alerts = len(severities)
    one.worst = max(severities, key=SEVERITIES.index, default=None)
