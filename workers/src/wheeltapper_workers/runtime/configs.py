"""The configs that a role of a line knows, by generation, and the one that is wanted of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Final

from wheeltapper_api.config import LineConfig, digest_of

_PATIENCE_NS: Final = 60 * 10**9
"""A generation that the stream tells is waited for so long; it comes to another worker by another document."""


def line_generation(config: LineConfig) -> str:
    """Generation of one line's config: a change elsewhere in the worker's document does not touch it."""
    return digest_of(config)[7:23]


class Configs:
    """Configs of one line."""

    def __init__(self, wanted: LineConfig) -> None:
        self.wanted = wanted
        self._known = {line_generation(wanted): wanted}
        self._changed = asyncio.Event()

    @property
    def generation(self) -> str:
        """Generation that is wanted."""
        return line_generation(self.wanted)

    def remember(self, earlier: Mapping[str, LineConfig]) -> None:
        """Take in what was wanted before, by generation."""
        self._known |= earlier

    def want(self, config: LineConfig) -> bool:
        """Want a config; says whether it is another one than before."""
        changes = line_generation(config) != self.generation
        self.wanted = config
        self._known[line_generation(config)] = config
        self._changed.set()
        return changes

    def get(self, generation: str) -> LineConfig | None:
        """Config of a generation; None if it is not known, or forgotten."""
        return self._known.get(generation)

    async def find(self, generation: str, told_ns: int) -> LineConfig | None:
        """Config of a generation that a stream told at a time (ns since 1970); it may still be on its way here."""
        while generation not in self._known:
            patience_s = (told_ns + _PATIENCE_NS - time.time_ns()) / 1e9
            if patience_s <= 0:
                return None
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(patience_s, _PATIENCE_NS / 1e9))
        return self._known[generation]
