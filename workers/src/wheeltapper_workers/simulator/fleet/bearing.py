"""Defect frequencies of a rolling bearing, as multiples of the shaft speed (ISO 13373-3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Bearing:
    """Geometry: number of balls, ball and pitch diameter in mm, contact angle in degrees."""

    balls: int
    ball_mm: float
    pitch_mm: float
    contact_deg: float = 0.0

    @property
    def _ratio(self) -> float:
        return self.ball_mm / self.pitch_mm * math.cos(math.radians(self.contact_deg))

    @property
    def outer_race(self) -> float:
        """Balls that pass a point of the outer race in a turn of the shaft."""
        return self.balls / 2 * (1 - self._ratio)

    @property
    def inner_race(self) -> float:
        """Balls that pass a point of the inner race in a turn."""
        return self.balls / 2 * (1 + self._ratio)

    @property
    def ball_spin(self) -> float:
        """Turns of a ball; a damaged one strikes twice in each."""
        return self.pitch_mm / (2 * self.ball_mm) * (1 - self._ratio**2)

    @property
    def cage(self) -> float:
        """Turns of the cage."""
        return 0.5 * (1 - self._ratio)


BALL_6309: Final = Bearing(balls=8, ball_mm=17.46, pitch_mm=73.5)
"""Deep groove ball bearing 6309: 45 mm bore, 100 mm outside."""
