"""Alert policy: severities with holds, hysteresis and gaps, for all pairs of asset and failure model at once. Pure.

Time is event time: a score at or above a bound at every scored window, for the hold time, reaches the severity. The
time of windows without a score is not counted and does not restart a hold: two spikes with a stop between them are no
lasting fault, and a machine is not healed by stopping. After a gap longer than the longest hold and ten windows nothing
is known of the time between, and holds begin anew; so they do when another detector scores.

In maintenance nothing is held: what is measured while people work on a machine says nothing about it. An alert may end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import AssetConfig, LineConfig, ModelConfig, PolicyConfig, SeverityConfig
from wheeltapper_api.wire import SEVERITIES, Severity

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NEVER: Final = np.iinfo(np.int64).min // 2
NONE: Final = -1
_GAP_WINDOWS: Final = 10
_BANDS: Final = 3
_LARGEST: Final = 1e15
"""Scores are brought inside: an infinite one would reach the bounds of severities that are not declared."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An asset and one of its failure models, with the policy that holds for the two."""

    asset: AssetConfig
    model: ModelConfig
    policy: PolicyConfig
    severities: list[SeverityConfig]
    """Of the policy, from the mildest up: a level is a position in it."""

    @property
    def names(self) -> tuple[str, str]:
        """Names of asset and model."""
        return self.asset.name, self.model.name

    @property
    def key(self) -> str:
        """Both names as one."""
        return f"{self.asset.name}/{self.model.name}"

    @property
    def observed(self) -> bool:
        """Scores only: nobody is told."""
        return self.asset.mode == "observe"

    def level(self, severity: Severity) -> int:
        """Level of a severity; where the policy no longer has it, the next milder that it has."""
        rank = SEVERITIES.index(severity)
        milder = [level for level, own in enumerate(self.severities) if SEVERITIES.index(own.name) <= rank]
        return max(milder, default=0)


def pairs_of(config: LineConfig) -> list[Pair]:
    """Pairs in the order of the config."""
    models = {model.name: model for model in config.models}
    found = []
    for asset in config.assets:
        for entry in asset.models:
            if entry.name in models:
                policy = entry.policy or models[entry.name].policy
                severities = sorted(policy.severities, key=lambda severity: severity.above)
                found.append(Pair(asset, models[entry.name], policy, severities))
    return found


@dataclass(frozen=True, slots=True)
class Policies:
    """Policies of P pairs, severities from the mildest up: bounds and holds [P, 3]; a severity not declared is inf."""

    above: F64
    hold_ns: I64
    clear_below: F64
    clear_hold_ns: I64
    gap_ns: I64
    every_ns: int
    """Between windows: the most that one window adds to a hold."""

    @classmethod
    def of(cls, pairs: list[Pair], every_ns: int) -> Policies:
        """Policies of pairs."""
        above, hold = np.full((len(pairs), _BANDS), np.inf), np.zeros((len(pairs), _BANDS), np.int64)
        for row, pair in enumerate(pairs):
            for level, severity in enumerate(pair.severities):
                above[row, level], hold[row, level] = severity.above, severity.hold_ns
        clear_hold = np.array([pair.policy.clear_hold_ns for pair in pairs], np.int64)
        clear_below = np.array([pair.policy.clear_below for pair in pairs], np.float64)
        longest = np.maximum(hold.max(axis=1, initial=0), clear_hold)
        return cls(
            above,
            hold,
            # A twin may override the severities alone: an alert that is reached must not be cleared in the same window.
            np.minimum(clear_below, above.min(axis=1, initial=np.inf)),
            clear_hold,
            np.maximum(longest, _GAP_WINDOWS * every_ns),
            every_ns,
        )


_FILL: Final[dict[str, tuple[int, Any, Any]]] = {
    "newest": (0, np.int64, NEVER),
    "scored": (0, np.int64, NEVER),
    "detector": (0, np.int64, 0),
    "since": (0, np.int64, NEVER),
    "held_ns": (_BANDS, np.int64, NONE),
    "below_ns": (0, np.int64, NONE),
    "level": (0, np.int64, NONE),
    "run": (0, np.int64, 0),
    "peak": (0, np.float64, 0.0),
    "score": (0, np.float64, np.nan),
    "coverage": (0, np.float64, np.nan),
    "reason": (0, np.int64, NONE),
    "mode": (0, np.int64, NONE),
    "telemetry_first": (0, np.int64, 0),
    "features_first": (0, np.int64, 0),
    "scores_first": (0, np.int64, 0),
}


@dataclass(slots=True)
class PolicyState:
    """Per pair, times in nanoseconds of event time.

    ``newest`` and ``scored``: newest window and newest window with a score. ``detector``: number of the detector that
    scored last. ``since`` and ``…_first``: first window of the run above the lowest bound that led to the open alert or
    may lead to one, and the blocks in which it is; ``peak``: highest score since then. ``held_ns`` [P, 3]: scored time
    above each bound, -1 when not above; ``below_ns``: the same below the bound of the end. ``run``: windows in the
    present run above the lowest bound. ``level``: severity of the open alert, -1 for none. ``score``, ``coverage``,
    ``reason`` and ``mode``: of the newest window, the last two as positions in a list.
    """

    newest: I64
    scored: I64
    detector: I64
    since: I64
    held_ns: I64
    below_ns: I64
    level: I64
    run: I64
    peak: F64
    score: F64
    coverage: F64
    reason: I64
    mode: I64
    telemetry_first: I64
    features_first: I64
    scores_first: I64

    @classmethod
    def initial(cls, pairs: int) -> PolicyState:
        """Nothing known."""
        shapes = _shapes(pairs)
        return cls(**{name: np.full(shapes[name], fill, kind) for name, (_, kind, fill) in _FILL.items()})

    @classmethod
    def of_columns(cls, columns: dict[str, npt.NDArray[Any]], pairs: int) -> PolicyState:
        """State of arrays by name, which are copied.

        Raises
        ------
        ValueError
            If they are not those of so many pairs.
        """
        if {name: column.shape for name, column in columns.items()} != _shapes(pairs):
            raise ValueError("The checkpoint's arrays are not those of an alerter of these assets and models")
        return cls(**{name: column.astype(_FILL[name][1]) for name, column in columns.items()})

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

    def forget(self, pair: I64) -> None:
        """Begin the holds of these pairs anew; what is open stays open."""
        self.held_ns[pair] = NONE
        self.below_ns[pair] = NONE
        self.run[pair] = 0


def _shapes(pairs: int) -> dict[str, tuple[int, ...]]:
    return {name: (pairs, width) if width else (pairs,) for name, (width, _, _) in _FILL.items()}


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of one window end, no two of one pair: the pair of each, its score (NaN: none) and where its evidence is."""

    end_ns: int
    pair: I64
    score: F64
    detector: I64
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
    score = np.clip(np.where(scored, window.score, 0.0), -_LARGEST, _LARGEST)
    apart = end - state.scored[pair]
    anew = (apart > policies.gap_ns[pair]) | (state.detector[pair] != window.detector)
    state.forget(pair[scored & anew])
    passed = np.minimum(apart, policies.every_ns)
    above = (scored & ~window.held_back)[:, None] & (score[:, None] >= policies.above[pair])
    below = scored & (score < policies.clear_below[pair])
    begins = above[:, 0] & (state.run[pair] == 0) & (state.level[pair] == NONE)
    _begin(state, window, begins)
    state.peak[pair] = np.where(begins, score, np.where(scored, np.maximum(state.peak[pair], score), state.peak[pair]))
    state.held_ns[pair] = _held(state.held_ns[pair], above, scored[:, None], passed[:, None])
    state.below_ns[pair] = _held(state.below_ns[pair], below, scored, passed)
    state.run[pair] = np.where(scored, np.where(above[:, 0], state.run[pair] + 1, 0), state.run[pair])
    state.scored[pair[scored]] = end
    state.detector[pair[scored]] = window.detector[scored]
    return _transitions(state, policies, window, above, below)


def _held(held_ns: I64, holds: Bools, scored: Bools, passed: I64) -> I64:
    """Scored time for which something holds: from 0 at the first window, -1 when it does not."""
    longer = np.where(held_ns == NONE, 0, held_ns + passed)
    after: I64 = np.where(scored, np.where(holds, longer, NONE), held_ns)
    return after


def _transitions(state: PolicyState, policies: Policies, window: Window, above: Bools, below: Bools) -> Transitions:
    pair, before = window.pair, state.level[window.pair]
    reached = above & (state.held_ns[pair] >= policies.hold_ns[pair])
    level = np.where(reached.any(axis=1), _BANDS - 1 - reached[:, ::-1].argmax(axis=1), NONE)
    rises = level > before
    cleared = (before != NONE) & below & (state.below_ns[pair] >= policies.clear_hold_ns[pair])
    state.level[pair] = np.where(cleared, NONE, np.where(rises, level, before))
    return Transitions(
        np.flatnonzero(rises & (before == NONE)), np.flatnonzero(rises & (before != NONE)), np.flatnonzero(cleared)
    )


def _begin(state: PolicyState, window: Window, rows: Bools) -> None:
    pair = window.pair[rows]
    state.since[pair] = window.end_ns
    state.telemetry_first[pair] = window.telemetry_first[rows]
    state.features_first[pair] = window.features[rows]
    state.scores_first[pair] = window.scores
