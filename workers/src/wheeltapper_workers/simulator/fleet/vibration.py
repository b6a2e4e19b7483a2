"""Bursts of acceleration: orders of the running speed, impacts of a damaged bearing that ring a resonance, noise."""

from __future__ import annotations

from typing import Final

import numpy as np

from wheeltapper_workers.simulator.fleet.base import Burst
from wheeltapper_workers.simulator.fleet.bearing import BALL_6309
from wheeltapper_workers.simulator.randomness import Floats, Ints, keys, normal, uniform

RATE_HZ: Final = 16384.0
SAMPLES: Final = 8192
RESONANCE_HZ: Final = 3500.0
DECAY_PER_S: Final = 900.0
SLIP: Final = 0.01
"""Balls slide a little, so impacts come up to 1 % early or late (Randall and Antoni 2011)."""
_AT_REST_M_S2: Final = 0.02


def bursts(seed: int, assets: list[str], time_s: Ints, source: Burst) -> Floats:
    """Acceleration in m/s2, [n_bursts, SAMPLES], of one burst an asset that begins at ``time_s`` [n_bursts]."""
    time = np.arange(SAMPLES) / RATE_HZ

    def chance(stream: str) -> Floats:
        return uniform(keys(seed, assets, f"burst-{stream}"), time_s[:, np.newaxis])

    angle = 2.0 * np.pi * (source.speed_hz * time + chance("phase"))
    turning = source.turning * (
        _acceleration(source.once_mm_s, source.speed_hz) * np.sin(angle)
        + _acceleration(source.twice_mm_s, 2 * source.speed_hz) * np.sin(2 * angle + 6.3 * chance("phase-2"))
        + _acceleration(0.4 * source.twice_mm_s, 3 * source.speed_hz) * np.sin(3 * angle + 6.3 * chance("phase-3"))
        + source.mesh_m_s2 * np.sin(2.0 * np.pi * (source.mesh_hz * time + chance("phase-mesh")))
        + source.impacts_m_s2 * _impacts(time, source, chance("impact"), chance("slip"))
    )
    counter = time_s[:, np.newaxis] * SAMPLES + np.arange(SAMPLES)
    noise = normal(keys(seed, assets, "burst-noise"), counter)
    return np.asarray(turning + (source.noise_m_s2 * source.turning + _AT_REST_M_S2) * noise)


def _acceleration(rms_mm_s: Floats, hertz: Floats) -> Floats:
    """Amplitude in m/s2 of a tone of so much velocity."""
    return np.asarray(np.sqrt(2.0) * 1e-3 * rms_mm_s * 2.0 * np.pi * hertz)


def _impacts(time: Floats, source: Burst, phase: Floats, slip: Floats) -> Floats:
    """A ringing of unit height after each pass of a ball over the damaged outer race."""
    hertz = np.maximum(BALL_6309.outer_race * source.speed_hz * (1.0 + SLIP * (2.0 * slip - 1.0)), 1e-3)
    since = np.mod(hertz * time + phase, 1.0) / hertz
    return np.asarray(np.exp(-DECAY_PER_S * since) * np.sin(2.0 * np.pi * RESONANCE_HZ * since))
