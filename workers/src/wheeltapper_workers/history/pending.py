"""What waits for a commit, in memory and counted in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from wheeltapper_api.wire import Stage
from wheeltapper_workers.history.announced import ToldTick
from wheeltapper_workers.history.rows import Entry
from wheeltapper_workers.history.tables import QUARANTINE

MESSAGE_BYTES: Final = 12 * 2**10
"""What an Arrow batch takes beside its values: a stream of blocks of one row each must not fill the memory unseen."""


@dataclass(frozen=True, slots=True)
class BadBlock:
    """A message that could not be read as what its stream should hold."""

    stage: Stage
    sequence: int
    published_ns: int
    subject: str
    reason: str
    payload: bytes

    def __str__(self) -> str:
        """Say what is wrong, where it is kept, and what to do."""
        return (
            f"{self.stage.stream} {self.sequence} on {self.subject} was not stored: {self.reason}. It is kept in the "
            f"folder {QUARANTINE}; see which writer published it"
        )


@dataclass(slots=True)
class Pending:
    """Messages of one stream that wait, each list in the stream's order."""

    entries: list[Entry] = field(default_factory=list)
    bad: list[BadBlock] = field(default_factory=list)
    ticks: list[ToldTick] = field(default_factory=list)
    """Those that may have changed a line's config."""
    last: int = 0
    """Sequence of the last message of the stream that was added, of whatever kind."""
    last_ns: int = 0
    """When that message was stored in its stream."""

    @property
    def rows(self) -> int:
        """Rows that wait; a bad block or tick counts as one, since it too has to be written."""
        rows: int = sum(entry.batch.num_rows for entry in self.entries)
        return rows + len(self.bad) + len(self.ticks)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(map(_size, self.entries)) + sum(MESSAGE_BYTES + len(block.payload) for block in self.bad)

    def extend(self, later: Pending) -> None:
        """Add what came after."""
        self.entries.extend(later.entries)
        self.bad.extend(later.bad)
        self.ticks.extend(later.ticks)
        self.last, self.last_ns = max((self.last, self.last_ns), (later.last, later.last_ns))

    def split(self, size: int) -> tuple[Pending, Pending]:
        """The first messages, as many as have at least this many bytes together, and the others."""
        taken = 0
        for entry in self.entries:
            taken += _size(entry)
            if taken >= size and entry is not self.entries[-1]:
                return self.until(entry)
        return self, Pending(last=self.last, last_ns=self.last_ns)

    def until(self, end: Entry) -> tuple[Pending, Pending]:
        """Messages up to one of the entries, and the others."""
        first = Pending(last=end.sequence, last_ns=end.published_ns)
        rest = Pending(last=self.last, last_ns=self.last_ns)
        for entry in self.entries:
            (first if entry.sequence <= end.sequence else rest).entries.append(entry)
        for bad in self.bad:
            (first if bad.sequence <= end.sequence else rest).bad.append(bad)
        for tick in self.ticks:
            (first if tick.sequence <= end.sequence else rest).ticks.append(tick)
        return first, rest


def _size(entry: Entry) -> int:
    size: int = entry.batch.nbytes
    return MESSAGE_BYTES + size
