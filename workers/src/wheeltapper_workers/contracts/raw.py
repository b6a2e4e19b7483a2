"""What a source hands over: columns of samples, before any contract is applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

NO_TIME: Final = int(np.iinfo(np.int64).min)
"""In place of a source time that the source did not give. Zero would not do: a device without a clock says 1970."""


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Samples in the order of their arrival, all columns [n].

    A row that holds text has NaN as its value and its text in ``text``; rows with text are few or cost what a string
    costs, numbers never become Python objects.
    """

    series: npt.NDArray[np.int32]
    """Position in the collector's list of series."""
    source_time_ns: npt.NDArray[np.int64]
    """Nanoseconds since 1970 (UTC), or ``NO_TIME``."""
    value: npt.NDArray[np.float64]
    """As the source gave it, in the source's unit."""
    quality: npt.NDArray[np.uint16]
    """What the source itself says about it, as flags of ``wire.Quality``."""
    status: npt.NDArray[np.uint32]
    """The protocol's own code."""
    received_ns: npt.NDArray[np.int64]
    resent: npt.NDArray[np.bool_]
    """May have been delivered before: first of its series after a subscription, or not known to be safe yet."""
    lost_before: npt.NDArray[np.bool_]
    """The source says that it had to drop samples just before this one."""
    text: dict[int, str] = field(default_factory=dict)
    """Text by row."""
    bursts: dict[int, npt.NDArray[Any]] = field(default_factory=dict)
    """Arrays of numbers by row, of waveforms; the row's value is NaN."""

    def __len__(self) -> int:
        return len(self.series)


def raw_batch(
    series: npt.ArrayLike,
    source_time_ns: npt.ArrayLike,
    value: npt.ArrayLike,
    received_ns: npt.ArrayLike,
    *,
    text: dict[int, str] | None = None,
    bursts: dict[int, npt.NDArray[Any]] | None = None,
    **columns: npt.ArrayLike,
) -> RawBatch:
    """Batch of columns that may be shorter to write: a scalar holds for every row, a column left out is 0."""
    index = np.asarray(series, np.int32)

    def column(values: npt.ArrayLike, kind: Any) -> npt.NDArray[Any]:
        return np.broadcast_to(np.asarray(values, kind), index.shape)

    return RawBatch(
        series=index,
        source_time_ns=column(source_time_ns, np.int64),
        value=column(value, np.float64),
        quality=column(columns.get("quality", 0), np.uint16),
        status=column(columns.get("status", 0), np.uint32),
        received_ns=column(received_ns, np.int64),
        resent=column(columns.get("resent", 0), np.bool_),
        lost_before=column(columns.get("lost_before", 0), np.bool_),
        text=text or {},
        bursts=bursts or {},
    )
