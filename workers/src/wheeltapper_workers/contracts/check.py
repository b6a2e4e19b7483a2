"""The contract: raw samples in, samples in the class's unit with their quality out. Nothing is dropped silently.

``check`` is a pure function of its state and its batch, and does not depend on how samples were cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wheeltapper_api.wire import UNUSABLE, Line, Quality
from wheeltapper_workers.contracts import repeats, rules
from wheeltapper_workers.contracts.checked import Checked
from wheeltapper_workers.contracts.raw import NO_TIME, RawBatch
from wheeltapper_workers.contracts.state import FLAGS, ContractState
from wheeltapper_workers.contracts.table import SeriesTable, state_key
from wheeltapper_workers.contracts.waveforms import check_burst
from wheeltapper_workers.runtime.blocks import codes, is_waveform, numbers

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint16]


@dataclass(slots=True)
class _Rows:
    """A batch sorted by series, all columns [n]; ``row`` is the position in the batch."""

    row: npt.NDArray[np.int64]
    series: npt.NDArray[np.int32]
    time_ns: npt.NDArray[np.int64]
    untimed: npt.NDArray[np.bool_]
    value: npt.NDArray[np.float64]
    quality: Flags
    status: npt.NDArray[np.uint32]
    received_ns: npt.NDArray[np.int64]
    lost: npt.NDArray[np.bool_]
    resent: npt.NDArray[np.bool_]
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
    rows = _sorted(raw)
    text = _at_rows(raw.text, rows.row, len(raw))
    bursts = _mark_bursts(rows, _at_rows(raw.bursts, rows.row, len(raw)), text, table)
    _mark_kind(rows, text, table)
    _mark_value(rows, {*text, *bursts}, table)
    _mark_clock(rows, table)
    rows.digest = _digests(rows, text, bursts)
    rows, text, bursts = _fresh(rows, text, bursts, state, table)
    _mark_step(rows, table, state)
    ordinal = _ordinals(rows, state)
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


def absorb(state: ContractState, block: pa.RecordBatch, line: Line, table: SeriesTable) -> ContractState:
    """State after samples that are known to be in the stream: what ``check`` would have made of them.

    Parameters
    ----------
    state
        Used up: its arrays are changed in place and returned.
    block
        Of the telemetry stream; rows of series the table does not know are passed over.
    line
        Whose block it is.
    table
    """
    rows, text = _stored(block, line, table)
    state.memory.add(repeats.keys(table.identity[rows.series], rows.time_ns, rows.digest))
    _mark_step(rows, table, state)
    _ordinals(rows, state)
    _remember(state, rows, text)
    return state


def remember(state: ContractState, block: pa.RecordBatch, line: Line, table: SeriesTable) -> None:
    """Know the samples of a block when they come again; the state holds them otherwise."""
    rows, _ = _stored(block, line, table)
    state.memory.add(repeats.keys(table.identity[rows.series], rows.time_ns, rows.digest))


def _stored(block: pa.RecordBatch, line: Line, table: SeriesTable) -> tuple[_Rows, dict[int, str]]:
    """Rows of a block of the stream, as they were before they were judged by their order; and their texts."""
    series = _series_of(block, line, table)
    order = np.argsort(series, kind="stable")
    order = order[series[order] >= 0]
    nothing = np.zeros(len(order), np.bool_)
    rows = _Rows(
        row=order,
        series=series[order],
        time_ns=numbers(block, "source_time")[order],
        value=np.full(len(order), np.nan) if is_waveform(block) else numbers(block, "value")[order],
        quality=numbers(block, "quality")[order] & ~np.uint16(Quality.STEP),
        status=numbers(block, "status")[order],
        received_ns=numbers(block, "received_time")[order],
        untimed=nothing,
        lost=nothing,
        resent=nothing,
        digest=np.zeros(len(order), np.uint64),
    )
    text, bursts = _words_of(block)
    text = _at_rows(text, order, len(block))
    rows.digest = _digests(rows, text, _at_rows(bursts, order, len(block)))
    return rows, text


def _series_of(block: pa.RecordBatch, line: Line, table: SeriesTable) -> npt.NDArray[np.int32]:
    """Position of every row's series, -1 where the table has none."""
    known = {(one.asset, one.signal): at for at, one in enumerate(table.series) if one.line == line}
    asset, signal = codes(block, "asset"), codes(block, "signal")
    pairs, row = np.unique(asset.codes.astype(np.int64) << 32 | signal.codes, return_inverse=True)
    names = [(asset.names[pair >> 32], signal.names[pair & 0xFFFFFFFF]) for pair in pairs.tolist()]
    return np.array([known.get(name, -1) for name in names], np.int32)[row]


def _words_of(block: pa.RecordBatch) -> tuple[dict[int, str], dict[int, Floats]]:
    """Texts and bursts of a block, by row."""
    if is_waveform(block):
        return {}, dict(enumerate(block.column("samples").to_numpy(zero_copy_only=False)))
    text = codes(block, "text")
    return {row: text.names[text.codes[row]] for row in np.flatnonzero(text.codes >= 0).tolist()}, {}


def _sorted(raw: RawBatch) -> _Rows:
    """Rows by series, in each in the order of their arrival; a missing time is that of the receipt."""
    order = np.argsort(raw.series, kind="stable")
    received, time_ns = raw.received_ns[order], raw.source_time_ns[order]
    untimed = time_ns == NO_TIME
    return _Rows(
        row=order,
        series=raw.series[order],
        time_ns=np.where(untimed, received, time_ns),
        untimed=untimed,
        value=raw.value[order],
        quality=raw.quality[order],
        status=raw.status[order],
        received_ns=received,
        lost=raw.lost_before[order],
        resent=raw.resent[order],
        digest=np.zeros(len(order), np.uint64),
    )


def _digests(rows: _Rows, text: dict[int, str], bursts: dict[int, Floats]) -> npt.NDArray[np.uint64]:
    words = {row: one.encode() for row, one in text.items()}
    words |= {row: one.tobytes() for row, one in bursts.items()}
    return rules.digests(rows.value, rows.status, words)


def _fresh(
    rows: _Rows, text: dict[int, str], bursts: dict[int, Floats], state: ContractState, table: SeriesTable
) -> tuple[_Rows, dict[int, str], dict[int, Floats]]:
    """Rows without those that came before and are sent again."""
    keys = repeats.keys(table.identity[rows.series], rows.time_ns, rows.digest)
    again = _again(rows, keys, state) if rows.resent.any() else rows.resent
    if not again.any():
        state.memory.add(keys[np.argsort(rows.row, kind="stable")])
        return rows, text, bursts
    np.add.at(state.duplicates, rows.series[again], 1)
    kept = np.flatnonzero(~again)
    fresh = _Rows(**{one.name: getattr(rows, one.name)[kept] for one in fields(_Rows)})
    state.memory.add(keys[kept][np.argsort(fresh.row, kind="stable")])
    return fresh, _at_rows(text, kept, len(again)), _at_rows(bursts, kept, len(again))


def _again(rows: _Rows, keys: npt.NDArray[np.uint64], state: ContractState) -> npt.NDArray[np.bool_]:
    """Rows that say what was said before: lately by any sample, or by the last one of the series, however long ago."""
    first = rules.first_rows(rows.series)
    last = (
        ~(first & (state.samples[rows.series] == 0))
        & (rows.time_ns == rules.previous(rows.time_ns, first, state.last_time_ns[rows.series]))
        & (rows.digest == rules.previous(rows.digest, first, state.last_digest[rows.series]))
    )
    arrival = np.argsort(rows.row, kind="stable")
    _, earliest, group = np.unique(keys[arrival], return_index=True, return_inverse=True)
    within = np.zeros(len(keys), np.bool_)
    within[arrival] = earliest[group] < np.arange(len(keys))
    again: npt.NDArray[np.bool_] = rows.resent & (last | within | state.memory.knows(keys))
    return again


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


def _mark_clock(rows: _Rows, table: SeriesTable) -> None:
    ahead = rows.time_ns > rows.received_ns + table.max_ahead_ns
    behind = rows.time_ns < rows.received_ns - table.max_behind_ns
    rows.quality |= np.where(ahead | behind, Quality.CLOCK, 0).astype(np.uint16)


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


def _ordinals(rows: _Rows, state: ContractState) -> npt.NDArray[np.uint32]:
    """Counted where the order of time holds. Else made of the content, so that a second delivery is the same sample."""
    believed = np.flatnonzero(rows.quality & np.uint16(Quality.CLOCK) == 0)
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
