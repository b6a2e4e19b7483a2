"""A server's history as a batch: what it measured while nobody listened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError

from wheeltapper_workers.contracts.raw import RawBatch
from wheeltapper_workers.sources import opcua_words as words
from wheeltapper_workers.sources.base import History
from wheeltapper_workers.sources.opcua_decode import Changes
from wheeltapper_workers.sources.opcua_session import Session

_NODES: Final = 50
"""Asked for with one request."""
_PAGES: Final = 1_000
"""Of one request at most: a server that goes on for ever is not believed."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Part = tuple[int, Changes]


async def read_history(
    session: Session,
    nodes: Sequence[ua.NodeId | None],
    series: npt.NDArray[np.int32],
    since_ns: npt.NDArray[np.int64],
    until_ns: int,
    now: Callable[[], int],
) -> History:
    """History of nodes, each from its own time on, as rows of their series.

    It is complete where it begins with the very sample that is known: a history that begins later, or was thinned out,
    proves nothing.

    Raises
    ------
    OSError, TimeoutError, MalformedError
        If the server cannot be asked. A server that has no history, or none of a node, has answered.
    """
    parts: list[Part] = []
    for start in range(0, len(nodes), _NODES):
        chosen = range(start, min(start + _NODES, len(nodes)))
        parts += await _read(session, nodes, chosen, int(since_ns[list(chosen)].min()), until_ns)
    complete = np.zeros(len(nodes), np.bool_)
    kept: list[tuple[int, Changes, npt.NDArray[np.int64]]] = []
    for at, found in parts:
        rows = np.flatnonzero((found.time_ns >= since_ns[at]) & (found.time_ns <= until_ns))
        complete[at] |= bool((found.time_ns == since_ns[at]).any())
        kept.append((at, found, rows))
    return History(_batch(kept, series, now()), complete)


async def _read(
    session: Session, nodes: Sequence[ua.NodeId | None], chosen: range, since_ns: int, until_ns: int
) -> list[Part]:
    """Every page of some nodes."""
    parts: list[Part] = []
    left: list[tuple[int, bytes | None]] = [(at, None) for at in chosen]
    since, until = _time(since_ns), _time(until_ns + 1_000)
    for _ in range(_PAGES):
        try:
            found = await session.history([nodes[at] for at, _ in left], since, until, [page for _, page in left])
        except UaStatusCodeError:
            return parts  # it has no such service, or does not let us use it
        parts += [(at, one.values) for (at, _), one in zip(left, found, strict=True) if one.status >> 30 < 2]
        left = [(at, one.continuation) for (at, _), one in zip(left, found, strict=True) if one.continuation]
        if not left:
            break
    return parts


def _time(nanoseconds: int) -> datetime:
    """Time for the wire, which the library cuts to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1_000)


def _batch(
    parts: Sequence[tuple[int, Changes, npt.NDArray[np.int64]]], series: npt.NDArray[np.int32], received_ns: int
) -> RawBatch:
    def column(take: Callable[[Changes], npt.NDArray[Any]], kind: Any) -> npt.NDArray[Any]:
        return np.concatenate([np.empty(0, kind), *(take(found)[rows] for _, found, rows in parts)])

    time_ns = column(lambda found: found.time_ns, np.int64)
    # In the order of time, as it would have come: one series after the other would be late against the others.
    order = np.argsort(time_ns, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    starts = np.cumsum([0, *(len(rows) for _, _, rows in parts)])
    text: dict[int, str] = {}
    bursts: dict[int, npt.NDArray[Any]] = {}
    for begin, (_, found, rows) in zip(starts.tolist(), parts, strict=False):
        for number, row in enumerate(rows.tolist()) if found.text or found.bursts else ():
            if row in found.text:
                text[int(place[begin + number])] = found.text[row]
            if row in found.bursts:
                bursts[int(place[begin + number])] = found.bursts[row]
    status = column(lambda found: found.status, np.uint32)[order]
    which = np.concatenate([np.empty(0, np.int32), *(np.full(len(rows), series[at]) for at, _, rows in parts)])
    return RawBatch(
        series=which[order].astype(np.int32),
        source_time_ns=time_ns[order],
        value=column(lambda found: found.value, np.float64)[order],
        quality=words.quality_of(status),
        status=status,
        received_ns=np.full(len(order), received_ns, np.int64),
        resent=np.ones(len(order), np.bool_),
        lost_before=np.zeros(len(order), np.bool_),
        text=text,
        bursts=bursts,
    )
