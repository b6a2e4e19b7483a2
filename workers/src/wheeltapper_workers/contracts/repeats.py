"""Samples that come a second time, known by what they say of which moment of which series."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from wheeltapper_workers.contracts import rules

REMEMBERED: Final = 2**18
"""Newest samples that are known when they come again: more than any source sends before it hears that they are safe."""

Keys = npt.NDArray[np.uint64]

_TIME: Final = np.uint64(0xD6E8FEB86659FD93)


def keys(identity: Keys, time_ns: npt.NDArray[np.int64], digest: Keys) -> Keys:
    """64-bit keys of samples, [n].

    Parameters
    ----------
    identity
        Of the series, ``SeriesTable.identity``.
    time_ns
        Source time.
    digest
        Of what the sample says, as ``rules.digests`` makes it.
    """
    return rules.mixed(identity + time_ns.view(np.uint64) * _TIME + digest)


class Memory:
    """Keys of the newest samples, in a ring."""

    __slots__ = ("_at", "_keys", "_sorted")

    def __init__(self) -> None:
        self._keys: Keys = np.zeros(REMEMBERED, np.uint64)
        self._at = 0
        self._sorted: Keys | None = None

    def knows(self, asked: Keys) -> npt.NDArray[np.bool_]:
        """Whether each was added, [n]."""
        if self._sorted is None:
            self._sorted = np.sort(self._keys)
        place = np.minimum(np.searchsorted(self._sorted, asked), REMEMBERED - 1)
        found: npt.NDArray[np.bool_] = self._sorted[place] == asked
        return found

    def add(self, added: Keys) -> None:
        """Remember these, and forget the oldest."""
        added = added[-REMEMBERED:]
        head = min(len(added), REMEMBERED - self._at)
        self._keys[self._at : self._at + head] = added[:head]
        self._keys[: len(added) - head] = added[head:]
        self._at = (self._at + len(added)) % REMEMBERED
        self._sorted = None
