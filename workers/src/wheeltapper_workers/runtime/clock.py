"""Steps of the machine's clock, seen by a clock that has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_STEP_NS: Final = 10**9
"""A clock that is slewed moves by less than this between two looks; one that is set moves by more."""
RECENT_NS: Final = 900 * 10**9
"""How long a step is told."""


@dataclass(slots=True)
class ClockWatch:
    """Compares the wall clock with the monotonic one; to be looked at about every second.

    Time is never computed from it: what lasts is measured by the monotonic clock everywhere, and times that are
    written down are those of the wall clock, right or wrong. It only tells.
    """

    step_ns: int = 0
    """Size of the last step, positive forward."""
    _offset_ns: int | None = None
    _stepped_ns: int = 0

    def look(self, wall_ns: int, monotonic_ns: int) -> int:
        """Step since the last look, 0 if there was none."""
        offset, before = wall_ns - monotonic_ns, self._offset_ns
        self._offset_ns = offset
        if before is None or abs(offset - before) < _STEP_NS:
            return 0
        self.step_ns, self._stepped_ns = offset - before, monotonic_ns
        return self.step_ns

    def recent(self, monotonic_ns: int) -> int:
        """The last step, 0 if it was long ago."""
        return self.step_ns if monotonic_ns - self._stepped_ns < RECENT_NS else 0
