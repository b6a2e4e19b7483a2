"""What a collector has written: how far, and from where on its newest samples may come again."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Self

from wheeltapper_workers.contracts.repeats import REMEMBERED

_BLOCKS: Final = 4_096


class Written:
    """Stream sequences of the newest blocks of a collector, by line."""

    def __init__(self) -> None:
        self._until: dict[str, int] = {}
        self._blocks: deque[tuple[str, int, int]] = deque()
        self._rows = 0
        self.place = ""
        """Of the last delivery that is in the stream as a whole."""
        self._placed = 0

    @classmethod
    def restored(cls, document: dict[str, list[int]], place: str) -> Self:
        """From a checkpoint."""
        self = cls()
        self.place, self._placed = place, max((until for _, until in document.values()), default=0)
        for line, (since, until) in document.items():
            self._blocks.append((line, since, 0))
            self._until[line] = until
        return self

    def document(self) -> dict[str, Any]:
        """For a checkpoint: first and last sequence of each line."""
        return {line: [self.since(line), until] for line, until in self._until.items()}

    def add(self, line: str, sequence: int, rows: int) -> None:
        """A block that is in the stream."""
        self._until[line] = max(sequence, self.until(line))
        self._blocks.append((line, sequence, rows))
        self._rows += rows
        while len(self._blocks) > _BLOCKS or self._rows - self._blocks[0][2] >= REMEMBERED:
            self._rows -= self._blocks.popleft()[2]

    def complete(self, place: str, sequence: int = 0) -> None:
        """A delivery is in the stream, with the block of a sequence as its last; 0 if all it had was there already."""
        # Lines are read back one after the other, and the stream has the order of all of them.
        if place and (not sequence or sequence > self._placed):
            self.place, self._placed = place, max(sequence, self._placed)

    def until(self, line: str) -> int:
        """Last block, 0 if there is none."""
        return self._until.get(line, 0)

    def since(self, line: str) -> int:
        """Oldest block whose samples are still remembered; the last one if none is; 0 if there is none at all."""
        own = [sequence for name, sequence, _ in self._blocks if name == line]
        return min(own, default=self.until(line))
