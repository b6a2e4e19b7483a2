"""Monitored items of an OPC UA connection: one for every distinct node, however many series are read from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.ua.uaerrors import UaError

from wheeltapper_api.config import SeriesConfig
from wheeltapper_workers.contracts.problems import SeriesProblem
from wheeltapper_workers.contracts.raw import RawBatch
from wheeltapper_workers.sources import opcua_words as words
from wheeltapper_workers.sources.opcua_decode import Changes

_SHAPE: Final = re.compile(r"(ns=\d{1,5};|nsu=[^;]+;)?(i=\d{1,10}|s=.+|g=[0-9A-Fa-f-]{36}|b=.+)", re.DOTALL)
_STALL_NS: Final = 60 * 10**9
"""How long a consumer may stand still before the server has to drop samples, if it grants the queue."""


class NotANodeIdError(ValueError):
    """Text that is no node id. Its text says why."""


@dataclass(slots=True)
class Item:
    """A node to be monitored. ``handle`` is ours, ``server_id`` the server's."""

    address: str
    handle: int
    sampling_ns: int
    series: list[SeriesConfig] = field(default_factory=list)
    node: ua.NodeId | None = None
    error: str | None = None
    """Why ``address`` is no node id; then it is never asked for."""
    server_id: int | None = None
    refused: int = 0
    """The status code by which the server refused it."""
    filtered: bool = True
    """Ask for every new timestamp; off for servers that allow no filter."""
    since_ns: int = 0
    retry_at: float = 0.0


def parse_node(address: str) -> ua.NodeId:
    """Node id of its text form (part 6, 5.3.1.10), with ``ns=`` or ``nsu=``.

    Raises
    ------
    NotANodeIdError
        If it is none.
    """
    if not _SHAPE.fullmatch(address):
        raise NotANodeIdError("it needs an identifier i=, s=, g= or b= after an optional namespace")
    try:
        node = ua.NodeId.from_string(address)
    except UaError as error:
        raise NotANodeIdError("its identifier does not fit its type") from error
    numeric = node.NodeIdType == ua.NodeIdType.Numeric
    if node.NamespaceIndex >= 2**16 or (numeric and int(node.Identifier) >= 2**32):
        raise NotANodeIdError("a number in it is too large")
    return node


class Items:
    """The items wanted, and the way from a notification's handle to rows of series."""

    def __init__(self, sampling_ns: int | None) -> None:
        self._fixed_sampling_ns = sampling_ns
        self._by_address: dict[str, Item] = {}
        self._handles = 0
        self.gone: list[Item] = []
        """Items that are not wanted any more and may still be monitored."""
        self._positions: dict[str, list[int]] = {}
        """Positions of the series read from each address."""
        self._by_position: dict[int, Item] = {}
        self._starts = np.zeros(1, np.int64)
        self._counts = np.zeros(1, np.int64)
        self._rows = np.zeros(0, np.int32)

    def __iter__(self) -> Any:
        return iter(self._by_address.values())

    def __len__(self) -> int:
        return len(self._by_address)

    def want(self, series: Sequence[SeriesConfig], now_ns: int) -> None:
        """Make these the items; those that stay the same keep their place on the server."""
        wanted: dict[str, list[int]] = {}
        for position, one in enumerate(series):
            wanted.setdefault(one.address, []).append(position)
        items = {
            address: self._item(address, [series[one] for one in positions], now_ns)
            for address, positions in wanted.items()
        }
        kept = {id(item) for item in items.values()}
        self.gone += [item for item in self._by_address.values() if id(item) not in kept]
        self._by_address = items
        self._positions = wanted
        self._index()

    def _item(self, address: str, series: list[SeriesConfig], now_ns: int) -> Item:
        fixed = self._fixed_sampling_ns
        # Half the expected interval, so that two clocks drifting past each other skip no value.
        sampling_ns = min(one.interval_ns for one in series) // 2 if fixed is None else fixed
        known = self._by_address.get(address)
        if known is not None and known.sampling_ns == sampling_ns:
            known.series = series
            return known
        self._handles += 1
        item = Item(address, self._handles, sampling_ns, series, since_ns=now_ns)
        try:
            item.node = parse_node(address)
        except NotANodeIdError as error:
            item.error = str(error)
        return item

    def _index(self) -> None:
        rows = {item.handle: self._positions[item.address] for item in self}
        self._by_position = {at: item for item in self for at in self._positions[item.address]}
        self._counts = np.zeros(self._handles + 1, np.int64)
        for handle, positions in rows.items():
            self._counts[handle] = len(positions)
        self._starts = np.cumsum(self._counts) - self._counts
        flat = [position for handle in sorted(rows) for position in rows[handle]]
        self._rows = np.array(flat, np.int32)

    def remembered(self) -> dict[str, list[int]]:
        """What the server monitors, by address: our handle, the server's id, the sampling interval in ns."""
        return {
            item.address: [item.handle, item.server_id, item.sampling_ns] for item in self if item.server_id is not None
        }

    def recall(self, remembered: dict[str, list[int]]) -> None:
        """Take up what the server monitors for an earlier run; what is not wanted any more is deleted there."""
        self._handles = max([self._handles, *(handle for handle, _, _ in remembered.values())])
        for item in self:
            handle, server_id, sampling_ns = remembered.get(item.address, (0, 0, -1))
            if sampling_ns == item.sampling_ns:
                item.handle, item.server_id = handle, server_id
            else:
                self._handles += 1
                item.handle = self._handles
        kept = {item.server_id for item in self}
        self.gone += [
            Item(address, handle, sampling_ns, server_id=server_id)
            for address, (handle, server_id, sampling_ns) in remembered.items()
            if server_id not in kept
        ]
        self._index()

    def forget_server(self) -> None:
        """The server knows none of them any more."""
        self.gone.clear()
        for item in self:
            item.server_id, item.retry_at = None, 0.0

    def of(self, position: int) -> Item | None:
        """Item that the series at a position is read from."""
        return self._by_position.get(position)

    def batch(self, changes: Changes, received_ns: int, resent: npt.NDArray[np.bool_]) -> RawBatch:
        """Rows of series of a notification's rows: a node read for two assets gives two, one no longer wanted none."""
        handle = np.where(changes.handle < len(self._counts), changes.handle, 0).astype(np.int64)
        counts = self._counts[handle]
        total = int(counts.sum())
        row = np.repeat(np.arange(len(handle)), counts)
        within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        series = self._rows[self._starts[handle][row] + within]
        status = changes.status[row]
        text, bursts = changes.text, changes.bursts
        return RawBatch(
            series=series,
            source_time_ns=changes.time_ns[row],
            value=changes.value[row],
            quality=words.quality_of(status),
            status=status,
            received_ns=np.full(total, received_ns, np.int64),
            resent=resent[row],
            lost_before=words.lost_before(status),
            text={at: text[one] for at, one in enumerate(row.tolist()) if one in text} if text else {},
            bursts={at: bursts[one] for at, one in enumerate(row.tolist()) if one in bursts} if bursts else {},
        )

    def problems(self, endpoint: str) -> list[SeriesProblem]:
        """What is wrong with the addresses, one entry a series."""
        found = []
        for item in self:
            for one in item.series if item.error is not None or item.refused else ():
                if item.error is not None:
                    message = words.malformed_address(one, item.error)
                else:
                    message = words.bad_address(one, endpoint, item.refused)
                found.append(SeriesProblem(one.asset, one.signal, "address", message, item.since_ns))
        return found

    @staticmethod
    def queue(item: Item, queue_size: int | None) -> int:
        """Samples the server is asked to keep for an item."""
        if queue_size is not None:
            return queue_size
        return int(np.clip(_STALL_NS // max(item.sampling_ns, 10**7), 10, 1000))
