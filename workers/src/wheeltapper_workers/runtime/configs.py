"""The configs that a role of a line knows, by generation, and the one that is wanted of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Final

from wheeltapper_api.config import LineConfig, digest_of

REMEMBERED: Final = 64
"""Configs of a line; the bucket has as many documents of a worker."""
_PATIENCE_NS: Final = 60 * 10**9
"""A generation that the stream tells is waited for so long; it comes to another worker by another document."""


def line_generation(config: LineConfig) -> str:
    """Generation of one line's config: a change elsewhere in the worker's document does not touch it."""
    return digest_of(config)[7:23]


class Configs:
    """Configs of one line."""

    def __init__(self, wanted: LineConfig) -> None:
        self.wanted, self.generation = wanted, line_generation(wanted)
        self._known = {self.generation: wanted}
        self._changed = asyncio.Event()

    def remember(self, earlier: Mapping[str, LineConfig]) -> None:
        """Take in what was wanted before, by generation; configs of other lines may be among them."""
        for generation, config in earlier.items():
            if config.line == self.wanted.line:
                self._keep(generation, config)
        self._keep(self.generation, self.wanted)

    def want(self, config: LineConfig) -> bool:
        """Want a config; says whether it is another one than before."""
        before = self.generation
        self.wanted, self.generation = config, line_generation(config)
        self._keep(self.generation, config)
        self._changed.set()
        return before != self.generation

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

    def _keep(self, generation: str, config: LineConfig) -> None:
        keep_newest(self._known, generation, config, REMEMBERED)


def keep_newest(known: dict[str, LineConfig], generation: str, config: LineConfig, most: int) -> None:
    """Put a config behind those that are known; beyond so many the oldest are forgotten."""
    known.pop(generation, None)
    known[generation] = config
    while len(known) > most:
        del known[next(iter(known))]
