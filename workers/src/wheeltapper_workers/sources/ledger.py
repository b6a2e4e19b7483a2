"""The ledger of gaps: what a source did not deliver as it came."""

from __future__ import annotations

import logging
import time

import numpy as np
import numpy.typing as npt
from nats.aio.client import Client

from wheeltapper_api.wire import Stage
from wheeltapper_workers.contracts.gaps import Gaps
from wheeltapper_workers.contracts.table import SeriesTable
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.jetstream import insist

log = logging.getLogger(__name__)


class Ledger:
    """The ledger of one connection."""

    def __init__(self, client: Client, connection: str) -> None:
        self._client, self._connection = client, connection
        self.gaps = 0
        """Entries made."""
        self.lost = 0
        """Those of them that the source could not fill."""
        self._lost_s = 0.0

    @property
    def seconds_since_loss(self) -> float | None:
        """Time since the last entry that the source could not fill; None before the first."""
        return round(time.monotonic() - self._lost_s, 1) if self.lost else None

    async def enter(
        self,
        gaps: Gaps,
        table: SeriesTable,
        cause: str,
        recovered: npt.NDArray[np.bool_],
        samples: npt.NDArray[np.int64],
    ) -> None:
        """Enter gaps. To be done before the samples behind them are published, so that no crash can forget one.

        Parameters
        ----------
        recovered
            Whether the source had all that was missing, [gaps].
        samples
            How many it gave, [gaps].
        """
        jetstream = self._client.jetstream()
        for line, block in gaps.blocks(table, cause, recovered, samples):
            subject, data = line.subject(Stage.GAPS, self._connection), to_bytes(block)
            await insist(
                lambda subject=subject, data=data: jetstream.publish(subject, data, stream=Stage.GAPS.stream),
                what=f"Publishing on {subject}",
            )
        if len(gaps):
            log.warning("%s: %d gaps, %d recovered. %s", self._connection, len(gaps), recovered.sum(), cause)
        self.gaps += len(gaps)
        lost = int((~recovered).sum())
        if lost:
            self._lost_s = time.monotonic()
        self.lost += lost
