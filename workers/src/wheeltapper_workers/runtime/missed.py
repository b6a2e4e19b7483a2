"""What a reader has missed, as its status tells it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from wheeltapper_workers.runtime.jetstream import Missing


@dataclass(slots=True)
class Missed:
    """Messages that left a stream before they were read, since the start."""

    messages: int = 0
    newest: str = ""
    """The last stretch, in words."""
    seen_s: float = 0.0
    """When it was noticed, on the clock of ``time.monotonic``."""
    by_server: bool = False
    """Whether the server had acknowledged them and lost them."""

    def add(self, missing: Missing) -> None:
        """Another stretch."""
        self.messages += missing.count
        self.newest, self.seen_s, self.by_server = str(missing), time.monotonic(), missing.known

    def document(self) -> dict[str, Any]:
        """For the status document; ``ago`` is seconds since the last one was noticed, null where none was."""
        return {
            "messages": self.messages,
            "newest": self.newest,
            "byServer": self.by_server,
            "ago": round(time.monotonic() - self.seen_s, 1) if self.messages else None,
        }
