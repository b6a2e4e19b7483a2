"""The contract: raw samples in, samples in the class's unit with their quality out. Nothing is dropped silently.

``check`` is a pure function of its state and its batch, and does not depend on how samples were cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.wire import UNUSABLE, Line, Quality, Stage
from wheeltapper_workers.contracts import rules
from wheeltapper_workers.contracts.raw import NO_TIME, RawBatch
from wheeltapper_workers.contracts.state import FLAGS, ContractState
from wheeltapper_workers.contracts.table import SeriesTable, state_key
from wheeltapper_workers.contracts.waveforms import check_burst, encode_bursts
from wheeltapper_workers.runtime.blocks import WAVEFORMS, batch_of, encode_names, encode_times, make_batch

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Checked:
    """Samples in the order of their arrival, [n]; repeated ones are left out."""

    series: npt.NDArray[np.int32]
    source_time_ns: npt.NDArray[np.int64]
    ordinal: npt.NDArray[np.uint32]
    value: npt.NDArray[np.float64]
    """In the class's unit; a state's code; NaN for text."""
    quality: Flags
    status: npt.NDArray[np.uint32]
    received_ns: npt.NDArray[np.int64]
    text: dict[int, str]
    bursts: dict[int, Floats]
    """Samples of the rows that are bursts, in the class's unit."""

    def __len__(self) -> int:
        return len(self.series)

    def blocks(self, table: SeriesTable) -> list[tuple[Line, pa.RecordBatch]]:
        """Blocks of each line that has samples: bursts, and then plain samples.

        Plain samples move the time of their asset; bursts of the same delivery would be late behind them.
        """
        bursts = np.zeros(len(self), np.bool_)
        bursts[list(self.bursts)] = True
        of_line = table.line[self.series]
        found = []
        for line in np.unique(of_line).tolist():
            own = of_line == line
            plain, waves = np.flatnonzero(own & ~bursts), np.flatnonzero(own & bursts)
            if len(waves):
                found.append((table.lines[line], self._waveforms(table, waves)))
            if len(plain):
                found.append((table.lines[line], self._plain(table, None if len(plain) == len(self) else plain)))
        return found

    def _plain(self, table: SeriesTable, rows: npt.NDArray[np.int64] | None) -> pa.RecordBatch:
        chosen: Any = slice(None) if rows is None else rows
        columns = {"value": pa.array(self.value[chosen]), "text": self._texts(rows)}
        return make_batch(Stage.TELEMETRY, self._common(table, chosen) | columns)

    def _waveforms(self, table: SeriesTable, rows: npt.NDArray[np.int64]) -> pa.RecordBatch:
        samples = encode_bursts([self.bursts[row] for row in rows.tolist()])
        columns = {"sample_rate": table.sample_rate[self.series[rows]], "samples": samples}
        return batch_of(WAVEFORMS, self._common(table, rows) | columns)

    def _common(self, table: SeriesTable, chosen: Any) -> dict[str, Any]:
        series = self.series[chosen]
        return {
            "asset": _names(table.assets, table.asset[series]),
            "signal": _names(table.signals, table.signal[series]),
            "source_time": encode_times(self.source_time_ns[chosen]),
            "ordinal": self.ordinal[chosen],
            "quality": self.quality[chosen],
            "status": self.status[chosen],
            "received_time": encode_times(self.received_ns[chosen]),
        }

    def _texts(self, rows: npt.NDArray[np.int64] | None) -> pa.DictionaryArray:
        names = tuple(dict.fromkeys(self.text.values()))
        position = {name: number for number, name in enumerate(names)}
        index = np.full(len(self), -1, np.int32)
        for row, text in self.text.items():
            index[row] = position[text]
        return _names(names, index if rows is None else index[rows])


def _names(names: tuple[str, ...], index: npt.NDArray[np.int32]) -> pa.DictionaryArray:
    """Dictionary column that carries only the names it uses: a connection may know thousands."""
    used = np.unique(index[index >= 0])
    if len(used) == len(names):
        return encode_names(names, index)
    compact = np.full(len(names) + 1, -1, np.int32)
    compact[used] = np.arange(len(used))
    return encode_names([names[position] for position in used.tolist()], compact[index])


@dataclass(slots=True)
class _Rows:
    """A batch sorted by series; ``row`` is the position in the batch."""

    row: npt.NDArray[np.int64]
    series: npt.NDArray[np.int32]
    time_ns: npt.NDArray[np.int64]
    untimed: npt.NDArray[np.bool_]
    value: npt.NDArray[np.float64]
    quality: Flags
    status: npt.NDArray[np.uint32]
    received_ns: npt.NDArray[np.int64]
    lost: npt.NDArray[np.bool_]
    digest: npt.NDArray[np.uint64]


def check(state: ContractState, raw: RawBatch, table: SeriesTable) -> tuple[ContractState, Checked]:
    """Apply the contracts to a batch.

    Parameters
    ----------
    state
        Used up: its arrays are changed in place and returned.
    raw
        Samples in the order of their arrival.
    table
        Contracts; ``state`` and ``raw`` use its positions.

    Returns
    -------
    tuple
        Next state; samples with value, ordinal and quality.
    """
    rows = _take(state, raw)
    text = _at_rows(raw.text, rows.row, len(raw))
    bursts = _mark_bursts(rows, _at_rows(raw.bursts, rows.row, len(raw)), text, table)
    _mark_kind(rows, text, table)
    _mark_value(rows, {*text, *bursts}, table)
    clock = _mark_clock(rows, table)
    _mark_step(rows, table, state)
    ordinal = _ordinals(rows, clock, state)
    _remember(state, rows, text)
    arrival = np.argsort(rows.row, kind="stable")
    back = np.empty_like(arrival)
    back[arrival] = np.arange(len(arrival))
    return state, Checked(
        series=rows.series[arrival],
        source_time_ns=rows.time_ns[arrival],
        ordinal=ordinal[arrival],
        value=rows.value[arrival],
        quality=rows.quality[arrival],
        status=rows.status[arrival],
        received_ns=rows.received_ns[arrival],
        text={int(back[position]): one for position, one in text.items()},
        bursts={int(back[position]): one for position, one in bursts.items()},
    )


def _take(state: ContractState, raw: RawBatch) -> _Rows:
    """Sort, fill in missing times, and leave out what came before and comes again with a new subscription."""
    order = np.argsort(raw.series, kind="stable")
    series = raw.series[order]
    received = raw.received_ns[order]
    time_ns = raw.source_time_ns[order]
    untimed = time_ns == NO_TIME
    time_ns = np.where(untimed, received, time_ns)
    words = {row: one.encode() for row, one in raw.text.items()} | {row: a.tobytes() for row, a in raw.bursts.items()}
    digest = rules.digests(raw.value, raw.status, words)[order]
    first = rules.first_rows(series)
    again = (
        raw.initial[order]
        & ~(first & (state.samples[series] == 0))
        & (time_ns == rules.previous(time_ns, first, state.last_time_ns[series]))
        & (digest == rules.previous(digest, first, state.last_digest[series]))
    )
    np.add.at(state.duplicates, series[again], 1)
    kept = slice(None) if not again.any() else ~again
    return _Rows(
        row=order[kept],
        series=series[kept],
        time_ns=time_ns[kept],
        untimed=untimed[kept],
        value=raw.value[order][kept],
        quality=raw.quality[order][kept],
        status=raw.status[order][kept],
        received_ns=received[kept],
        lost=raw.lost_before[order][kept],
        digest=digest[kept],
    )


def _at_rows(values: dict[int, T], row: npt.NDArray[np.int64], count: int) -> dict[int, T]:
    """Values of a batch's rows, by their position among the sorted ones; of rows left out there are none."""
    if not values:
        return {}
    position = np.full(count, -1, np.int64)
    position[row] = np.arange(len(row))
    return {int(position[one]): value for one, value in values.items() if position[one] >= 0}


def _mark_bursts(
    rows: _Rows, raw: dict[int, npt.NDArray[Any]], text: dict[int, str], table: SeriesTable
) -> dict[int, Floats]:
    """Bursts of waveforms with their flags; elsewhere an array is of the wrong type and told in words."""
    bursts = {}
    for position, samples in raw.items():
        series = int(rows.series[position])
        if table.waveform[series]:
            burst = check_burst(samples, series, table)
            bursts[position] = burst.samples
            rows.quality[position] |= np.uint16(burst.quality)
            if burst.quality & Quality.WRONG_TYPE:
                text[position] = f"array of {samples.size} numbers"
        else:
            text[position] = f"array of {samples.size} numbers"
            rows.quality[position] |= np.uint16(Quality.WRONG_TYPE)
    wrong = table.waveform[rows.series] & (rows.quality & np.uint16(Quality.BAD) == 0)
    wrong[list(bursts)] = False
    rows.quality |= np.where(wrong, Quality.WRONG_TYPE, 0).astype(np.uint16)
    return bursts


def _mark_kind(rows: _Rows, text: dict[int, str], table: SeriesTable) -> None:
    """Text to codes of states; WRONG_TYPE for what a kind cannot be."""
    wrong = np.zeros(len(rows.row), np.bool_)
    for position, one in text.items():
        series = int(rows.series[position])
        code = table.series[series].states.get(one) if table.state[series] else None
        wrong[position] = table.numeric[series] or (code is None and bool(table.state[series]))
        rows.value[position] = np.nan if code is None else code
    states = np.flatnonzero(table.state[rows.series] & ~table.any_code[rows.series] & ~np.isnan(rows.value))
    if len(states):
        value = rows.value[states]
        whole = (value == np.floor(value)) & (np.abs(value) < 2**31)
        keys = state_key(rows.series[states], np.where(whole, value, 0).astype(np.int64))
        wrong[states] |= ~(whole & np.isin(keys, table.state_keys))
    rows.quality = np.where(wrong, rows.quality | np.uint16(Quality.WRONG_TYPE), rows.quality)


def _mark_value(rows: _Rows, otherwise: set[int], table: SeriesTable) -> None:
    """To the class's unit; NOT_A_NUMBER, unless the row says something otherwise or the source calls it bad anyway."""
    numeric = table.numeric[rows.series]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = rows.value * table.scale[rows.series] + table.offset[rows.series]
    rows.value = np.where(numeric, scaled, rows.value)
    outside = (rows.value < table.lowest[rows.series]) | (rows.value > table.highest[rows.series])
    finite = np.isfinite(rows.value)
    outside &= numeric & finite
    rows.quality |= np.where(outside, Quality.OUT_OF_RANGE, 0).astype(np.uint16)
    silent = ~finite & (rows.quality & np.uint16(Quality.BAD) == 0)
    silent[list(otherwise)] = False
    rows.quality |= np.where(silent, Quality.NOT_A_NUMBER, 0).astype(np.uint16)


def _mark_clock(rows: _Rows, table: SeriesTable) -> npt.NDArray[np.bool_]:
    ahead = rows.time_ns > rows.received_ns + table.max_ahead_ns
    behind = rows.time_ns < rows.received_ns - table.max_behind_ns
    clock: npt.NDArray[np.bool_] = ahead | behind
    rows.quality |= np.where(clock, Quality.CLOCK, 0).astype(np.uint16)
    return clock


def _mark_step(rows: _Rows, table: SeriesTable, state: ContractState) -> None:
    limited = table.numeric[rows.series] & np.isfinite(table.max_rate[rows.series]) & np.isfinite(rows.value)
    judged = np.flatnonzero(limited & (rows.quality & np.uint16(UNUSABLE) == 0))
    if len(judged):
        fast = rules.too_fast(
            rows.series[judged],
            rows.time_ns[judged],
            rows.value[judged],
            table.max_rate,
            state.good_time_ns,
            state.good_value,
        )
        rows.quality[judged[fast]] |= np.uint16(Quality.STEP)


def _ordinals(rows: _Rows, clock: npt.NDArray[np.bool_], state: ContractState) -> npt.NDArray[np.uint32]:
    """Counted where the order of time holds. Else made of the content, so that a second delivery is the same sample."""
    believed = np.flatnonzero(~clock)
    ordinal = np.full(len(rows.row), -1, np.int64)
    ordinal[believed], state.newest_ns, state.newest_ordinal = rules.ordinals(
        rows.series[believed], rows.time_ns[believed], state.newest_ns, state.newest_ordinal
    )
    content = rules.CONTENT_ORDINAL | (rows.digest >> np.uint64(33)).astype(np.int64)
    return np.where(ordinal < 0, content, ordinal).astype(np.uint32)


def _remember(state: ContractState, rows: _Rows, text: dict[int, str]) -> None:
    if not len(rows.row):
        return
    series = rows.series
    first = rules.first_rows(series)
    last = np.flatnonzero(np.append(first[1:], True))
    present = series[last]
    _remember_flags(state, rows, np.flatnonzero(first), present)
    state.samples[present] += np.diff(np.append(np.flatnonzero(first), len(series)))
    state.last_time_ns[present] = rows.time_ns[last]
    state.last_received_ns[present] = rows.received_ns[last]
    state.last_value[present] = rows.value[last]
    state.last_quality[present] = rows.quality[last]
    state.last_status[present] = rows.status[last]
    state.last_digest[present] = rows.digest[last]
    np.add.at(state.untimed, series[rows.untimed], 1)
    np.add.at(state.losses, series[rows.lost], 1)
    state.lost_ns[series[rows.lost]] = rows.received_ns[rows.lost]
    if text or state.last_text:
        for row, one in zip(last.tolist(), present.tolist(), strict=True):
            if row in text:
                state.last_text[one] = text[row]
            else:
                state.last_text.pop(one, None)


def _remember_flags(
    state: ContractState, rows: _Rows, starts: npt.NDArray[np.int64], present: npt.NDArray[np.int32]
) -> None:
    """Count the flags, and note since when each has been there without a break."""
    seen = int(np.bitwise_or.reduce(rows.quality)) | int(np.bitwise_or.reduce(state.last_quality[present]))
    number = np.arange(len(rows.row))
    for column, flag in enumerate(FLAGS):
        if not seen & flag:
            continue
        flagged = rows.quality & np.uint16(flag) != 0
        np.add.at(state.counts[:, column], rows.series[flagged], 1)
        free = np.maximum.reduceat(np.where(flagged, -1, number), starts)
        ends = np.append(starts[1:], len(number))
        begin = np.minimum(np.where(free < 0, starts, free + 1), len(number) - 1)
        since = state.since_ns[present, column]
        fresh = (free >= 0) | (since == 0)
        since = np.where(fresh, rows.received_ns[begin], since)
        state.since_ns[present, column] = np.where(free + 1 == ends, 0, since)
