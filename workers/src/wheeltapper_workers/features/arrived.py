"""When samples and bursts of a block were measured and received, asset by asset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from wheeltapper_api.wire import Quality
from wheeltapper_workers.features.buffer import Samples
from wheeltapper_workers.features.bursts import Bursts
from wheeltapper_workers.features.modes import NEVER

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LATEST: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Arrived:
    """What samples or bursts have in common.

    Of each of them: asset, time, and whether that time can be true. Of each asset: oldest and newest believable time,
    and newest receive time, ``NEVER`` where there is none.
    """

    asset: I64
    time: I64
    believed: Bools
    oldest: I64
    newest: I64
    newest_receipt: I64

    @classmethod
    def of(cls, asset: I64, rows: Samples | Bursts, assets: int) -> Arrived:
        """What it is of samples or bursts."""
        believed = rows.quality & Quality.CLOCK == 0
        if believed.all():
            oldest = newest = rows.time
        else:
            oldest, newest = np.where(believed, rows.time, _LATEST), np.where(believed, rows.time, NEVER)
        runs = _Runs.of(asset, assets)
        first = runs.reduced(np.minimum, oldest, _LATEST)
        return cls(
            asset,
            rows.time,
            believed,
            np.where(first == _LATEST, NEVER, first),
            runs.reduced(np.maximum, newest, NEVER),
            runs.reduced(np.maximum, rows.received, NEVER),
        )

    def before(self, bound: I64) -> Bools:
        """Which have a believable time before the bound of their asset."""
        if not ((self.oldest < bound) & (self.oldest != NEVER)).any():
            return np.zeros(len(self.asset), np.bool_)
        return self.believed & (self.time < bound[self.asset])


@dataclass(frozen=True, slots=True)
class _Runs:
    """Rows of one asset that are neighbours, as they mostly are: those are reduced first."""

    begins: I64
    asset: I64
    assets: int

    @classmethod
    def of(cls, asset: I64, assets: int) -> _Runs:
        """Runs of rows with these assets."""
        begins = np.flatnonzero(np.concatenate(([True], asset[1:] != asset[:-1])))[: len(asset)]
        return cls(begins, asset[begins], assets)

    def reduced(self, function: np.ufunc, times: I64, start: int) -> I64:
        """Smallest or largest time of each asset."""
        found = np.full(self.assets, start)
        if len(self.begins):
            function.at(found, self.asset, function.reduceat(times, self.begins))
        return found
