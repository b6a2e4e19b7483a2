"""The correction of one asset: windows that late samples touch, made again and held against what is stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.config import LineConfig
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_INPUT, Line, Stage
from wheeltapper_workers.history.late.asset_history import AssetHistory
from wheeltapper_workers.history.late.differences import as_corrections, crossings, places, says_otherwise
from wheeltapper_workers.history.late.in_order import alone, features_in_order, modes_after, nanoseconds
from wheeltapper_workers.history.late.lateness import Rules, Touched, joined
from wheeltapper_workers.history.late.scores_in_order import Place, ScoreRuns
from wheeltapper_workers.history.revisions import live
from wheeltapper_workers.history.rows import read_entry, rows_of
from wheeltapper_workers.history.tables import SCHEMAS, TABLE_OF
from wheeltapper_workers.history.told import Told

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CHUNK: Final = 1024
"""Windows made again at once."""
_BEYOND: Final = 64
"""Windows looked at behind those that are touched, for as long as the mode there becomes another one."""
_MODES: Final = ("window_end", "mode", "mode_since")
_ROUNDING: Final = 1e-9


@dataclass(slots=True)
class Corrections:
    """What is to be appended, and what could not be made."""

    features: list[pa.Table] = field(default_factory=list)
    scores: list[pa.Table] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    """Each once, in their order."""
    crossed: int = 0
    """Scores that are now on the other side of the limit."""
    looked: int = 0
    """Windows made or scored again, whether or not they differ."""

    def rows(self, stage: Stage) -> pa.Table:
        """Rows of a table."""
        parts = self.features if stage is Stage.FEATURES else self.scores
        return pa.concat_tables([SCHEMAS[TABLE_OF[stage]].empty_table(), *parts], promote_options="default")


@dataclass(frozen=True, slots=True)
class Settling:
    """Windows of which the features are right, and the scores not yet: a detector remembers what was before them."""

    start: int
    """End of the first such window, ns."""
    first: int
    """First and last telemetry block with late samples that led to it."""
    last: int
    at_once: bool = False
    """Windows to be scored are there already; else they come one by one."""


class Correction:
    """Corrects one asset.

    Parameters
    ----------
    otherwise
        Generation of a line whose first tick is not stored.
    rules
        In force now.
    limit
        End of the asset's last window that is formed, ns.
    """

    def __init__(
        self,
        line: Line,
        asset: str,
        history: AssetHistory,
        told: Told,
        otherwise: str,
        rules: Rules,
        limit: int,
        now_us: int,
    ) -> None:
        self._line, self._asset, self._history, self._told, self._otherwise = line, asset, history, told, otherwise
        self._rules, self._limit, self._now_us = rules, limit, now_us
        self._generation = ""
        self.found = Corrections()

    def reached(self, parts: Iterable[Touched]) -> list[Touched]:
        """The parts with all that they touch, in as few as there can be: each window is in one of them."""
        return joined(self._reaching(part) for part in parts)

    def features(self, part: Touched, following: deque[Touched], most: int) -> tuple[pa.Table, Touched | None]:
        """Corrected rows of at most so many of the windows that a part touches, and what is left of the part.

        Those of the part that were appended before a crash are among them: their scores may not have been.

        Parameters
        ----------
        following
            Parts behind it, in order; the first ones are taken over where this one turns out to reach them.
        """
        at, high, looked = part.low, part.high, self.found.looked
        tail = self._history.last_before(part.low + 1, _MODES, self._memory_ns(self._told))
        made = [SCHEMAS["features"].empty_table()]
        while at < min(high, self._limit) and self.found.looked - looked < most:
            config, last = self._config(at, min(high, self._limit, at + CHUNK * self._rules.every_ns))
            if config is not None:
                rows, tail, restless = self._chunk(config, at, last, tail, part)
                made.append(rows)
                if restless and last >= high:
                    high = last + _BEYOND * self._rules.every_ns
                while following and following[0].low < high:
                    part = part.joined(following.popleft())
                    high = max(high, part.high)
            at = last
        left = at < high or part.held
        corrected = pa.concat_tables(made, promote_options="default")
        return corrected, replace(part, low=at, high=max(at, high)) if left else None

    def scores(
        self, corrected: pa.Table, settling: Settling, until: int, most: int, begun: deque[Place]
    ) -> Settling | None:
        """Correct the scores of about ``most`` windows from ``settling`` on, none of them behind ``until``.

        Returns from where on they are not right yet.
        """
        runs = ScoreRuns(self._history, self._told, self._otherwise, self._asset, begun)
        scored = runs.run(corrected, settling.start, min(until, self._limit), most)
        self.found.looked += scored.windows
        made = [self._table(Stage.SCORES, batch, generation, 0) for generation, batch in scored.made]
        if made:
            rows = pa.concat_tables(made)
            stored = self._history.newest("scores", settling.start, scored.end)
            place = places(rows, stored, ("failure_model", "window_end"))
            kept = says_otherwise(rows, stored, place) & self._same_grounds(rows, stored, place)
            self.found.crossed += crossings(rows, stored, place, kept)
            late = (settling.first, settling.last)
            self._keep(self.found.scores, rows, stored, place, kept, late, "features_sequence")
        if scored.settled:
            return None
        return replace(settling, start=max(scored.end + 1, settling.start), at_once=scored.left_off)

    def _reaching(self, part: Touched) -> Touched:
        """The part with what is touched since a value held until the next one came."""
        held, high = {}, part.high
        for signal, after in part.held.items():
            until = self._history.next_usable(signal, after)
            if until is None:
                held[signal] = after
            high = max(high, self._limit if until is None else until + self._rules.reach_ns)
        return replace(part, held=held, high=high)

    def _memory_ns(self, told: Told) -> int:
        """How far back modes look."""
        within = [
            condition.within_ns or 0
            for config in told.configs.values()
            for mode in config.pipeline.modes
            for condition in mode.when
        ]
        return max(within, default=0)

    def _config(self, at: int, last: int) -> tuple[LineConfig | None, int]:
        """Config of the windows after ``at``, and up to where it holds; None where it did not have the asset."""
        rows = live(self._history.revisions("features", at + 1, last, ("generation",))).sort_by("window_end")
        if rows.num_rows:
            generations, ends = rows["generation"].to_pylist(), nanoseconds(rows["window_end"])
            self._generation = generations[0]
            other = next((end for end, one in zip(ends, generations, strict=True) if one != self._generation), None)
            last = last if other is None else int(other) - 1
        elif not self._generation:
            self._generation = self._history.generation(at) or self._told.first(Stage.TELEMETRY, self._otherwise)
        return alone(self._told.config(self._generation), self._asset), last

    def _chunk(
        self, config: LineConfig, at: int, last: int, tail: pa.Table, part: Touched
    ) -> tuple[pa.Table, pa.Table, bool]:
        """Corrections of windows after ``at`` up to ``last``; the rows before the next ones; whether modes differ."""
        rules = Rules.of(config)
        first = at // rules.every_ns * rules.every_ns + rules.every_ns
        raw = self._history.raw(rules, first, last)
        made = features_in_order(config, raw, modes_after(config, tail), first, last)
        if not made:
            return SCHEMAS["features"].empty_table(), tail, False
        rows = pa.concat_tables([self._table(Stage.FEATURES, one, self._generation, part.last) for one in made])
        self.found.looked += rows.num_rows
        stored = self._history.newest("features", first, last)
        place = places(rows, stored, ("window_end",))
        kept = says_otherwise(rows, stored, place) & self._knows_more(rows, stored, place)
        late = part.first, part.last
        self._keep(self.found.features, rows, stored, place, kept, late, "input_sequence")
        corrected = rows.filter(pa.array(kept | _appended(stored, place, part)))
        ends = nanoseconds(rows["window_end"])
        recent = ends >= ends[-1] - self._memory_ns(self._told)
        tail = pa.concat_tables([tail.select(_MODES), rows.select(_MODES)], promote_options="default")
        tail = tail.filter(pa.array(nanoseconds(tail["window_end"]) >= ends[-1] - self._memory_ns(self._told)))
        restless = says_otherwise(rows.select(_MODES), stored.select(_MODES), place)[recent].any()
        return corrected, tail, bool(restless)

    def _knows_more(self, rows: pa.Table, stored: pa.Table, place: I64) -> Bools:
        """Rows that rest on all the samples that the stored ones rest on: late ones only add to them."""
        mine = np.flatnonzero(place >= 0)
        less = np.zeros(len(place), np.bool_)
        before, now = stored["coverage"].take(place[mine]).to_pylist(), rows["coverage"].take(mine).to_pylist()
        less[mine] = [
            len(old) == len(new) and bool(np.any(np.array(new) < np.array(old) - _ROUNDING))
            for old, new in zip(before, now, strict=True)
        ]
        if less.any():
            self.found.notes[
                f"Telemetry of {self._asset} is no longer stored in full; its features stay as they were"
            ] = None
        return ~less

    def _same_grounds(self, rows: pa.Table, stored: pa.Table, place: I64) -> Bools:
        """Rows of the model and the baseline that the stored ones are of."""
        same = np.ones(len(place), np.bool_)
        mine = np.flatnonzero(place >= 0)
        for name in ("model_digest", "baseline_digest"):
            before, now = stored[name].take(place[mine]).to_pylist(), rows[name].take(mine).to_pylist()
            same[mine] &= np.array([old == new for old, new in zip(before, now, strict=True)], np.bool_)
        if not same.all():
            self.found.notes[
                f"What {self._asset} was scored with cannot be learned again from what is stored; its scores stay as "
                "they were"
            ] = None
        return same

    def _table(self, stage: Stage, batch: pa.RecordBatch, generation: str, block: int) -> pa.Table:
        headers = {HEADER_INPUT: f"{block}:0", HEADER_GENERATION: generation}
        return rows_of(stage, [read_entry(stage, 0, 0, self._line.subject(stage, "correction"), batch, headers)])

    def _keep(
        self,
        found: list[pa.Table],
        rows: pa.Table,
        stored: pa.Table,
        place: I64,
        kept: Bools,
        late: tuple[int, int],
        input_column: str,
    ) -> None:
        if kept.any():
            chosen = np.flatnonzero(kept)
            found.append(as_corrections(rows.take(chosen), stored, place[chosen], late, self._now_us, input_column))


def _appended(stored: pa.Table, place: I64, part: Touched) -> Bools:
    """Rows whose stored one is a correction that this part led to already."""
    led = np.asarray(stored["late_last"].fill_null(0)) if "late_last" in stored.column_names else np.zeros(len(stored))
    appended: Bools = np.append(led >= part.first, False)[place]  # what is not stored finds the last
    return appended
