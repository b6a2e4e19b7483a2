"""Operating modes: the first declared mode whose conditions all hold is the one a machine is in.

A mode whose conditions rest on a feature without a value is undecided, and so is then the machine: its mode is -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import ModeConditionConfig, ModeConfig

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

UNKNOWN = -1
NEVER = np.iinfo(np.int64).min // 2
"""Earlier than any time, and far enough from the end of int64 to be subtracted from."""


@dataclass(frozen=True, slots=True)
class ModeState:
    """Per asset: its mode, since when (ns), and when each mode last held (ns), [assets, modes]."""

    mode: I64
    since: I64
    held: I64

    @classmethod
    def initial(cls, assets: int, modes: int) -> ModeState:
        """Nothing known."""
        return cls(np.full(assets, UNKNOWN), np.full(assets, NEVER), np.full((assets, modes), NEVER))


@dataclass(frozen=True, slots=True)
class ModeRows:
    """Mode, its start and its load band for every row."""

    mode: I64
    since: I64
    band: I64


class Modes:
    """The rules of a pipeline, bound to the positions of its features."""

    def __init__(self, modes: list[ModeConfig], features: Mapping[str, int]) -> None:
        self.names = [mode.name for mode in modes]
        self._modes = modes
        self._features = features
        self._index = {name: position for position, name in enumerate(self.names)}

    def classify(self, state: ModeState, asset: I64, end_ns: I64, values: F64) -> tuple[ModeState, ModeRows]:
        """Modes of rows sorted by window end.

        Parameters
        ----------
        state : ModeState
        asset, end_ns : int64[rows]
            Asset position and window end of each row; an asset has one row an end.
        values : float64[rows, features]
        """
        verdicts = [[self._on_feature(condition, values) for condition in mode.when] for mode in self._modes]
        mode, since = np.empty_like(asset), np.empty_like(asset)
        now = ModeState(state.mode.copy(), state.since.copy(), state.held.copy())
        bounds = np.flatnonzero(np.concatenate(([True], end_ns[1:] != end_ns[:-1], [True])))
        for first, last in pairwise(bounds):  # time runs; assets side by side
            rows = slice(first, last)
            mode[rows] = self._decide(now, asset[rows], int(end_ns[first]), verdicts, rows)
            now = _enter(now, asset[rows], mode[rows], int(end_ns[first]))
            since[rows] = now.since[asset[rows]]
        return now, ModeRows(mode, since, self._bands(mode, values))

    def reorder(self, state: ModeState, assets: I64, previous: list[str]) -> ModeState:
        """State for a new list of assets (positions in the old, -1 for new) and of modes (their old names)."""
        fresh = ModeState.initial(len(assets), len(self.names))
        known = np.flatnonzero(assets >= 0)
        old_position = {name: position for position, name in enumerate(previous)}
        new_of_old = np.array([self._index.get(name, UNKNOWN) for name in previous] + [UNKNOWN])
        fresh.mode[known] = new_of_old[state.mode[assets[known]]]
        fresh.since[known] = np.where(fresh.mode[known] == UNKNOWN, NEVER, state.since[assets[known]])
        for position, name in enumerate(self.names):
            if name in old_position:
                fresh.held[known, position] = state.held[assets[known], old_position[name]]
        return fresh

    def _on_feature(self, condition: ModeConditionConfig, values: F64) -> tuple[Bools, Bools] | None:
        """Whether a condition holds, and whether it can be told, for all rows; None if it is about time."""
        if condition.feature is None:
            return None
        value = values[:, self._features[condition.feature]]
        told = ~np.isnan(value)
        holds = told.copy()
        if condition.below is not None:
            holds &= value < condition.below
        if condition.at_least is not None:
            holds &= value >= condition.at_least
        return holds, told

    def _decide(
        self,
        state: ModeState,
        asset: I64,
        end_ns: int,
        verdicts: list[list[tuple[Bools, Bools] | None]],
        rows: slice,
    ) -> I64:
        chosen = np.full(len(asset), UNKNOWN)
        open_rows = np.ones(len(asset), bool)
        for position, mode in enumerate(self._modes):
            holds, told = np.ones(len(asset), bool), np.ones(len(asset), bool)
            for condition, verdict in zip(mode.when, verdicts[position], strict=True):
                if verdict is None:
                    holds &= self._recently(state, asset, end_ns, condition)
                else:
                    holds &= verdict[0][rows]
                    told &= verdict[1][rows]
            chosen[open_rows & holds] = position
            open_rows &= ~holds & told
        return chosen

    def _recently(self, state: ModeState, asset: I64, end_ns: int, condition: ModeConditionConfig) -> Bools:
        held = state.held[asset, self._index[condition.since or ""]]
        recently: Bools = end_ns - held < (condition.within_ns or 0)
        return recently

    def _bands(self, mode: I64, values: F64) -> I64:
        band = np.zeros(len(mode), np.int64)
        for position, config in enumerate(self._modes):
            if config.band_of is not None:
                rows = mode == position
                load = values[rows, self._features[config.band_of]]
                band[rows] = np.where(np.isnan(load), UNKNOWN, np.searchsorted(config.edges, load, side="right"))
        return band


def _enter(state: ModeState, asset: I64, mode: I64, end_ns: int) -> ModeState:
    changed = (state.mode[asset] != mode) | (state.since[asset] == NEVER)
    state.since[asset[changed]] = end_ns
    state.mode[asset] = mode
    known = mode != UNKNOWN
    state.held[asset[known], mode[known]] = end_ns
    return replace(state)
