"""How much room a stream has, and which of its messages nobody needs any more. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.runtime.line import FLOW, part_key

HIGH: Final = 0.8
LOW: Final = 0.6
"""A stream that holds its writers is trimmed when it is filled to the one share, down to the other: what has been read
is kept as long as there is room, for whoever looks back."""
_NEARLY_FULL: Final = 0.95
_FEW: Final = 4
STORE: Final = "store"
"""Key of the historian among the parts."""

Documents = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Room:
    """A stream as the server tells it."""

    stream: str
    first: int
    last: int
    messages: int
    bytes: int
    max_bytes: int
    holds: bool
    """Whether it refuses what is new at its limit, rather than dropping what is oldest."""

    @property
    def share(self) -> float:
        """Share of its limit that it is filled to."""
        return self.bytes / self.max_bytes

    @property
    def pressed(self) -> bool:
        """Whether its writers wait, or soon will: there is room for no more than a few messages."""
        a_few = _FEW * self.bytes / max(self.messages, 1)
        return self.max_bytes - self.bytes < max(a_few, (1 - _NEARLY_FULL) * self.max_bytes)


@dataclass(frozen=True, slots=True)
class Needed:
    """What is still needed of a stream: the messages behind these sequences."""

    sequence: int
    """Of the slowest reader."""
    by: str
    """Part that reads so slowly."""
    wanted: int | None = None
    """Behind which somebody would like to look after a failure; None if nobody would."""


def needed(stage: Stage, lines: Iterable[Line], documents: Documents) -> Needed | None:
    """What is still needed of a stream; None if not all of its readers have told yet.

    Readers are the roles of each line whose input it is, and the historian.

    Parameters
    ----------
    documents
        Status documents by worker. They outlive their workers, so a worker that is away counts as it was last.
    """
    readers = [STORE, *(part_key(role, line) for line in lines for role, flow in FLOW.items() if flow[0] is stage)]
    parts = _newest(documents)
    needs = {key: part["needs"][stage.stream] for key, part in parts.items() if stage.stream in part.get("needs", {})}
    if not needs.keys() >= set(readers):
        return None
    slowest = min(readers, key=lambda key: needs[key])
    wants = [part["wants"][stage.stream] for part in parts.values() if stage.stream in part.get("wants", {})]
    return Needed(needs[slowest], slowest, min(wants, default=None))


def _newest(documents: Documents) -> dict[str, Mapping[str, Any]]:
    """Each part by the newest document that has it: a part may have moved to another worker."""
    ordered = sorted(documents.values(), key=lambda document: int(document.get("timeNs", 0)))
    return {key: part for document in ordered for key, part in document.get("parts", {}).items()}


def keep_from(room: Room, need: Needed | None) -> int | None:
    """First message to be kept when the ones before it are to give way; None if nothing has to or may.

    What is only wanted is kept as long as the stream does not stand still for it.
    """
    if not room.holds or need is None or room.share < HIGH or not room.messages:
        return None
    surplus = (room.bytes - LOW * room.max_bytes) / (room.bytes / room.messages)
    begin = min(room.first + int(surplus), need.sequence + 1)
    if need.wanted is not None and not room.pressed:
        begin = min(begin, need.wanted + 1)
    return begin if begin > room.first else None


def problem(room: Room, need: Needed | None) -> str:
    """What is wrong with a stream's room and what to do, or nothing."""
    unread = room.last - max(need.sequence, room.first - 1) if need else 0
    if need is None or room.share < HIGH or unread < HIGH * (room.last - room.first + 1):
        return ""
    what = f"{room.stream} is filled to {room.share:.0%} and {need.by} still needs {unread} messages of it"
    remedy = "See why it stands still, or raise the stream's share or limits.storage of the TenantPolicy"
    if room.holds:
        held = "its writers wait" if room.pressed else "soon its writers wait"
        return f"{what}: {held}. {remedy}"
    return f"{what}: the oldest give way unread. {remedy}"
