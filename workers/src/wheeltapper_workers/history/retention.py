"""Which days of a tenant's tables are old enough to go. Pure.

Every table has an age after which its rows go, a whole day of a class at a plant at a time. An alert keeps the days
around it longer, and a hold for good. A day's age counts from its end and from when its newest file was written: what
was filled in later, or measured again from a recording, is kept as long as what is new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from wheeltapper_api.config import RetentionConfig

DAY_NS: Final = 86_400 * 10**9
EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Part:
    """A day of a class at a plant in a table."""

    table: str
    plant: str
    asset_class: str
    day: int
    """Days since 1970, UTC."""
    rows: int
    size_bytes: int
    written_ns: int
    """When the newest of its files was written."""

    @property
    def date(self) -> date:
        """The day."""
        return EPOCH + timedelta(days=self.day)


@dataclass(frozen=True, slots=True)
class Incident:
    """An alert, in event time; ``end_ns`` is None while it is open."""

    alert_id: str
    plant: str
    asset_class: str
    start_ns: int
    end_ns: int | None


@dataclass(frozen=True, slots=True)
class Pin:
    """Days of a class at a plant that stay, whatever their table's age, and the alert they stay for."""

    plant: str
    asset_class: str
    first_day: int
    last_day: int
    alert_id: str
    held: bool
    """By a hold, and not by the policy alone."""

    def covers(self, part: Part) -> bool:
        """Whether a part stays."""
        return (part.plant, part.asset_class) == (self.plant, self.asset_class) and (
            self.first_day <= part.day <= self.last_day
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What goes, and what would go if it were not pinned."""

    expired: list[Part]
    pinned: list[tuple[Part, Pin]]


def ages_ns(retention: RetentionConfig) -> Mapping[str, int]:
    """Age after which rows go, by table; a table that is not among them keeps them."""
    return {
        "raw": retention.raw_ns,
        "features": retention.features_ns,
        "scores": retention.scores_ns,
        "events": retention.events_ns,
        "gaps": retention.events_ns,
    }


def decide(
    retention: RetentionConfig,
    parts: Iterable[Part],
    incidents: Iterable[Incident],
    holds: Collection[str],
    now_ns: int,
) -> Decision:
    """What is to go now.

    Parameters
    ----------
    holds
        Ids of the alerts whose days stay until the hold is released.
    """
    pins = pins_of(retention, incidents, holds, now_ns)
    ages = ages_ns(retention)
    decision = Decision([], [])
    for part in sorted(parts, key=lambda part: (part.table, part.plant, part.asset_class, part.day)):
        age = ages.get(part.table)
        if age is None or max((part.day + 1) * DAY_NS, part.written_ns) + age > now_ns:
            continue
        pin = next((pin for pin in pins if pin.covers(part)), None)
        if pin is None:
            decision.expired.append(part)
        else:
            decision.pinned.append((part, pin))
    return decision


def pins_of(
    retention: RetentionConfig, incidents: Iterable[Incident], holds: Collection[str], now_ns: int
) -> list[Pin]:
    """Days that alerts keep: open ones, those that ended not long enough ago, and those that are held."""
    pins = []
    for incident in incidents:
        end_ns = now_ns if incident.end_ns is None else incident.end_ns
        held = incident.alert_id in holds
        if held or end_ns + retention.around_incidents_ns > now_ns:
            first, last = (incident.start_ns - retention.incident_margin_ns, end_ns + retention.incident_margin_ns)
            place = (incident.plant, incident.asset_class)
            pins.append(Pin(*place, first // DAY_NS, last // DAY_NS, incident.alert_id, held))
    # A hold is the better reason to tell, since only a person can end it.
    return sorted(pins, key=lambda pin: not pin.held)


def day_text(nanoseconds: int) -> str:
    """Age in days, as it is told: ``30d``."""
    return f"{nanoseconds // DAY_NS}d"


def now_text(now_ns: int) -> str:
    """Time in UTC to the second."""
    return datetime.fromtimestamp(now_ns // 10**9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
