"""Looking through stored telemetry, block by block, for samples that came late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.wire import Line, Quality, Stage
from wheeltapper_workers.features.modes import NEVER
from wheeltapper_workers.history.late.in_order import times_of
from wheeltapper_workers.history.late.lateness import Arrived, Clocks, Rules, Touched, joined, look, touched
from wheeltapper_workers.history.stored import in_order
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.history.told import Told

I64 = npt.NDArray[np.int64]

_COLUMNS: Final = ("asset", "signal", "source_time", "source_nanos", "quality", "sample_rate", "block_sequence")


@dataclass(frozen=True, slots=True)
class Found:
    """How far a line was looked through, and what was found that is not corrected yet."""

    position: int
    """Last telemetry block that was looked at."""
    generation: str
    """Config in force there."""
    clocks: Clocks
    parts: tuple[Touched, ...] = ()
    late: int = 0
    """Late samples."""
    rows: int = 0
    """Samples looked at."""

    @classmethod
    def nothing(cls, told: Told, otherwise: str) -> Self:
        """Before the first block."""
        generation = told.first(Stage.TELEMETRY, otherwise)
        return cls(0, generation, Clocks.initial(len(told.config(generation).assets)))

    def document(self, told: Told) -> dict[str, Any]:
        """For JSON; clocks by asset, since positions are those of one config."""
        clocks = {
            asset: [int(self.clocks.newest[at]), int(self.clocks.next_end[at])]
            for asset, at in Rules.of(told.config(self.generation)).assets.items()
            if self.clocks.next_end[at] != NEVER
        }
        parts = [[p.asset, p.low, p.high, p.first, p.last, dict(p.held)] for p in self.parts]
        return {"generation": self.generation, "clocks": clocks, "parts": parts}

    @classmethod
    def restored(cls, position: int, document: dict[str, Any], told: Told) -> Self:
        """From JSON."""
        rules = Rules.of(told.config(document["generation"]))
        clocks = Clocks.initial(len(rules.assets))
        for asset, at in rules.assets.items():
            clocks.newest[at], clocks.next_end[at] = document["clocks"].get(asset, (NEVER, NEVER))
        parts = tuple(Touched(*part) for part in document["parts"])
        return cls(position, document["generation"], clocks, parts)


def scanned(
    store: Store,
    line: Line,
    told: Told,
    before: Found,
    formed: int,
    most_rows: int,
    before_reading: Callable[[], None] = lambda: None,
) -> Found:
    """What is found in the stored blocks, or in some of them once ``most_rows`` were looked at.

    Parameters
    ----------
    formed
        Last block of which all rows are stored that it formed. Behind it only blocks are looked at that form none.
    before_reading
        Called before every piece; what it raises ends the work.
    """
    found = replace(before, rows=0)
    for table in in_order(store, line, "raw", columns=_COLUMNS, first=before.position + 1):
        before_reading()
        for generation, rows in _by_config(table.sort_by("block_sequence"), told, found.generation):
            following = _followed(found, told, generation)
            found = _taken(following, Rules.of(told.config(generation)), rows, formed)
            if found.position < rows["block_sequence"][-1].as_py():
                return found
        if found.rows >= most_rows:
            return found
    return found


def _by_config(table: pa.Table, told: Told, current: str) -> Iterator[tuple[str, pa.Table]]:
    """Rows of whole blocks, sorted by block, that came under one config, with its generation."""
    sequence = np.asarray(table["block_sequence"])
    changes = told.changes.get(Stage.TELEMETRY, ())
    cuts = np.searchsorted(sequence, [change.sequence for change in changes], side="right").tolist()
    for first, last in pairwise(sorted({0, *cuts, table.num_rows})):
        yield told.at(Stage.TELEMETRY, int(sequence[first]), current), table.slice(first, last - first)


def _followed(found: Found, told: Told, generation: str) -> Found:
    if generation == found.generation:
        return found
    before, after = (Rules.of(told.config(one)) for one in (found.generation, generation))
    return replace(found, generation=generation, clocks=found.clocks.follow(before, after))


def _taken(found: Found, rules: Rules, rows: pa.Table, formed: int) -> Found:
    """What is found after rows of blocks under one config, up to one that forms rows that are not stored yet."""
    sequence, time = np.asarray(rows["block_sequence"]), times_of(rows)
    asset, assets = _coded(rows["asset"])
    signal, signals = _coded(rows["signal"])
    asset = np.array([rules.assets.get(name, -1) for name in assets], np.int64)[asset]
    read = np.array([name in rules.signals for name in signals])[signal]
    believed = np.asarray(pc.equal(pc.bit_wise_and(rows["quality"], int(Quality.CLOCK)), 0))
    bursts = np.asarray(rows["sample_rate"].is_valid())
    kept = np.flatnonzero((asset >= 0) & believed & read)
    clocks, parts, late_count, names = found.clocks, list(found.parts), 0, list(rules.assets)
    position = int(sequence[-1])
    for block in np.split(kept, np.flatnonzero(np.diff(sequence[kept])) + 1) if len(kept) else ():
        arrived = Arrived(asset[block], time[block], bursts=bool(bursts[block[0]]))
        moved, late = look(clocks, rules, arrived)
        if sequence[block[0]] > formed and not np.array_equal(moved.next_end, clocks.next_end):
            position = int(sequence[block[0]]) - 1
            break
        clocks = moved
        late_count += int(late.sum())
        for one in np.unique(asset[block[late]]).tolist():
            own = block[late & (asset[block] == one)]
            of = [signals[code] for code in signal[own].tolist()]
            parts += touched(names[one], int(sequence[own[0]]), rules, time[own], of)
    return replace(
        found,
        position=position,
        clocks=clocks,
        parts=tuple(joined(parts)),
        late=found.late + late_count,
        rows=found.rows + int(np.searchsorted(sequence, position, side="right")),
    )


def _coded(names: pa.ChunkedArray) -> tuple[I64, list[str]]:
    """Number of each row's name, and the names."""
    encoded = names.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices).astype(np.int64), encoded.dictionary.to_pylist()
