"""Conditions of a worker, made of what its parts tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from wheeltapper_api import conditions as c
from wheeltapper_api.fields import duration_text
from wheeltapper_api.kinds.meta import Condition

Parts = Mapping[str, Mapping[str, Any]]
Verdict = tuple[Literal["True", "False", "Unknown"], str, str]
"""Status, reason, message."""

BEHIND_NS: Final = 60 * 10**9
_LOST_S: Final = 86_400.0
TRANSITIONS: Final = 20
"""Kept in the status document."""
_GOOD: Final[Verdict] = ("True", c.AS_EXPECTED, "")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a worker knows of what is beneath it."""

    connected: bool = True
    """Whether the NATS server answers."""
    clock_step_ns: int = 0
    """Step of the machine's clock in the last quarter of an hour, positive forward; 0 if there was none."""


def conditions(parts: Parts, machine: Machine, before: Sequence[Condition], now_ns: int) -> list[Condition]:
    """Conditions of a worker, each with the time of its last change.

    Parameters
    ----------
    parts
        Summaries of the parts as the status document has them.
    before
        Conditions of the last time: where the status is the same, so is the time of the change.
    """
    known = {condition.type: condition for condition in before}
    now = _time_text(now_ns)
    found = []
    for kind, (status, reason, message) in _verdicts(parts, machine, now_ns).items():
        last = known.get(kind)
        since = last.last_transition_time if last is not None and last.status == status else now
        found.append(
            Condition(type=kind, status=status, reason=reason, message=message[:2000], last_transition_time=since)
        )
    return found


def transitions(before: Iterable[Condition], after: Iterable[Condition]) -> list[Condition]:
    """Conditions whose status or reason is another than before; of the first ones, those that do not hold."""
    known = {condition.type: (condition.status, condition.reason) for condition in before}
    good = (_GOOD[0], _GOOD[1])
    return [one for one in after if (one.status, one.reason) != known.get(one.type, good)]


def sentence(condition: Condition) -> str:
    """A condition for a log."""
    return " ".join(filter(None, [f"{condition.type} is {condition.status}: {condition.reason}.", condition.message]))


def _verdicts(parts: Parts, machine: Machine, now_ns: int) -> dict[str, Verdict]:
    """Of each condition the first thing that is wrong; a worker that reads no source has no freshness of its own."""
    found = {
        c.FLOWING: next(_held_up(parts, machine, now_ns), _GOOD),
        c.STORING: next(_unwritable(parts), _GOOD),
        c.CLOCK_SANE: next(_clock(parts, machine), _GOOD),
        c.COMPLETE: next(_lost(parts), _GOOD),
    }
    if any("connection" in part for part in parts.values()):
        found[c.FRESH] = next(_silent(parts), _GOOD)
    return found


def _held_up(parts: Parts, machine: Machine, now_ns: int) -> Iterator[Verdict]:
    """Causes before consequences: who waits for a full stream is not behind by its own fault."""
    if not machine.connected:
        yield "False", c.BACKBONE_AWAY, "The NATS server does not answer; work goes on by itself once it does"
    for part in parts.values():
        if part.get("held"):
            yield "False", c.STREAM_FULL if part.get("full") else c.BACKBONE_REFUSES, part["held"]
    for part in parts.values():
        for stream in reversed(part.get("streams", {}).values()):  # what fills the stream before it comes first
            if stream.get("problem"):
                yield "False", c.STREAM_FULL, stream["problem"]
    for part in parts.values():
        if part.get("connected") is False and not _connecting(part):
            yield "False", c.SOURCE_AWAY, part["message"]
    for key, part in parts.items():
        if lag_ns(part, now_ns) > BEHIND_NS:
            lag = duration_text(lag_ns(part, now_ns))
            yield "False", c.READER_BEHIND, f"{key} is {lag} behind, with {part['pending']} messages to go"
    for part in parts.values():
        if part.get("connected") is False:
            yield "Unknown", c.CONNECTING, part["message"]


def lag_ns(part: Mapping[str, Any], now_ns: int) -> int:
    """How long ago the last message that was read had been stored, while others wait behind it."""
    return max(0, now_ns - part["readNs"]) if part.get("pending") and part.get("readNs") else 0


def _connecting(part: Mapping[str, Any]) -> bool:
    return str(part.get("message", "")).startswith("Connecting")


def _unwritable(parts: Parts) -> Iterator[Verdict]:
    for part in parts.values():
        if part.get("problem"):
            yield "False", c.STORAGE_UNWRITABLE if "waitingRows" in part else c.STATE_UNWRITABLE, part["problem"]


def _clock(parts: Parts, machine: Machine) -> Iterator[Verdict]:
    if machine.clock_step_ns:
        way = "forward" if machine.clock_step_ns > 0 else "back"
        size = duration_text(abs(machine.clock_step_ns))
        message = f"The machine's clock was set {way} by {size}; keep it by NTP. Nothing is lost by it"
        yield "False", c.CLOCK_STEPPED, message
    for problem in _problems(parts, "clock"):
        yield "False", c.SOURCE_CLOCK_OFF, problem


def _lost(parts: Parts) -> Iterator[Verdict]:
    for key, part in parts.items():
        ago = part.get("missed", {}).get("ago")
        if ago is not None and ago < _LOST_S:
            reason = c.BACKBONE_LOST if part["missed"].get("byServer") else c.MESSAGES_MISSED
            yield "False", reason, f"{key}: {part['missed']['newest']}"
        ago = part.get("lastLossSeconds")
        if ago is not None and ago < _LOST_S:
            message = f"{key}: {part['lost']} gaps could not be filled; the table gaps has each"
            yield "False", c.SOURCE_LOST, message


def _silent(parts: Parts) -> Iterator[Verdict]:
    stale = list(_problems(parts, "stale"))
    if stale:
        more = f", and {len(stale) - 1} more signals are silent" if len(stale) > 1 else ""
        yield "False", c.SIGNALS_STALE, stale[0] + more


def _problems(parts: Parts, kind: str) -> Iterator[str]:
    for part in parts.values():
        for problem in part.get("problems", []):
            if problem["kind"] == kind:
                yield problem["message"]


def _time_text(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
