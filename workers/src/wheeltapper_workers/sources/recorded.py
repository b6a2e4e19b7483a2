"""History from a file, through the same contracts and the same steps as live data.

Values are as the source would deliver them. Since nobody wrote down when they arrived, they count as received when they
were measured. Where there is data already, what is stored is left out, and what is older than it comes late: it
corrects history.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from wheeltapper_api.config import CollectorConfig
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_INPUT, Line, Stage
from wheeltapper_workers.contracts.check import check, remember
from wheeltapper_workers.contracts.raw import RawBatch, raw_batch
from wheeltapper_workers.contracts.state import ContractState, initial
from wheeltapper_workers.contracts.table import SeriesTable, series_table
from wheeltapper_workers.history.known_samples import KnownSamples
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.fenced import Fenced, FencedWriter
from wheeltapper_workers.runtime.jetstream import insist
from wheeltapper_workers.sources.recorded_file import Piece, RecordingError, pieces

WRITER: Final = "backfill"
_LOOK_SECONDS: Final = 0.5
_STORED_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What came of a file."""

    rows: int
    unknown: int
    """Rows of assets or signals that are not configured."""
    repeated: int
    """Rows that are stored already; of a line that has data, also those that came twice in the file."""
    last_sequence: dict[Line, int]
    """Stream sequence of the last block of each line."""


async def backfill(
    client: Client,
    collectors: list[CollectorConfig],
    path: Path,
    known: KnownSamples,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Backfilled:
    """Write a file of history into the telemetry stream; given again, after a crash or without need, it adds the rest.

    Parameters
    ----------
    known
        What is stored already.
    progress
        Called with rows done and rows in all.

    Raises
    ------
    RecordingError
        If the file cannot be read, what came before it does not get stored, or another file is being written.
    """
    total, parts = pieces(path)
    filler = _Filler(client, _table(collectors), known)
    await filler.open()
    done = unknown = 0
    for part in parts:
        sent = await filler.write(part)
        done, unknown = done + len(part), unknown + len(part) - sent
        progress(done, max(total, done))
    progress(done, done)
    return Backfilled(done, unknown, int(filler.state.duplicates.sum()), filler.last_sequence)


class _Filler:
    """Brings the rows of a file into the stream."""

    def __init__(self, client: Client, table: SeriesTable, known: KnownSamples) -> None:
        self._client, self._table, self._known = client, table, known
        self._index = {(s.asset, s.signal): position for position, s in enumerate(table.series)}
        self._writers: dict[Line, FencedWriter] = {}
        self._filled: set[Line] = set()
        """Lines that had data before."""
        self.state: ContractState = initial(table, time.time_ns())

    @property
    def last_sequence(self) -> dict[Line, int]:
        """Stream sequence of the last block of each line."""
        return {line: writer.last_sequence for line, writer in self._writers.items()}

    async def open(self) -> None:
        """Learn of every line what is in the stream, and wait until it is stored."""
        for line in self._table.lines:
            writer = FencedWriter(self._client, Stage.TELEMETRY.stream, line.subject(Stage.TELEMETRY, WRITER))
            await writer.open()
            self._writers[line] = writer
            last = await self._last_block(line)
            await self._stored(line, last)
            if last or await asyncio.to_thread(self._known.last_block, line):
                self._filled.add(line)
                for series, newest in (await asyncio.to_thread(self._known.newest, line)).items():
                    if series in self._index:
                        self.state.newest_ns[self._index[series]] = newest

    async def write(self, part: Piece) -> int:
        """Write rows; returns how many are of configured series."""
        raw = self._raw(part)
        for line in self._filled:
            await asyncio.to_thread(self._remember, line, raw)
        self.state, checked = check(self.state, raw, self._table)
        for line, block in checked.blocks(self._table):
            writer = self._writers[line]
            number = int(writer.last_input.partition(":")[0] or 0) + 1
            try:
                await writer.write(to_bytes(block), {HEADER_INPUT: f"{number}:0", HEADER_GENERATION: ""})
            except Fenced as error:
                raise RecordingError(
                    "Another backfill is under way; when it has ended, give this file again: what it has brought so "
                    "far is left out"
                ) from error
        return len(raw)

    def _remember(self, line: Line, raw: RawBatch) -> None:
        """Know those of a line's rows that are stored."""
        table = self._table
        own = np.flatnonzero(table.line[raw.series] == table.lines.index(line))
        series = [table.series[position] for position in raw.series[own].tolist()]
        assets, signals = [one.asset for one in series], [one.signal for one in series]
        for block in self._known.at(line, assets, signals, raw.source_time_ns[own]):
            remember(self.state, block, line, table)

    def _raw(self, part: Piece) -> RawBatch:
        index = [[self._index.get((asset, signal), -1) for signal in part.signals] for asset in part.assets]
        lookup = np.array(index, np.int64).reshape(len(part.assets), len(part.signals))
        series = lookup[part.asset, part.signal]
        rows = np.flatnonzero(series >= 0)
        place = {int(row): position for position, row in enumerate(rows)} if part.text else {}
        text = {place[row]: said for row, said in part.text.items() if row in place}
        times = part.time_ns[rows]
        # A row may be there already only where anything is.
        again = np.isin(self._table.line[series[rows]], [self._table.lines.index(line) for line in self._filled])
        return raw_batch(series[rows], times, part.value[rows], times, text=text, resent=again)

    async def _last_block(self, line: Line) -> int:
        """Sequence of the last telemetry block of a line, 0 if there is none."""
        jetstream = self._client.jetstream()
        info = await insist(
            lambda: jetstream.stream_info(Stage.TELEMETRY.stream, subjects_filter=line.filter(Stage.TELEMETRY)),
            what="Looking at the telemetry stream",
        )
        last = 0
        for subject in set(info.state.subjects or {}) - {line.subject(Stage.TELEMETRY, "tick")}:
            try:
                message = await jetstream.get_last_msg(Stage.TELEMETRY.stream, subject)
            except NotFoundError:
                continue
            last = max(last, message.seq or 0)
        return last

    async def _stored(self, line: Line, block: int) -> None:
        """Wait until a block is stored: what is only in the stream would be added a second time."""
        deadline = time.monotonic() + _STORED_SECONDS
        while await asyncio.to_thread(self._known.last_block, line) < block:
            if time.monotonic() > deadline:
                raise RecordingError(
                    f"What {line.plant}/{line.asset_class} has sent is not stored yet, so nobody can tell what of the "
                    "file is new; see that the historian runs, and try again"
                )
            await asyncio.sleep(_LOOK_SECONDS)


def _table(collectors: list[CollectorConfig]) -> SeriesTable:
    """Series of all collectors, with a clock that believes the past."""
    series = [series for collector in collectors for series in collector.series]
    if not series:
        raise RecordingError("No twin has a signal, so there is nothing to fill; bind signals first")
    everything = collectors[0].model_copy(update={"series": series, "max_behind_ns": time.time_ns()})
    return series_table(everything)
