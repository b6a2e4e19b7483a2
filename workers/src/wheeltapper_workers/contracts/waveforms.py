"""The contract of bursts: their unit, their length, their range. A burst is one sample with one quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.wire import Quality
from wheeltapper_workers.contracts.table import SeriesTable

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CheckedBurst:
    """A burst in the class's unit, and its flags."""

    samples: Floats
    quality: int


def check_burst(raw: npt.NDArray[np.generic], series: int, table: SeriesTable) -> CheckedBurst:
    """Apply the contract of a series to a burst.

    Parameters
    ----------
    raw
        Samples in the source's unit, [n].
    series
        Position in the table; of a waveform.
    table
    """
    with np.errstate(over="ignore", invalid="ignore"):
        samples = raw.astype(np.float64) * table.scale[series] + table.offset[series]
    flags = Quality.GOOD
    expected = table.series[series].burst_samples
    if raw.ndim != 1 or (expected is not None and len(samples) != expected):
        flags |= Quality.WRONG_TYPE
    finite = np.isfinite(samples)
    if not finite.all():
        flags |= Quality.NOT_A_NUMBER
    if ((samples < table.lowest[series]) | (samples > table.highest[series]))[finite].any():
        flags |= Quality.OUT_OF_RANGE
    return CheckedBurst(samples.reshape(-1), int(flags))


def encode_bursts(bursts: list[Floats]) -> pa.ListArray:
    """List column of bursts, which may be of different lengths."""
    offsets = np.zeros(len(bursts) + 1, np.int32)
    np.cumsum([len(burst) for burst in bursts], out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(bursts)))
