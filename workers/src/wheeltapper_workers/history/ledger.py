"""The ledger of gaps, read: what sources did not deliver and what streams lost, each gap by the newest word on it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wheeltapper_api.fields import Model
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history.tables import SCHEMAS, TABLE_OF, Store


class LedgerGap(Model):
    """A stretch in which samples of a series are missing."""

    plant: str
    asset_class: str
    asset: str
    signal: str
    since_ns: int
    """Last sample before."""
    until_ns: int
    """First sample after."""
    cause: str
    recovered: bool
    """Whether all that was missing came later."""
    samples: int
    """How many came later."""


def stored(store: Store, tenant: str, where: pc.Expression | None = None) -> pa.Table:
    """Rows of the table ``gaps``: every word on each gap."""
    dataset = store.dataset(tenant, TABLE_OF[Stage.GAPS])
    return SCHEMAS[TABLE_OF[Stage.GAPS]].empty_table() if dataset is None else dataset.to_table(filter=where)


def ledger(rows: pa.Table, *, since_ns: int | None = None) -> list[LedgerGap]:
    """Gaps by their begin, each by its newest word.

    Parameters
    ----------
    rows
        Of the table ``gaps``, in any order.
    since_ns
        Only those that end after it.
    """
    rows = rows.sort_by("block_sequence")
    times = (np.asarray(rows[name].cast(pa.int64())) * 1000 for name in ("since", "until"))
    newest = {}
    for row, since, until in zip(rows.to_pylist(), *map(np.ndarray.tolist, times), strict=True):
        newest[row["asset"], row["signal"], since] = LedgerGap(
            plant=row["plant"],
            asset_class=row["class"],
            asset=row["asset"],
            signal=row["signal"],
            since_ns=since,
            until_ns=until,
            cause=row["cause"],
            recovered=row["recovered"],
            samples=row["samples"],
        )
    wanted = [gap for gap in newest.values() if since_ns is None or gap.until_ns > since_ns]
    return sorted(wanted, key=lambda gap: (gap.since_ns, gap.asset, gap.signal))
