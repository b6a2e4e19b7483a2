"""What the tables have of one asset: samples, and revisions of features and scores. Only what is asked for is read.

Times that are asked for are nanoseconds; tables hold microseconds, so bounds are widened to whole ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from wheeltapper_api.wire import UNUSABLE, Line, Quality
from wheeltapper_workers.history.late.in_order import nanoseconds, times_of
from wheeltapper_workers.history.late.lateness import Rules
from wheeltapper_workers.history.revisions import KEYS, is_live, newest
from wheeltapper_workers.history.stored import of_line
from wheeltapper_workers.history.tables import SCHEMAS, TIME, Store

I64 = npt.NDArray[np.int64]

_HOUR_NS: Final = 3600 * 10**9
_SPANS_NS: Final = (_HOUR_NS, 24 * _HOUR_NS, 30 * 24 * _HOUR_NS)
"""How far to look for the next row of something rare, before all there is is looked through."""


class AssetHistory:
    """Rows of one asset, as the tables are now.

    Parameters
    ----------
    last
        Telemetry block behind which no samples are looked at, so that the same question has the same answer later.
    before_reading
        Called before anything is read; what it raises ends the work.
    """

    def __init__(
        self, store: Store, line: Line, asset: str, last: int, before_reading: Callable[[], None] = lambda: None
    ) -> None:
        self._before_reading = before_reading
        self._of_asset = of_line(line) & (pc.field("asset") == asset)
        self._last = last
        self._tables = {name: store.dataset(line.tenant, name) for name in ("raw", "features", "scores")}

    def raw(self, rules: Rules, first: int, last: int) -> pa.Table:
        """Samples that matter to windows that end from ``first`` to ``last``, and those that tell whether they are.

        Of a signal whose value holds the last usable sample before is among them, however old.
        """
        begin = first - max(rules.reach_ns, rules.silence_ns) - rules.every_ns
        own = self._samples(_between("source_time", begin, last + rules.silence_ns))
        held = [self._held(signal, begin) for signal, holds in rules.signals.items() if holds]
        return pa.concat_tables([own, *held], promote_options="default")

    def next_usable(self, signal: str, after: int) -> int | None:
        """Time of the next usable sample of a signal; None if there is none yet."""
        of_signal = (pc.field("signal") == signal) & _usable()
        for where in _ahead("source_time", after):
            times = times_of(self._samples(of_signal & where, ("source_time", "source_nanos")))
            times = times[times > after]
            if len(times):
                return int(times.min())
        return None

    def newest(self, table: str, first: int, last: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Newest revisions of the rows whose windows end from ``first`` to ``last``, in order of time."""
        keys = [key for key in KEYS[table] if key not in ("plant", "class", "asset")]
        keys.reverse()  # by window first
        return newest(self.revisions(table, first, last, columns), keys)

    def revisions(self, table: str, first: int, last: int, columns: Sequence[str] | None = None) -> pa.Table:
        """All revisions of such rows, in any order."""
        return self._read(table, _between("window_end", first, last), columns)

    def ends(self) -> I64:
        """Ends of all windows that have features, in order."""
        found = nanoseconds(self._read("features", pc.scalar(True), ("window_end",))["window_end"])
        return np.unique(found)

    def last_before(self, first: int, columns: Sequence[str], memory_ns: int) -> pa.Table:
        """Newest revisions of features before a window: the last row, and all within a time before the window."""
        rows = SCHEMAS["features"].empty_table()
        for where in _back("window_end", first, memory_ns):
            rows = newest(self._read("features", where, columns), ("window_end",))
            if rows.num_rows:
                break
        return rows

    def generation(self, at: int) -> str | None:
        """Config generation of the next live features from a window on, or else of the last ones before it."""
        for direction, order in ((_ahead, "ascending"), (_back, "descending")):
            for where in direction("window_end", at):
                rows = self._read("features", where, ("generation",), live=True).sort_by([("window_end", order)])
                if rows.num_rows:
                    found: str = rows["generation"][0].as_py()
                    return found
        return None

    def _held(self, signal: str, before: int) -> pa.Table:
        of_signal = (pc.field("signal") == signal) & _believed()
        rows = SCHEMAS["raw"].empty_table()
        for where in _back("source_time", before):
            rows = self._samples(of_signal & where)
            usable = pc.equal(pc.bit_wise_and(rows["quality"], UNUSABLE), 0)
            times = times_of(rows)[np.asarray(usable)]
            if len(times):
                return rows.filter(pa.array(times_of(rows) >= times.max()))
        return rows

    def _samples(self, where: pc.Expression, columns: Sequence[str] | None = None) -> pa.Table:
        return self._read("raw", where & (pc.field("block_sequence") <= self._last), columns)

    def _read(self, table: str, where: pc.Expression, columns: Sequence[str] | None, *, live: bool = False) -> pa.Table:
        self._before_reading()
        dataset = self._tables[table]
        if dataset is None:
            return SCHEMAS[table].empty_table()
        if live:
            where &= is_live(dataset.schema)
        return dataset.to_table(columns=_there(dataset, columns), filter=self._of_asset & where)


def _there(dataset: pads.Dataset, columns: Sequence[str] | None) -> list[str] | None:
    """Columns that a file may lack, without those that no file has; what orders revisions is among them."""
    if columns is None:
        return None
    wanted = dict.fromkeys((*columns, "window_end", "block_sequence", "revision"))
    return [name for name in wanted if name in dataset.schema.names]


def _us(time_ns: int) -> pa.Scalar:
    return pa.scalar(time_ns // 1000, TIME)


def _between(column: str, first: int, last: int) -> pc.Expression:
    """Rows from one time to another; by day, too, since that is how files are divided."""
    days = pc.field("day") >= (_us(first).as_py() - timedelta(days=1)).date()
    days &= pc.field("day") <= (_us(last).as_py() + timedelta(days=1)).date()
    return days & (pc.field(column) >= _us(first)) & (pc.field(column) <= _us(last))


def _back(column: str, before: int, least: int = 0) -> Iterator[pc.Expression]:
    """Filters for rows before a time, each reaching further back, the last one to the beginning."""
    end = pc.field(column) < _us(before)
    for span in _SPANS_NS:
        yield _between(column, before - max(span, least), before) & end
    yield end


def _ahead(column: str, after: int) -> Iterator[pc.Expression]:
    """Filters for rows from a time on, each reaching further, the last one to the end."""
    for span in _SPANS_NS:
        yield _between(column, after, after + span)
    yield pc.field(column) >= _us(after)


def _usable() -> pc.Expression:
    return pc.bit_wise_and(pc.field("quality"), pa.scalar(UNUSABLE, pa.int32())) == 0


def _believed() -> pc.Expression:
    return pc.bit_wise_and(pc.field("quality"), pa.scalar(int(Quality.CLOCK), pa.int32())) == 0
