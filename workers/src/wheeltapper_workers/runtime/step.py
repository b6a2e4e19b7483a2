"""The contract of a step: ``step(state, item) -> (state, outputs)``.

A step is pure and vectorised. It sees data as blocks and time as recorded ticks; it reads no clock, no file and no
network, and so gives the same outputs in the live stream, in a replay from storage and in a back-test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.config import LineConfig
from wheeltapper_api.wire import AlertEvent
from wheeltapper_workers.runtime.blocks import Item


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A step's state at rest: named arrays without Python objects, and a small document that JSON can carry."""

    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)


State = TypeVar("State")
Output: TypeAlias = pa.RecordBatch | AlertEvent


class Step(Protocol[State]):
    """What the runtime, a replay and a back-test drive."""

    version: int
    """Of the snapshot's layout: a checkpoint of another version is not read."""

    def initial(self, config: LineConfig) -> State:
        """State before the first block."""

    def step(self, state: State, item: Item) -> tuple[State, list[Output]]:
        """Next state and what is published. The given state is used up: arrays may be taken over, not copied."""

    def reconfigure(self, state: State, config: LineConfig) -> State:
        """State that goes on under another config; what both know of an asset is kept."""

    def snapshot(self, state: State) -> Snapshot:
        """State at rest."""

    def restore(self, snapshot: Snapshot, config: LineConfig) -> State:
        """State from rest.

        Raises
        ------
        ValueError
            If the snapshot does not fit.
        """

    def summary(self, state: State) -> dict[str, Any]:
        """What the status document shows of it: small, and ready for JSON."""


def replace_rows(
    old: npt.NDArray[Any], index: npt.NDArray[np.int64], fill: npt.NDArray[Any] | float
) -> npt.NDArray[Any]:
    """Rows of ``old`` by ``index``; a row of ``fill`` where it is -1, so that state follows a new list of assets."""
    rows = np.full((len(index), *old.shape[1:]), fill, dtype=old.dtype)
    known = index >= 0
    rows[known] = old[index[known]]
    return rows
