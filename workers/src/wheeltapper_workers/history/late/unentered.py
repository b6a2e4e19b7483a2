"""Corrections that were appended by a look that ended before it could enter them: the next entry counts them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.wire import Line
from wheeltapper_workers.history.late.differences import crossings, places
from wheeltapper_workers.history.revisions import newest
from wheeltapper_workers.history.stored import of_line
from wheeltapper_workers.history.tables import TIME, Store

_KEYS: Final = ("asset", "failure_model", "window_end")


@dataclass(frozen=True, slots=True)
class Unentered:
    """How many there are."""

    windows: int = 0
    scores: int = 0
    crossed: int = 0


def unentered(store: Store, line: Line, assets: Collection[str], since_us: int) -> Unentered:
    """Corrections of some assets that were appended after a time, in microseconds since 1970."""
    windows = _appended(store, line, "features", assets, since_us, ("window_end",)).num_rows
    scores = _appended(store, line, "scores", assets, since_us, (*_KEYS, "score"))
    return Unentered(windows, scores.num_rows, _crossed(store, line, scores, since_us))


def _appended(
    store: Store, line: Line, table: str, assets: Collection[str], since_us: int, columns: tuple[str, ...]
) -> pa.Table:
    dataset = store.dataset(line.tenant, table)
    if dataset is None or "revision" not in dataset.schema.names:
        return pa.table({})
    where = of_line(line) & (pc.field("revision") > 0) & (pc.field("published_time") > pa.scalar(since_us, TIME))
    return dataset.to_table(columns=list(columns), filter=where & pc.field("asset").isin(list(assets)))


def _crossed(store: Store, line: Line, scores: pa.Table, since_us: int) -> int:
    """Of scores those that are on the other side of the limit than what was stored before."""
    dataset = store.dataset(line.tenant, "scores")
    if dataset is None or not scores.num_rows:
        return 0
    bounds = pc.min_max(scores["window_end"])
    where = of_line(line) & pc.field("asset").isin(pc.unique(scores["asset"]).to_pylist())
    where &= (pc.field("window_end") >= bounds["min"]) & (pc.field("window_end") <= bounds["max"])
    where &= (
        pc.field("revision").is_null()
        | (pc.field("revision") == 0)
        | (pc.field("published_time") <= pa.scalar(since_us, TIME))
    )
    columns = [*_KEYS, "score", "revision", "block_sequence"]
    before = newest(dataset.to_table(columns=columns, filter=where), _KEYS)
    return crossings(scores, before, places(scores, before, _KEYS), np.ones(scores.num_rows, np.bool_))
