"""Alert policy: severities with holds, hysteresis and gaps, for all pairs of asset and failure model at once. Pure.

Time is event time: a score above a bound at every scored window of the hold time reaches the severity. A window without
a score neither counts nor restarts the hold, so a machine that stops is not healed by stopping; but after a gap longer
than the longest hold and ten windows nothing is known of the time between, and holds begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import LineConfig, PolicyConfig

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NEVER: Final = np.iinfo(np.int64).min // 2
NONE: Final = -1
_GAP_WINDOWS: Final = 10
_BANDS: Final = 3


@dataclass(frozen=True, slots=True)
class Policies:
    """Policies of P pairs, severities from the mildest up: bounds and holds [P, 3]; a severity not declared is inf."""

    above: F64
    hold_ns: I64
    clear_below: F64
    clear_hold_ns: I64
    gap_ns: I64

    @classmethod
    def of(cls, policies: list[PolicyConfig], every_ns: int) -> Policies:
        """Policies of pairs."""
        above, hold = np.full((len(policies), _BANDS), np.inf), np.zeros((len(policies), _BANDS), np.int64)
        for row, policy in enumerate(policies):
            for band, severity in enumerate(sorted(policy.severities, key=lambda s: s.above)):
                above[row, band], hold[row, band] = severity.above, severity.hold_ns
        clear_hold = np.array([policy.clear_hold_ns for policy in policies], np.int64)
        longest = np.maximum(hold.max(axis=1, initial=0), clear_hold)
        return cls(
            above,
            hold,
            np.array([policy.clear_below for policy in policies], np.float64),
            clear_hold,
            np.maximum(longest, _GAP_WINDOWS * every_ns),
        )


_FILL: Final[dict[str, tuple[int, Any, Any]]] = {
    "newest": (0, np.int64, NEVER),
    "scored": (0, np.int64, NEVER),
    "above_since": (_BANDS, np.int64, NEVER),
    "below_since": (0, np.int64, NEVER),
    "level": (0, np.int64, NONE),
    "run": (0, np.int64, 0),
    "peak": (0, np.float64, 0.0),
    "score": (0, np.float64, np.nan),
    "reason": (0, np.int64, NONE),
    "coverage": (0, np.float64, np.nan),
    "telemetry_first": (0, np.int64, 0),
    "features_first": (0, np.int64, 0),
    "scores_first": (0, np.int64, 0),
}


@dataclass(slots=True)
class PolicyState:
    """Per pair, times in nanoseconds of event time.

    ``newest`` and ``scored``: newest window and newest window with a score. ``above_since`` [P, 3]: first window of the
    present run above each bound. ``level``: severity of the open alert, -1 for none. ``run``: windows in the run above
    the lowest bound. ``peak``: highest score of the open alert. ``…_first``: blocks in which the run began.
    """

    newest: I64
    scored: I64
    above_since: I64
    below_since: I64
    level: I64
    run: I64
    peak: F64
    score: F64
    reason: I64
    coverage: F64
    telemetry_first: I64
    features_first: I64
    scores_first: I64

    @classmethod
    def initial(cls, pairs: int) -> PolicyState:
        """Nothing known."""
        shapes = {name: (pairs, width) if width else (pairs,) for name, (width, _, _) in _FILL.items()}
        return cls(**{name: np.full(shapes[name], fill, kind) for name, (_, kind, fill) in _FILL.items()})

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name."""
        return {name: getattr(self, name) for name in _FILL}

    def select(self, index: I64) -> PolicyState:
        """State of another list of pairs, given as positions in this one, -1 for a new pair."""
        fresh = PolicyState.initial(len(index))
        known = index >= 0
        for name, column in fresh.columns().items():
            column[known] = getattr(self, name)[index[known]]
        return fresh


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of one window end: the pair of each, its score (NaN: none) and where its evidence is."""

    end_ns: int
    pair: I64
    score: F64
    held_back: Bools
    """Nothing opens or rises: maintenance."""
    telemetry_first: I64
    features: I64
    scores: int


@dataclass(frozen=True, slots=True)
class Transitions:
    """Positions among a window's rows at which something happens."""

    opened: I64
    changed: I64
    cleared: I64


def advance(state: PolicyState, policies: Policies, window: Window) -> Transitions:
    """Take a window into the state, which is changed in place, and say what happens."""
    pair, end = window.pair, window.end_ns
    scored = ~np.isnan(window.score)
    score = np.where(scored, window.score, 0.0)
    _forget(state, pair[scored & (end - state.scored[pair] > policies.gap_ns[pair])])
    above = scored[:, None] & (score[:, None] >= policies.above[pair])
    begins = above[:, 0] & (state.above_since[pair, 0] == NEVER)
    _begin(state, window, begins)
    since = state.above_since[pair]
    held = np.where(above, np.where(since == NEVER, end, since), NEVER)
    state.above_since[pair] = np.where(scored[:, None], held, since)
    state.run[pair] = np.where(scored, np.where(above[:, 0], state.run[pair] + 1, 0), state.run[pair])
    below = scored & (score < policies.clear_below[pair])
    below_since = np.where(below, np.where(state.below_since[pair] == NEVER, end, state.below_since[pair]), NEVER)
    state.below_since[pair] = np.where(scored, below_since, state.below_since[pair])
    state.scored[pair[scored]] = end
    return _transitions(state, policies, window, above, below)


def _transitions(state: PolicyState, policies: Policies, window: Window, above: Bools, below: Bools) -> Transitions:
    pair, end, before = window.pair, window.end_ns, state.level[window.pair]
    reached = above & (end - state.above_since[pair] >= policies.hold_ns[pair])
    level = np.where(reached.any(axis=1), _BANDS - 1 - reached[:, ::-1].argmax(axis=1), NONE)
    rises = (level > before) & ~window.held_back
    cleared = (before != NONE) & below & (end - state.below_since[pair] >= policies.clear_hold_ns[pair])
    after = np.where(cleared, NONE, np.where(rises, level, before))
    state.level[pair] = after
    score = np.nan_to_num(window.score, nan=0.0)
    state.peak[pair] = np.where(after == NONE, 0.0, np.maximum(state.peak[pair], score))
    return Transitions(
        np.flatnonzero(rises & (before == NONE)), np.flatnonzero(rises & (before != NONE)), np.flatnonzero(cleared)
    )


def _begin(state: PolicyState, window: Window, rows: Bools) -> None:
    pair = window.pair[rows]
    state.telemetry_first[pair] = window.telemetry_first[rows]
    state.features_first[pair] = window.features[rows]
    state.scores_first[pair] = window.scores


def _forget(state: PolicyState, pair: I64) -> None:
    state.above_since[pair] = NEVER
    state.below_since[pair] = NEVER
    state.run[pair] = 0


def pair_policies(config: LineConfig) -> tuple[list[tuple[int, int]], Policies]:
    """Pairs of (asset, model) positions, in the order of the config, and their policies."""
    models = {model.name: position for position, model in enumerate(config.models)}
    pairs, chosen = [], []
    for position, asset in enumerate(config.assets):
        for entry in asset.models:
            if entry.name in models:
                pairs.append((position, models[entry.name]))
                chosen.append(entry.policy or config.models[models[entry.name]].policy)
    return pairs, Policies.of(chosen, config.pipeline.every_ns)
