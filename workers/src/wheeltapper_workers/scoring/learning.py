"""Baselines that were learned for a new config from what is stored, as they travel with the tick that tells it.

So they are in force from the first block on, here as in every replay.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wheeltapper_workers.detectors.baseline import BaselineState
from wheeltapper_workers.runtime.checkpoint import Checkpoint, decode, encode
from wheeltapper_workers.runtime.packed import pack, unpack
from wheeltapper_workers.runtime.step import Snapshot

MOST_BYTES: Final = 4 * 2**20
"""Of a tick; a stream takes messages twice as large."""
_MOST_UNPACKED: Final = 2**30
_VERSION: Final = 1


def pack_learned(assets: list[str], learned: dict[str, BaselineState]) -> bytes:
    """Baselines of models by name, as a tick carries them; what is not final yet goes where all is too much."""
    whole = _packed(assets, learned)
    if len(whole) > MOST_BYTES:
        whole = _packed(assets, {name: _final(one) for name, one in learned.items()})
    return whole if len(whole) <= MOST_BYTES else b""


def unpack_learned(data: bytes) -> tuple[list[str], dict[str, BaselineState]]:
    """Assets, and the baselines of models by name.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    snapshot = decode(unpack(data, _MOST_UNPACKED)).snapshot
    learned = {}
    for name in snapshot.document["models"]:
        own = {key.split("/", 1)[1]: array for key, array in snapshot.arrays.items() if key.startswith(f"{name}/")}
        learned[name] = BaselineState.from_arrays(own)
    return snapshot.document["assets"], learned


def _packed(assets: list[str], learned: dict[str, BaselineState]) -> bytes:
    arrays: dict[str, npt.NDArray[Any]] = {
        f"{name}/{key}": array for name, one in learned.items() for key, array in one.to_arrays().items()
    }
    return pack(encode(Checkpoint(0, "", _VERSION, Snapshot(arrays, {"assets": assets, "models": list(learned)}))))


def _final(state: BaselineState) -> BaselineState:
    """The baselines alone: the windows they were learned from are of no more use."""
    arrays = state.to_arrays()
    waiting = ~state.frozen
    arrays["reservoir"] = np.full_like(state.reservoir, np.nan)
    for name in ("seen", "good"):
        arrays[name] = np.where(waiting.reshape(waiting.shape + (1,) * (arrays[name].ndim - 2)), 0, arrays[name])
    return BaselineState.from_arrays(arrays)
