"""What the contract remembers of every series from batch to batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.wire import Quality
from wheeltapper_workers.contracts.raw import NO_TIME
from wheeltapper_workers.contracts.repeats import Memory
from wheeltapper_workers.contracts.table import SeriesTable
from wheeltapper_workers.runtime.step import replace_rows

FLAGS: Final = tuple(flag for flag in Quality if flag not in {Quality.GOOD, Quality.LATE})
"""The flags a contract gives, in the order of the columns of ``counts`` and ``since_ns``. LATE is the featurizer's."""


@dataclass(slots=True)
class ContractState:
    """Struct of arrays over the collector's series, [series] if nothing else is said."""

    started_ns: npt.NDArray[np.int64]
    """When this series was first asked for."""
    samples: npt.NDArray[np.int64]
    """Samples taken, repeated ones not counted."""
    duplicates: npt.NDArray[np.int64]
    """Samples that came again and were left out."""
    untimed: npt.NDArray[np.int64]
    """Samples without a source time, which got the time of their receipt."""
    losses: npt.NDArray[np.int64]
    """How often the source said that it had to drop samples."""
    unsure: npt.NDArray[np.bool_]
    """Samples may be missing in front of the next one."""
    lost_ns: npt.NDArray[np.int64]
    """When it last said so."""
    counts: npt.NDArray[np.int64]
    """Samples with each flag, [series, flag]."""
    since_ns: npt.NDArray[np.int64]
    """Receipt of the first sample of the run of flagged ones that still lasts, or 0: [series, flag]."""
    last_time_ns: npt.NDArray[np.int64]
    last_received_ns: npt.NDArray[np.int64]
    last_value: npt.NDArray[np.float64]
    last_quality: npt.NDArray[np.uint16]
    last_status: npt.NDArray[np.uint32]
    last_digest: npt.NDArray[np.uint64]
    """Digest of value, text and status of the last sample, by which it is known when it comes again."""
    newest_ns: npt.NDArray[np.int64]
    """Newest believable source time."""
    newest_ordinal: npt.NDArray[np.int64]
    """Ordinal of the last sample that has it."""
    good_time_ns: npt.NDArray[np.int64]
    """Source time of the last good sample, kept where the contract limits the rate of change."""
    good_value: npt.NDArray[np.float64]
    last_text: dict[int, str] = field(default_factory=dict)
    """Text of the last sample, for series whose last sample is text."""
    memory: Memory = field(default_factory=Memory)
    """Newest samples of all series."""


_FILL: Final[dict[str, tuple[Any, float]]] = {
    "started_ns": (np.int64, 0),
    "samples": (np.int64, 0),
    "duplicates": (np.int64, 0),
    "untimed": (np.int64, 0),
    "losses": (np.int64, 0),
    "unsure": (np.bool_, False),
    "lost_ns": (np.int64, 0),
    "counts": (np.int64, 0),
    "since_ns": (np.int64, 0),
    "last_time_ns": (np.int64, NO_TIME),
    "last_received_ns": (np.int64, NO_TIME),
    "last_value": (np.float64, np.nan),
    "last_quality": (np.uint16, 0),
    "last_status": (np.uint32, 0),
    "last_digest": (np.uint64, 0),
    "newest_ns": (np.int64, NO_TIME),
    "newest_ordinal": (np.int64, 0),
    "good_time_ns": (np.int64, NO_TIME),
    "good_value": (np.float64, np.nan),
}
_WIDE: Final = frozenset({"counts", "since_ns"})


def initial(table: SeriesTable, now_ns: int) -> ContractState:
    """State before the first sample."""
    shapes = {name: (len(table), len(FLAGS)) if name in _WIDE else (len(table),) for name in _FILL}
    arrays: dict[str, Any] = {name: np.full(shapes[name], fill, kind) for name, (kind, fill) in _FILL.items()}
    state = ContractState(**arrays)
    state.started_ns[:] = now_ns
    return state


def follow(state: ContractState, old: SeriesTable, new: SeriesTable, now_ns: int) -> ContractState:
    """State under another list of series: what both know of a signal of an asset is kept."""
    known = {_identity(old, position): position for position in range(len(old))}
    index = np.array([known.get(_identity(new, position), -1) for position in range(len(new))], np.int64)
    kept: dict[str, Any] = {
        name: replace_rows(getattr(state, name), index, np.asarray(fill, kind)) for name, (kind, fill) in _FILL.items()
    }
    moved = ContractState(**kept, memory=state.memory)
    moved.started_ns[index < 0] = now_ns
    moved.last_text = {
        position: state.last_text[was] for position, was in enumerate(index.tolist()) if was in state.last_text
    }
    return moved


def _identity(table: SeriesTable, position: int) -> tuple[str, str, str]:
    series = table.series[position]
    return series.line.key, series.asset, series.signal
