"""The collector's series as a struct of arrays: what the contract looks up by a series' position."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import CollectorConfig, SeriesConfig
from wheeltapper_api.kinds.assetclass import SignalKind
from wheeltapper_api.wire import Line

_NUMERIC = frozenset({SignalKind.GAUGE, SignalKind.COUNTER})
_CODE_BITS = 32
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class SeriesTable:
    """Contracts by position; every array is [series]. A bound that is not set is infinite."""

    series: tuple[SeriesConfig, ...]
    lines: tuple[Line, ...]
    line: npt.NDArray[np.int32]
    assets: tuple[str, ...]
    asset: npt.NDArray[np.int32]
    signals: tuple[str, ...]
    signal: npt.NDArray[np.int32]
    identity: npt.NDArray[np.uint64]
    """Of line, asset and signal; the same under every list of series."""
    scale: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    lowest: npt.NDArray[np.float64]
    highest: npt.NDArray[np.float64]
    max_rate: npt.NDArray[np.float64]
    numeric: npt.NDArray[np.bool_]
    """Numbers only; text is of the wrong type."""
    waveform: npt.NDArray[np.bool_]
    """Bursts of numbers only."""
    state: npt.NDArray[np.bool_]
    """One of declared states, by name or by code."""
    sample_rate: npt.NDArray[np.float64]
    """Of waveforms, in Hz."""
    any_code: npt.NDArray[np.bool_]
    """No states are declared, so no code is wrong."""
    state_keys: npt.NDArray[np.int64]
    """Declared codes of all series, sorted, as ``state_key`` makes them."""
    max_ahead_ns: int
    max_behind_ns: int

    def __len__(self) -> int:
        return len(self.series)


def state_key(series: npt.NDArray[np.int32], code: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Series and code in one number, so that one sorted array answers for all series. Codes are 32 bits."""
    return (series.astype(np.int64) << _CODE_BITS) | (code & ((1 << _CODE_BITS) - 1))


def series_table(config: CollectorConfig, series: Sequence[SeriesConfig] | None = None) -> SeriesTable:
    """Table of a collector's series, or of others read through the same connection."""
    chosen = tuple(config.series if series is None else series)
    lines, line = _index([one.line for one in chosen])
    assets, asset = _index([one.asset for one in chosen])
    signals, signal = _index([one.signal for one in chosen])
    kinds = [SignalKind(one.kind) for one in chosen]
    return SeriesTable(
        series=chosen,
        lines=lines,
        line=line,
        assets=assets,
        asset=asset,
        signals=signals,
        signal=signal,
        identity=np.array([_identity(one) for one in chosen], np.uint64),
        scale=_floats(one.scale for one in chosen),
        offset=_floats(one.offset for one in chosen),
        lowest=_floats(-np.inf if one.lowest is None else one.lowest for one in chosen),
        highest=_floats(np.inf if one.highest is None else one.highest for one in chosen),
        max_rate=_floats(np.inf if one.max_rate is None else one.max_rate for one in chosen),
        numeric=np.array([kind in _NUMERIC for kind in kinds], np.bool_),
        waveform=np.array([kind is SignalKind.WAVEFORM for kind in kinds], np.bool_),
        state=np.array([kind is SignalKind.STATE for kind in kinds], np.bool_),
        sample_rate=_floats(one.sample_rate or 0.0 for one in chosen),
        any_code=np.array([not one.states for one in chosen], np.bool_),
        state_keys=_state_keys(chosen),
        max_ahead_ns=config.max_ahead_ns,
        max_behind_ns=config.max_behind_ns,
    )


def _identity(one: SeriesConfig) -> int:
    name = f"{one.line.key}/{one.asset}/{one.signal}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")


def _state_keys(series: tuple[SeriesConfig, ...]) -> npt.NDArray[np.int64]:
    pairs = [(position, code) for position, one in enumerate(series) for code in one.states.values()]
    positions = np.array([position for position, _ in pairs], np.int32)
    codes = np.array([code for _, code in pairs], np.int64)
    return np.unique(state_key(positions, codes))


def _index(values: list[T]) -> tuple[tuple[T, ...], npt.NDArray[np.int32]]:
    names = tuple(dict.fromkeys(values))
    position = {name: number for number, name in enumerate(names)}
    return names, np.array([position[value] for value in values], np.int32)


def _floats(values: Iterable[float]) -> npt.NDArray[np.float64]:
    return np.array(list(values), np.float64)
