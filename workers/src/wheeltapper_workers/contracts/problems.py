"""What is wrong with a series, in words: the status document's part of the contract."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from wheeltapper_api.config import SeriesConfig
from wheeltapper_api.kinds.assetclass import SignalKind
from wheeltapper_api.wire import Quality
from wheeltapper_workers.contracts.state import FLAGS, ContractState
from wheeltapper_workers.contracts.table import SeriesTable

_LOST_FOR_NS: Final = 15 * 60 * 10**9
"""How long a loss at the source stays in the status."""
_TEXT_LIMIT: Final = 40
_UNITS: Final = ((365 * 86_400, "year"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True)
class SeriesProblem:
    """A problem of one signal of one asset."""

    asset: str
    signal: str
    kind: str
    """``address``, ``bad``, ``not-a-number``, ``wrong-type``, ``out-of-range``, ``step``, ``clock``, ``lost`` or
    ``stale``."""
    message: str
    """For people: what, where, and what to do."""
    since_ns: int


def problems(
    state: ContractState,
    now_ns: int,
    table: SeriesTable,
    *,
    known: Collection[tuple[str, str]] = (),
    status_name: Callable[[int], str] = hex,
) -> list[SeriesProblem]:
    """Problems that last now.

    A flag is a problem while the newest sample of its series carries it; what passed is in the counters. UNCERTAIN is
    none: such a sample counts.

    Parameters
    ----------
    now_ns
        Present time, for staleness.
    known
        Asset and signal of series whose source already says why nothing comes: they are not called stale on top.
    status_name
        Name of a protocol's status code.
    """
    found = _flagged(state, table, status_name)
    found += _lossy(state, now_ns, table)
    found += _stale(state, now_ns, table, known)
    return found


def _flagged(state: ContractState, table: SeriesTable, status_name: Callable[[int], str]) -> list[SeriesProblem]:
    return [
        SeriesProblem(
            asset=(series := table.series[position]).asset,
            signal=series.signal,
            kind=str(FLAGS[column].name).lower().replace("_", "-"),
            message=f"{series.asset}/{series.signal}: {_say(FLAGS[column], series, state, position, status_name)}",
            since_ns=int(state.since_ns[position, column]),
        )
        for position, column in np.argwhere(state.since_ns).tolist()
        if FLAGS[column] is not Quality.UNCERTAIN
    ]


def _say(
    flag: Quality, series: SeriesConfig, state: ContractState, position: int, status_name: Callable[[int], str]
) -> str:
    value, text = float(state.last_value[position]), state.last_text.get(position)
    match flag:
        case Quality.BAD:
            name = status_name(int(state.last_status[position]))
            return f"the source itself calls its value bad ({name}). Check the sensor, its wiring and the controller."
        case Quality.NOT_A_NUMBER:
            return "the source delivers no number (NaN or infinite). Check the calculation behind it in the controller."
        case Quality.WRONG_TYPE:
            return _say_wrong_type(series, value, text)
        case Quality.OUT_OF_RANGE:
            bounds = f"{_bound(series.lowest)} to {_bound(series.highest)}"
            return f"{value:g} is outside the contract's range {bounds}. Check the sensor, or the unit of the source."
        case Quality.STEP:
            return (
                f"changed to {value:g} faster than {series.max_rate:g} per second. Check the wiring, or raise maxRate "
                "of the signal if the machine can do that."
            )
        case _:
            return _say_clock(series, int(state.last_time_ns[position]), int(state.last_received_ns[position]))


def _say_wrong_type(series: SeriesConfig, value: float, text: str | None) -> str:
    got = f"{value:g}" if text is None else repr(text[:_TEXT_LIMIT])
    if series.states:
        names = ", ".join(f"{name} ({code})" for name, code in list(series.states.items())[:8])
        return f"got {got}, which is no declared state. Declared are {names}; add it to the signal's states."
    if series.kind is SignalKind.WAVEFORM:
        shape = f"a burst of {series.burst_samples} samples"
        return f"got {got} where {shape} belongs. Bind it to a node with the array, or correct the class's waveform."
    return f"got {got} where a {series.kind} needs a number. Bind it to a numeric node of {series.asset}."


def _say_clock(series: SeriesConfig, time_ns: int, received_ns: int) -> str:
    off = "ahead" if time_ns > received_ns else "behind"
    return (
        f"the clock of {series.asset}/{series.signal} says {_iso(time_ns)}, {_span(abs(time_ns - received_ns))} {off}; "
        "its samples are kept but not used. Set the clock of the server or controller."
    )


def _lossy(state: ContractState, now_ns: int, table: SeriesTable) -> list[SeriesProblem]:
    recent = np.flatnonzero((state.losses > 0) & (state.lost_ns > now_ns - _LOST_FOR_NS))
    return [
        SeriesProblem(
            asset=(series := table.series[position]).asset,
            signal=series.signal,
            kind="lost",
            message=f"{series.asset}/{series.signal}: the source dropped samples because its queue was full, "
            f"{int(state.losses[position])} times so far. Raise queueSize of the connection.",
            since_ns=int(state.lost_ns[position]),
        )
        for position in recent.tolist()
    ]


def _stale(
    state: ContractState, now_ns: int, table: SeriesTable, known: Collection[tuple[str, str]]
) -> list[SeriesProblem]:
    heard = np.maximum(state.last_received_ns, state.started_ns)
    limit = np.array([series.stale_after_ns for series in table.series], np.int64)
    found = []
    for position in np.flatnonzero(now_ns - heard > limit).tolist():
        series, since = table.series[position], int(heard[position])
        if (series.asset, series.signal) in known:
            continue
        never = "nothing has come yet" if not state.samples[position] else f"the last sample came {_iso(since)}"
        message = (
            f"{series.asset}/{series.signal}: no sample for {_span(now_ns - since)}, {never}. "
            f"Check that {series.address} is still updated by the source."
        )
        found.append(SeriesProblem(series.asset, series.signal, "stale", message, since))
    return found


def _bound(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"


def _iso(time_ns: int) -> str:
    # datetime knows the years 1 to 9999 and nanoseconds since 1970 only 1677 to 2262, so this cannot fail.
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // 10**9)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _span(duration_ns: int) -> str:
    seconds = duration_ns // 10**9
    size, unit = next((one for one in _UNITS if seconds >= 2 * one[0]), _UNITS[-1])
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"
