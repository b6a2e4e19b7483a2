"""Randomness as a pure function of (seed, asset, stream, absolute time).

A sequential generator would make a value depend on how many were drawn before it, that is on when the simulation
began. Here the time itself is the counter of a SplitMix64 generator, so any interval can be computed alone, in any
chunks, with equal bits.

Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


@lru_cache(maxsize=2**17)
def key(seed: int, asset: str, stream: str) -> np.uint64:
    """Key of one random stream; streams of different seeds, assets or names are independent."""
    digest = hashlib.sha256(f"{seed}\0{asset}\0{stream}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "big"))


def keys(seed: int, assets: list[str], stream: str) -> NDArray[np.uint64]:
    """Keys of one stream for all assets, shape [n_assets, 1], ready to broadcast over time."""
    return np.array([[key(seed, asset, stream)] for asset in assets], dtype=np.uint64)


def uniform(stream_keys: NDArray[np.uint64], counter: Ints) -> Floats:
    """Uniform numbers in the open interval (0, 1).

    Parameters
    ----------
    stream_keys : array of uint64, shape [n_assets, 1]
    counter : array of int64, shape [n] or [n_assets, n]
        Slot or second number, counted from the Unix epoch.

    Returns
    -------
    array of float64, shape [n_assets, n]
    """
    z = stream_keys + (counter.astype(np.uint64) + np.uint64(1)) * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    z ^= z >> np.uint64(31)
    # The half step keeps 0 and 1 out, so that the normal quantile below stays finite.
    return np.asarray(((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def normal(stream_keys: NDArray[np.uint64], counter: Ints) -> Floats:
    """Independent standard normal numbers; shapes as for `uniform`."""
    return np.asarray(ndtri(uniform(stream_keys, counter)))


def wander(stream_keys: NDArray[np.uint64], time_s: Ints, period_s: int) -> Floats:
    """Slow random process: normal knots every `period_s`, joined by straight lines.

    Its variance is between 1/2 (between knots) and 1 (at knots), its size at most 2.5. Shapes as for `uniform`;
    `time_s` has shape [n].
    """
    slot = time_s // period_s
    fraction = (time_s - slot * period_s) / period_s
    # Knots are computed once each, not once per second: a chunk touches few of them.
    first = int(slot.min())
    # Clipped, because what wanders in a plant (levels, demand, roughness) is bounded by the plant around it.
    knots = np.clip(normal(stream_keys, np.arange(first, int(slot.max()) + 2, dtype=np.int64)), -2.5, 2.5)
    index = slot - first
    return np.asarray(knots[:, index] * (1.0 - fraction) + knots[:, index + 1] * fraction)
