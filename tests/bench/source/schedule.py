"""Which sample is sent when, and what it is: arithmetic, so that sender and checker agree without talking."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

LOW, HIGH = 1.0, 9.0
"""Values of a signal that steps."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Samples of ``assets`` times ``signals`` series; row n is series ``n % series`` at tick ``n // series``.

    Values are multiples of 1/1024 below 12, so sums of billions of them are exact in any order.
    """

    assets: int
    signals: int
    period_ns: int
    """Between two samples of a series."""
    first_ns: int = 0
    slots: int = 1
    """The assets are spread over so many moments of a period; all signals of one are sampled together."""
    step_ticks: int = 0
    """The first signal of each asset changes between two levels after so many ticks; 0 is never."""

    @property
    def series(self) -> int:
        """Number of series."""
        return self.assets * self.signals

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.series * 1e9 / self.period_ns

    def times_ns(self, first: int, end: int) -> np.ndarray:
        """Source times of rows, rising."""
        rows = np.arange(first, end)
        slot = rows % self.series // self.signals * self.slots // self.assets
        return self.first_ns + rows // self.series * self.period_ns + slot * (self.period_ns // self.slots)

    def values(self, first: int, end: int) -> np.ndarray:
        """Values of rows."""
        rows = np.arange(first, end)
        tick, series = rows // self.series, rows % self.series
        values = 10 + (tick * 7 + series * 13) % 1024 / 1024
        if self.step_ticks:
            asset = series // self.signals
            high = (tick + asset * 37) // self.step_ticks % 2 == 1
            values = np.where(series % self.signals == 0, np.where(high, HIGH, LOW), values)
        return values

    def rows_until(self, time_ns: int) -> int:
        """Number of rows whose time has come."""
        since = time_ns - self.first_ns
        if since < 0:
            return 0
        tick, rest = divmod(since, self.period_ns)
        slot = min(rest // (self.period_ns // self.slots), self.slots - 1)
        # The assets up to and with this slot: those with asset * slots // assets <= slot.
        assets = -(-(slot + 1) * self.assets // self.slots)
        return int(tick * self.series + assets * self.signals)

    def total(self, rows: int) -> float:
        """Sum of the first rows' values."""
        step = 2_000_000
        return float(sum(self.values(at, min(at + step, rows)).sum() for at in range(0, rows, step)))

    def asset(self, number: int) -> str:
        """Name of an asset."""
        return f"m-{number}"

    def document(self) -> dict[str, Any]:
        """For the sender's command line."""
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """From the sender's command line."""
        return cls(**document)
