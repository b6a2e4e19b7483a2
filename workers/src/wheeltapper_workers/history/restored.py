"""Feature and score blocks as the streams carried them, from stored rows.

Where telemetry is no longer kept, or another model is tried on what was once computed, the later steps begin here.
Times come back in whole microseconds, and in a block the rows may have another order than they had.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.history.stored import in_order
from wheeltapper_workers.history.tables import Store, feature_column
from wheeltapper_workers.runtime import blocks
from wheeltapper_workers.runtime.blocks import Block

I64 = npt.NDArray[np.int64]

_LEAST: Final = np.iinfo(np.int64).min


def feature_blocks(
    store: Store,
    line: Line,
    *,
    asset: str | None = None,
    features: Sequence[str] | None = None,
    told: Mapping[str, str] | None = None,
) -> Iterator[Block]:
    """Stored feature blocks of a line in their order.

    Parameters
    ----------
    asset
        Only this one's rows.
    features
        Wanted in this order, NaN with no coverage where a block does not have one; as they are stored if not given.
    told
        Further metadata of the blocks.
    """
    for table in in_order(store, line, "features"):
        rows = table if asset is None else table.filter(pc.equal(table["asset"], asset))
        for number, block in _by_block(rows):
            yield feature_block(number, block, features, told or {})


def score_blocks(store: Store, line: Line, *, told: Mapping[str, str] | None = None) -> Iterator[Block]:
    """Stored score blocks of a line in their order."""
    for table in in_order(store, line, "scores"):
        for number, rows in _by_block(table):
            columns = _common(rows) | {
                "failure_model": _names(rows, "failure_model"),
                "reason": _names(rows, "reason"),
                "model_digest": _names(rows, "model_digest"),
                "baseline_digest": _names(rows, "baseline_digest"),
                "score": _known(rows["score"]),
                "coverage": np.asarray(rows["coverage"]),
                "features_sequence": np.asarray(rows["features_sequence"]).astype(np.uint64),
            }
            columns |= {
                name: _one(rows[name]).cast(pa.list_(pa.float64())) for name in ("values", "expected", "deviation")
            }
            batch = blocks.make_batch(Stage.SCORES, columns, told)
            yield Block(Stage.SCORES.stream, number, batch, "", rows["generation"][0].as_py())


def _by_block(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """Rows of each block, in the blocks' order."""
    table = table.sort_by("block_sequence")
    sequence = np.asarray(table["block_sequence"])
    begins = [0, *(np.flatnonzero(np.diff(sequence)) + 1).tolist()] if len(sequence) else []
    for start, end in zip(begins, [*begins[1:], len(sequence)], strict=True):
        yield int(sequence[start]), table.slice(start, end - start)


def feature_block(number: int, rows: pa.Table, wanted: Sequence[str] | None, told: Mapping[str, str]) -> Block:
    """Feature block of stored rows, which have the same features."""
    stored = rows["features"][0].as_py()
    names = stored if wanted is None else list(wanted)
    place = {name: position for position, name in enumerate(stored)}
    picked = np.array([place.get(name, len(stored)) for name in names], np.int64)
    columns = _common(rows)
    values = [_known(rows[feature_column(name)]) if name in place else np.full(rows.num_rows, np.nan) for name in names]
    columns["values"] = blocks.encode_matrix(np.stack(values, axis=1) if values else np.empty((rows.num_rows, 0)))
    for name, dtype in (("coverage", np.float64), ("quality", np.uint16)):
        lists = np.asarray(_one(rows[name]).flatten()).reshape(rows.num_rows, len(stored)).astype(dtype)
        padded = np.concatenate((lists, np.zeros((rows.num_rows, 1), dtype)), axis=1)
        columns[name] = blocks.encode_matrix(padded[:, picked])
    known = {"features": json.dumps(names), "pipeline_digest": rows["pipeline_digest"][0].as_py(), **told}
    batch = blocks.make_batch(Stage.FEATURES, columns, known)
    return Block(Stage.FEATURES.stream, number, batch, "", rows["generation"][0].as_py())


def _common(rows: pa.Table) -> dict[str, Any]:
    return {
        "asset": _names(rows, "asset"),
        "mode": _names(rows, "mode"),
        "band": np.asarray(rows["band"]).astype(np.int8),
        "window_end": _time(rows, "window_end"),
        "mode_since": _time(rows, "mode_since"),
        "received_last": _time(rows, "received_last"),
        "telemetry_first": np.asarray(rows["telemetry_first"]).astype(np.uint64),
        "telemetry_last": np.asarray(rows["telemetry_last"]).astype(np.uint64),
    }


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _names(rows: pa.Table, name: str) -> pa.DictionaryArray:
    return _one(rows[name]).cast(pa.string()).dictionary_encode()


def _known(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Numbers, null as NaN."""
    return np.asarray(column.to_numpy(), np.float64)


def _time(rows: pa.Table, name: str) -> pa.Array:
    """Times in nanoseconds; the least there is, which stands for never, stays it."""
    micro = np.asarray(_one(rows[name]).view(pa.int64()))
    never = micro <= _LEAST // 1000
    return blocks.encode_times(np.where(never, _LEAST, np.where(never, 0, micro) * 1000))
