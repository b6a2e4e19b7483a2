"""What the tables lack of telemetry that left its stream before the historian came to it, for the ledger of gaps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import pyarrow as pa
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from wheeltapper_api.config import LineConfig
from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.contracts.gaps import TOLERATED
from wheeltapper_workers.history.query import QueryError, query
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime.blocks import (
    codes,
    encode_names,
    encode_times,
    from_bytes,
    make_batch,
    numbers,
    to_bytes,
)
from wheeltapper_workers.runtime.jetstream import Missing, insist

log = logging.getLogger(__name__)

Series = tuple[str, str]
"""Asset and signal."""
Times = Mapping[Series, int]

CAUSE: Final = "The stream TELEMETRY was full, or its messages too old, before the historian came to them"
LOST: Final = "The NATS server lost messages of TELEMETRY that it had acknowledged, as after a power failure"
_WRITER: Final = "store"
_NEWEST: Final = """
    SELECT plant, class, asset, signal, epoch_ns(max(source_time)) AS newest FROM raw
    WHERE day >= (SELECT max(day) FROM raw) - 1 GROUP BY ALL
"""
_LOOKED_AT: Final = 20
"""Messages of a line in which its first samples behind the stretch are looked for: some tell only a config."""


async def enter(client: Client, store: Store, lines: Iterable[LineConfig], missing: Missing, behind_ns: int) -> int:
    """Enter what a stretch of TELEMETRY has taken with it; returns the number of gaps.

    To be done while the tables hold all that was read in front of the stretch and nothing behind it, so that a crash
    leaves it to be done again; the same gap again is the newer word on it.

    Parameters
    ----------
    store
        Where the tables are.
    behind_ns
        When the first message behind the stretch was stored.
    """
    lines = list(lines)
    try:
        stored = await asyncio.to_thread(_stored, store, lines)
    except QueryError as error:
        log.warning("What was lost cannot be told by series: %s", error)
        return 0
    found = 0
    for config in lines:
        first = await _first(client, config.line, missing.last + 1)
        known = stored.get((config.line.plant, config.line.asset_class), {})
        block = gaps_of(config, known, first, behind_ns, LOST if missing.known else CAUSE)
        if block is not None:
            await _publish(client, config.line, block)
            found += block.num_rows
    log.warning("%s; the ledger of gaps has %d stretches of it", missing, found)
    return found


def gaps_of(
    config: LineConfig, stored: Times, first: Times, behind_ns: int, cause: str = CAUSE
) -> pa.RecordBatch | None:
    """Rows for the ledger: the series that had samples, and a silence into which more of them would have fitted. Pure.

    Parameters
    ----------
    stored
        Source time of the newest stored sample of each series.
    first
        Source time of the first sample behind the stretch; where there is none yet, ``behind_ns`` counts.
    """
    rows = [
        (position, signal, stored[key], end)
        for position, asset in enumerate(config.assets)
        for signal, interval_ns in asset.signals.items()
        if (key := (asset.name, signal)) in stored
        and (end := first.get(key, behind_ns)) - stored[key] > TOLERATED * interval_ns
    ]
    if not rows:
        return None
    signals = sorted({row[1] for row in rows})
    columns = {
        "asset": encode_names([one.name for one in config.assets], np.array([row[0] for row in rows])),
        "signal": encode_names(signals, np.array([signals.index(row[1]) for row in rows])),
        "since": encode_times(np.array([row[2] for row in rows])),
        "until": encode_times(np.array([row[3] for row in rows])),
        "cause": encode_names([cause], np.zeros(len(rows), np.int64)),
        "recovered": np.zeros(len(rows), np.bool_),
        "samples": np.zeros(len(rows), np.uint32),
    }
    return make_batch(Stage.GAPS, columns)


def _stored(store: Store, lines: list[LineConfig]) -> dict[tuple[str, str], dict[Series, int]]:
    """Newest stored sample of each series, by plant and class; of those that came in the last two days."""
    found: dict[tuple[str, str], dict[Series, int]] = {}
    if lines:
        for row in query(store.root, _NEWEST, lines[0].line.tenant, storage_options=store.storage_options).to_pylist():
            found.setdefault((row["plant"], row["class"]), {})[row["asset"], row["signal"]] = row["newest"]
    return found


async def _first(client: Client, line: Line, sequence: int) -> Times:
    """First samples of a line that the stream still has from a sequence on."""
    jetstream, subject = client.jetstream(), line.filter(Stage.TELEMETRY)
    for _ in range(_LOOKED_AT):
        try:
            found = await insist(
                lambda at=sequence: jetstream.get_msg(Stage.TELEMETRY.stream, at, subject=subject, next=True),
                what=f"Reading {subject}",
            )
        except NotFoundError:
            break
        sequence = int(found.seq or sequence) + 1
        try:
            return _earliest(from_bytes(found.data or b"", Stage.TELEMETRY))
        except ValueError:  # a tick, or no block at all
            continue
    return {}


def _earliest(batch: pa.RecordBatch) -> Times:
    asset, signal = codes(batch, "asset"), codes(batch, "signal")
    times = numbers(batch, "source_time")
    pairs, row = np.unique(np.stack([asset.codes, signal.codes]), axis=1, return_inverse=True)
    earliest = np.full(pairs.shape[1], np.iinfo(np.int64).max)
    np.minimum.at(earliest, row.reshape(-1), times)
    return {
        (asset.names[a], signal.names[s]): time
        for (a, s), time in zip(pairs.T.tolist(), earliest.tolist(), strict=True)
    }


async def _publish(client: Client, line: Line, block: pa.RecordBatch) -> None:
    subject, data = line.subject(Stage.GAPS, _WRITER), to_bytes(block)
    await insist(
        lambda: client.jetstream().publish(subject, data, stream=Stage.GAPS.stream), what=f"Publishing on {subject}"
    )
