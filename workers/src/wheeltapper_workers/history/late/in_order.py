"""Features of windows as if every sample had come in order: the featurizer's own step over stored samples.

The step's state before the first window is put together from the samples that it would have held then; what the
windows are made of is the same, so the rows are the same bits as those of a line without a late sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.config import LineConfig
from wheeltapper_api.wire import Quality, Stage
from wheeltapper_workers.contracts.rules import CONTENT_ORDINAL
from wheeltapper_workers.features.featurizer import FeaturizerState, FeaturizeStep
from wheeltapper_workers.features.layout import Layout
from wheeltapper_workers.features.modes import NEVER, UNKNOWN, ModeState
from wheeltapper_workers.history.late.lateness import Rules
from wheeltapper_workers.history.rows import block_of
from wheeltapper_workers.history.tables import TIME
from wheeltapper_workers.runtime.blocks import SCHEMAS, Block
from wheeltapper_workers.runtime.step import Snapshot

I64 = npt.NDArray[np.int64]

_SAID: Final = ("signal", "source_time", "source_nanos", "value", "text", "status")
"""What a sample says; two that say the same are one, of which one came again."""
_STREAM: Final = Stage.TELEMETRY.stream
_FOREVER_NS: Final = 2**61
_NOTHING: Final = pa.RecordBatch.from_pylist([], SCHEMAS[Stage.TELEMETRY])


def alone(config: LineConfig, asset: str) -> LineConfig | None:
    """The line with one asset; None if it has no such asset. No bit of a row hangs on other assets."""
    found = [one for one in config.assets if one.name == asset]
    return config.model_copy(update={"assets": found}) if found else None


def modes_after(config: LineConfig, rows: pa.Table) -> ModeState:
    """State of the modes of a line's one asset after stored rows, which are sorted by ``window_end``."""
    layout = Layout(config)
    names = {name: position for position, name in enumerate(layout.modes.names)}
    state = ModeState.initial(1, len(names))
    if not rows.num_rows:
        return state
    mode = np.array([names.get(name, UNKNOWN) for name in rows["mode"].to_pylist()], np.int64)
    ends, since = (nanoseconds(rows[name]) for name in ("window_end", "mode_since"))
    state.mode[0] = mode[-1]
    known = rows["mode"][-1].as_py() is None or mode[-1] != UNKNOWN
    state.since[0] = since[-1] if known else NEVER
    np.maximum.at(state.held[0], mode[mode != UNKNOWN], ends[mode != UNKNOWN])
    return state


def features_in_order(
    config: LineConfig, raw: pa.Table, before: ModeState, first: int, last: int
) -> list[pa.RecordBatch]:
    """Feature rows of the windows that end from ``first`` to ``last``, those that a line in order would have formed.

    Parameters
    ----------
    config
        Line with one asset.
    raw
        Stored samples of the asset: those of the windows, those before that still count, and those behind up to the
        silence that ends a run of rows. In any order; samples of other signals do not matter.
    before
        State of the modes before the first window.
    first, last
        Whole multiples of the pipeline's step, in ns.
    """
    rules = Rules.of(config)
    raw = _said_once(_believed(raw, rules).sort_by([("block_sequence", "ascending"), ("block_row", "ascending")]))
    step = FeaturizeStep(config)
    state = replace(_holding(step, config, raw), modes=before)
    made: list[pa.RecordBatch] = []
    for begin, end in _runs(_times(raw, rules), rules, first, last):
        newest = np.array([end + rules.lateness_ns])
        state = replace(state, newest=newest, next_end=np.array([begin]))
        state, outputs = step.step(state, Block(_STREAM, 0, _NOTHING))
        made += [one for one in outputs if isinstance(one, pa.RecordBatch) and one.num_rows]
    return made


def nanoseconds(column: pa.ChunkedArray) -> I64:
    """Stored times as nanoseconds since 1970."""
    return np.asarray(column.cast(pa.int64())) * 1000


def times_of(raw: pa.Table) -> I64:
    """Source times of stored samples, ns."""
    times: I64 = nanoseconds(raw["source_time"]) + np.asarray(raw["source_nanos"])
    return times


def _believed(raw: pa.Table, rules: Rules) -> pa.Table:
    read = pc.is_in(raw["signal"], pa.array(list(rules.signals), pa.string()))
    return raw.filter(pc.and_(read, pc.equal(pc.bit_wise_and(raw["quality"], int(Quality.CLOCK)), 0)))


def _said_once(raw: pa.Table) -> pa.Table:
    """Samples without those that came behind and say what another one says, too: they came a second time."""
    behind = np.asarray(raw["ordinal"]) >= CONTENT_ORDINAL
    if not behind.any():
        return raw
    value = pa.array(np.asarray(raw["value"]).view(np.int64))
    keys = pa.table({**{name: raw[name] for name in _SAID}, "value": value, "place": np.arange(raw.num_rows)})
    order = np.argsort(behind, kind="stable")
    firsts = keys.take(order).group_by(list(_SAID), use_threads=False).aggregate([("place", "first")])
    kept = ~behind
    kept[np.asarray(firsts["place_first"])] = True
    return raw.filter(pa.array(kept))


def _times(raw: pa.Table, rules: Rules) -> I64:
    """Sorted times of the samples that move the time of their asset."""
    if rules.plain:
        raw = raw.filter(pc.is_null(raw["sample_rate"]))
    return np.sort(times_of(raw))


def _runs(times: I64, rules: Rules, first: int, last: int) -> Iterator[tuple[int, int]]:
    """First and last end of each run of rows: a silence forms none, but for the row that ends what was before it."""
    ends = np.arange(first, last + 1, rules.every_ns)
    if not len(times) or not len(ends):
        return
    place = np.searchsorted(times, ends)
    before = times[np.maximum(place - 1, 0)]
    after = np.where(place < len(times), times[np.minimum(place, len(times) - 1)], NEVER)
    formed = (place > 0) & (
        (ends - before <= rules.every_ns) | ((after != NEVER) & (after - before <= rules.silence_ns))
    )
    edges = np.flatnonzero(np.diff(np.concatenate(([False], formed, [False])).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2).tolist():
        yield int(ends[begin]), int(ends[end - 1])


def _holding(step: FeaturizeStep, config: LineConfig, raw: pa.Table) -> FeaturizerState:
    """State that holds samples of many blocks and has formed nothing yet."""
    patient = config.pipeline.model_copy(update={"lateness_ns": _FOREVER_NS})
    state = step.initial(config.model_copy(update={"pipeline": patient}))
    # One block is many times as fast as many. Until the samples are held, the number of their row stands in for the
    # time of their receipt; by it they get back their own block and time.
    for rows in _numbered(raw):
        state, _ = step.step(state, Block(_STREAM, 0, block_of(rows)))
    arrays = dict(step.snapshot(state).arrays)
    sequence = np.asarray(raw["block_sequence"])
    received = nanoseconds(raw["received_time"]) + np.asarray(raw["received_nanos"])
    for kind in ("samples", "bursts"):
        number = arrays[f"{kind}.received"] // 1000
        arrays[f"{kind}.sequence"], arrays[f"{kind}.received"] = sequence[number], received[number]
    told = {"pipeline_digest": config.pipeline.digest, "assets": [asset.name for asset in config.assets]}
    return step.restore(Snapshot(arrays, told), config)


def _numbered(raw: pa.Table) -> Iterator[pa.Table]:
    """Bursts and plain samples, whichever there are, received at the microsecond of their row's number."""
    number = pa.array(np.arange(raw.num_rows))
    zero = pa.array(np.zeros(raw.num_rows, np.int16))
    for name, column in (
        ("block_row", number.cast(pa.int32())),
        ("received_time", number.view(TIME)),
        ("received_nanos", zero),
    ):
        raw = raw.set_column(raw.column_names.index(name), name, column)
    bursts = raw["sample_rate"].is_valid()
    for chosen in (bursts, pc.invert(bursts)):
        rows = raw.filter(chosen)
        if rows.num_rows:
            yield rows
