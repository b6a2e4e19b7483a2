"""Scores of corrected features, by the models and baselines that were in force then.

Two runs of the scorer go side by side over an asset's features. One gets the rows as they were live; it learns what was
learned then, and what it learned is what was in force. The other gets the newest revisions and learns nothing: it is
lent the first one's baselines, and only what its detectors remember is its own. Where both remember the same again, the
correction is at its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.wire import Stage
from wheeltapper_workers.features.modes import NEVER
from wheeltapper_workers.history.late.asset_history import AssetHistory
from wheeltapper_workers.history.late.in_order import alone, nanoseconds
from wheeltapper_workers.history.restored import feature_block
from wheeltapper_workers.history.revisions import live, newest
from wheeltapper_workers.history.told import Change, Told
from wheeltapper_workers.runtime.blocks import numbers
from wheeltapper_workers.scoring.scorer import ModelState, ScorerState, ScoreStep

I64 = npt.NDArray[np.int64]

SLICE: Final = 1024
"""Windows read and scored at once."""
PLACES: Final = 8
"""So many places are kept of an asset, from which the next correction may begin."""


@dataclass(frozen=True, slots=True)
class Place:
    """State of both runs after a window, and the last block of features that the live one has read."""

    end: int
    block: int
    generation: str
    live: ScorerState
    own: ScorerState


@dataclass(frozen=True, slots=True)
class Scored:
    """Score blocks with their config generation; ``settled`` if windows behind them need no correction."""

    made: list[tuple[str, pa.RecordBatch]]
    end: int
    """End of the last window scored."""
    windows: int
    settled: bool
    left_off: bool = False
    """More windows could have been scored."""


class _Lent(ScoreStep):
    """A scorer that is given what it would have to learn."""

    learns = False


class ScoreRuns:
    """The two runs over one asset.

    Parameters
    ----------
    told
        Configs and where each took effect.
    otherwise
        Generation of a line whose first tick is not stored.
    places
        Where to begin, if it is before the first correction; else the runs begin with the first stored row.
    """

    def __init__(self, history: AssetHistory, told: Told, otherwise: str, asset: str, places: deque[Place]) -> None:
        self._history, self._told, self._asset, self._places = history, told, asset, places
        self._changes = np.array([change.sequence for change in told.changes.get(Stage.FEATURES, ())], np.int64)
        self._generation = told.first(Stage.FEATURES, otherwise)
        self._steps: tuple[ScoreStep, _Lent] | None = None
        self._live = self._own = ScorerState({}, np.empty(0, np.int64))
        self._block = 0
        self._end = NEVER

    def run(self, corrected: pa.Table, first: int, until: int, most: int) -> Scored:
        """Score from a window on, until nothing is different any more.

        Parameters
        ----------
        corrected
            Feature rows that take the place of stored ones, or are new, in order of time; none ends before ``first``.
        first, until
            Ends of the first window and of the last one that may be scored, ns.
        most
            Windows after which to leave off, about.
        """
        self._begin(first)
        ends = nanoseconds(corrected["window_end"])
        last = int(ends.max(initial=first))
        every = np.unique(np.concatenate((self._history.ends(), ends)))
        every = every[(every > self._end) & (every <= until)]
        made: list[tuple[str, pa.RecordBatch]] = []
        before_first, taken = int(np.searchsorted(every, first)), 0
        for start in range(0, min(len(every), before_first + most), SLICE):
            taken = min(start + SLICE, len(every))
            low, high = int(every[start]), int(every[taken - 1])
            rows = self._history.revisions("features", low, high)
            now = _overlaid(newest(rows, ("window_end",)), corrected, low, high)
            for before, after in self._pieces(_rising(live(rows)), now):
                made += self._advance(before, after, first)
                if self._steps is not None:
                    self._places.append(Place(self._end, self._block, self._generation, self._live, self._own))
                if self._end >= last and self._settled:
                    return Scored(made, self._end, taken - before_first, settled=True)
        left_off = taken < len(every)
        settled = self._settled and not left_off
        return Scored(made, self._end, max(taken - before_first, 0), settled=settled, left_off=left_off)

    def _begin(self, first: int) -> None:
        """Take up the runs at the last place before a window."""
        while self._places and self._places[-1].end >= first:
            self._places.pop()
        if self._places:
            place = self._places[-1]
            self._end, self._block, self._generation = place.end, place.block, place.generation
            self._live, self._own = place.live, place.own
            config = alone(self._told.config(self._generation), self._asset)
            self._steps = (ScoreStep(config), _Lent(config)) if config else None

    @property
    def _settled(self) -> bool:
        """Whether both runs remember the same."""
        return all(
            np.array_equal(one.detector.view(np.int64), self._own.models[name].detector.view(np.int64))
            for name, one in self._live.models.items()
        )

    def _pieces(self, before: pa.Table, after: pa.Table) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Live and newest rows in pieces over which the config and the pipeline stay the same."""
        config = np.searchsorted(self._changes, _sequence(before))
        pipeline = np.array(before["pipeline_digest"].to_pylist(), np.str_)
        cuts = (np.flatnonzero((config[1:] != config[:-1]) | (pipeline[1:] != pipeline[:-1])) + 1).tolist()
        bounds = [0, *cuts, before.num_rows]
        ends, begin = nanoseconds(after["window_end"]), 0
        for first, last in pairwise(bounds):
            end = after.num_rows
            if last < before.num_rows:
                end = int(np.searchsorted(ends, nanoseconds(before["window_end"])[last - 1], side="right"))
            yield before.slice(first, last - first), after.slice(begin, end - begin)
            begin = end

    def _advance(self, before: pa.Table, after: pa.Table, first: int) -> list[tuple[str, pa.RecordBatch]]:
        """Take a piece into both runs; returns the scores of its windows from ``first`` on."""
        self._follow(int(_sequence(before)[0]) if before.num_rows else self._block)
        if self._steps is None:
            return []
        moved, _ = _stepped(self._steps[0], self._live, before)
        if before.num_rows > 1 and _digests(moved) != _digests(self._live):
            # What is learned in the middle holds from there on.
            half = before.num_rows // 2
            ends = nanoseconds(after["window_end"])
            cut = int(np.searchsorted(ends, nanoseconds(before["window_end"])[half - 1], side="right"))
            made = self._advance(before.slice(0, half), after.slice(0, cut), first)
            return made + self._advance(before.slice(half), after.slice(cut), first)
        self._live = moved
        self._block = int(_sequence(before).max(initial=self._block))
        self._own, outputs = _stepped(self._steps[1], _lent(self._own, moved), after)
        self._end = int(nanoseconds(after["window_end"]).max(initial=self._end))
        wanted = [_from(one, first) for one in outputs]
        return [(self._generation, one) for one in wanted if one.num_rows]

    def _follow(self, block: int) -> None:
        """Take over the configs that were told before a block."""
        changes = self._told.changes.get(Stage.FEATURES, ())
        told = [change for change in changes if self._block <= change.sequence < block]
        for change in [Change(0, self._generation)] * (self._steps is None) + told:
            generation = change.generation
            config = alone(self._told.config(generation), self._asset)
            if config is None:
                self._steps = None
            elif self._steps is None:
                self._steps = ScoreStep(config), _Lent(config)
                self._live, self._own = (step.initial(config) for step in self._steps)
            elif generation != self._generation:
                self._live = self._steps[0].reconfigure(self._live, config)
                self._own = self._steps[1].reconfigure(self._own, config)
                if change.learned:
                    self._live, _ = self._steps[0].step(self._live, change.tick(Stage.FEATURES))
            self._generation = generation
        self._block = block


def _stepped(step: ScoreStep, state: ScorerState, rows: pa.Table) -> tuple[ScorerState, list[pa.RecordBatch]]:
    """State after feature rows, and their scores."""
    pipeline = np.array(rows["pipeline_digest"].to_pylist(), np.str_)
    cuts = (np.flatnonzero(pipeline[1:] != pipeline[:-1]) + 1).tolist()
    made: list[pa.RecordBatch] = []
    for first, last in pairwise([0, *cuts, rows.num_rows]):
        if last > first:
            state, outputs = step.step(state, feature_block(0, rows.slice(first, last - first), None, {}))
            made += [one for one in outputs if isinstance(one, pa.RecordBatch)]
    return state, made


def _lent(own: ScorerState, live: ScorerState) -> ScorerState:
    """A state with the baselines of another."""
    models = {
        name: ModelState(learned.baseline, own.models[name].detector, learned.digests)
        for name, learned in live.models.items()
    }
    return ScorerState(models, own.newest)


def _digests(state: ScorerState) -> dict[str, tuple[str, ...]]:
    return {name: model.digests for name, model in state.models.items()}


def _from(scores: pa.RecordBatch, first: int) -> pa.RecordBatch:
    return scores.filter(pa.array(numbers(scores, "window_end") >= first))


def _rising(rows: pa.Table) -> pa.Table:
    """Live rows in the order of their blocks, without those that came a second time."""
    rows = rows.sort_by("block_sequence")
    ends = nanoseconds(rows["window_end"])
    before = np.maximum.accumulate(np.concatenate(([NEVER], ends)))[:-1]
    return rows.filter(pa.array(ends > before))


def _overlaid(rows: pa.Table, corrected: pa.Table, low: int, high: int) -> pa.Table:
    """Newest rows with corrected ones in their place, in order of time."""
    ends = nanoseconds(corrected["window_end"])
    corrected = corrected.filter(pa.array((ends >= low) & (ends <= high)))
    if not corrected.num_rows:
        return rows
    kept = pc.invert(pc.is_in(rows["window_end"], corrected["window_end"].combine_chunks()))
    return pa.concat_tables([rows.filter(kept), corrected], promote_options="default").sort_by("window_end")


def _sequence(rows: pa.Table) -> I64:
    return np.asarray(rows["block_sequence"].fill_null(0))
