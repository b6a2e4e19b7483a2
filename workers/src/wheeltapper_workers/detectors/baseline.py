"""Learned baselines: what is healthy for one machine, apart for every operating mode and load band.

While a machine learns, a reservoir holds an even sample of its windows; when it has seen enough, median and median
absolute deviation (MAD) of the sample become the baseline and stay: a baseline that went on learning would follow the
failure it is meant to show. Everything is arrays over assets, and every function returns a new state.

The reservoir is a function of the sequence of windows alone: of the windows of an (asset, mode) numbered 0, 1, 2 ...,
it holds those whose number is a multiple of the stride, the smallest power of two for which they fit. So nothing
depends on how windows were cut into blocks, and a replay learns the same baseline to the bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Truths = NDArray[np.bool_]

CAPACITY: Final = 256
"""Windows a reservoir holds: a median of 256 has a standard error of 8 % of the spread, of 128 (just thinned) 11 %."""

SIGMA_PER_MAD: Final = 1.4826
"""Makes the MAD of Gaussian values estimate their standard deviation (Rousseeuw and Croux 1993)."""

_NONE_NS: Final = np.iinfo(np.int64).min
"""Stands for no time yet."""

_LAYOUT: Final[dict[str, tuple[str, type]]] = {
    "reservoir": ("NMFK", np.float64),
    "seen": ("NM", np.int64),
    "good": ("NMF", np.int64),
    "first_ns": ("N", np.int64),
    "last_ns": ("N", np.int64),
    "center": ("NMF", np.float64),
    "spread": ("NMF", np.float64),
    "frozen": ("NM", np.bool_),
}


@dataclass(frozen=True, slots=True)
class BaselineState:
    """Baselines of N assets in M modes for F inputs, learned or being learned. Its arrays are never written to."""

    reservoir: Floats
    """[N, M, F, K]: sampled values; slot k holds window number k times the stride. NaN where there is no good value."""
    seen: Integers
    """[N, M]: windows learned from."""
    good: Integers
    """[N, M, F]: how many of them had a good value."""
    first_ns: Integers
    """[N]: end of the first window in which every input was good, event time."""
    last_ns: Integers
    """[N]: end of the newest such window."""
    center: Floats
    """[N, M, F]: median, in the input's unit; NaN while not frozen."""
    spread: Floats
    """[N, M, F]: robust standard deviation, in the input's unit; NaN while not frozen."""
    frozen: Truths
    """[N, M]: the baseline is learned and final."""

    @classmethod
    def empty(cls, assets: int, modes: int, inputs: int, capacity: int = CAPACITY) -> Self:
        """Return the state of assets of which nothing is known."""
        sizes = {"N": assets, "M": modes, "F": inputs, "K": capacity}
        blank = {np.float64: np.nan, np.int64: 0, np.bool_: False}
        arrays: dict[str, NDArray[Any]] = {
            name: np.full([sizes[axis] for axis in axes], blank[dtype], dtype=dtype)
            for name, (axes, dtype) in _LAYOUT.items()
        }
        arrays["first_ns"][:] = arrays["last_ns"][:] = _NONE_NS
        return cls(**arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the state that :meth:`to_arrays` gave.

        Raises
        ------
        ValueError
            If an array is missing, or its type or shape does not belong to the others.
        """
        sizes: dict[str, int] = {}
        for name, (axes, dtype) in _LAYOUT.items():
            if name not in arrays:
                raise ValueError(f"Baseline has no array {name}; learn it anew")
            array = arrays[name]
            shape = tuple(sizes.setdefault(axis, size) for axis, size in zip(axes, array.shape, strict=False))
            if array.dtype != dtype or len(axes) != array.ndim or shape != array.shape:
                raise ValueError(f"Baseline array {name} is {array.dtype} {array.shape}, not {dtype} {axes} of {sizes}")
        return cls(**{name: arrays[name] for name in _LAYOUT})

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, for a checkpoint."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def span_ns(self) -> Integers:
        """[N]: event time from the first to the newest window with every input good; 0 before there are two."""
        return np.asarray(self.last_ns - self.first_ns)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a freeze would decide now."""

    ready: Truths
    """[N, M]: enough was seen, whatever the spread."""
    center: Floats
    """[N, M, F]; NaN where not ready."""
    spread: Floats
    """[N, M, F], not below the resolution; NaN where not ready."""


def learn(
    state: BaselineState, values: Floats, active: Truths, mode: Integers, window_end_ns: Integers
) -> BaselineState:
    """Learn from T windows of N assets.

    Parameters
    ----------
    values : float64 [T, N, F]
        Inputs; NaN (or infinite) where there is no good value. A window without any good value is not counted.
    active : bool [T, N]
        The window is to be learned from: the asset is there, healthy as far as known, and in a mode of the model.
    mode : int64 [T, N]
        Index into the state's modes; a window with one outside is left out, as is one of a frozen (asset, mode).
    window_end_ns : int64 [T]
        Ends of the windows in event time.

    Raises
    ------
    ValueError
        If the shapes do not belong together.
    """
    assets, modes, inputs, capacity = state.reservoir.shape
    windows = len(window_end_ns)
    if values.shape != (windows, assets, inputs) or active.shape != mode.shape or mode.shape != (windows, assets):
        raise ValueError(
            f"Values {values.shape}, active {active.shape} and mode {mode.shape} do not fit {windows} windows of "
            f"{assets} assets with {inputs} inputs"
        )
    finite = np.isfinite(values)
    counted = active & (mode >= 0) & (mode < modes) & finite.any(axis=2)
    first_ns, last_ns = _span(state, counted & finite.all(axis=2), window_end_ns)
    window, asset = np.nonzero(counted)
    band = mode[window, asset]
    open_ = ~state.frozen[asset, band]
    window, asset, band = window[open_], asset[open_], band[open_]
    cell = asset * modes + band
    seen = state.seen + np.bincount(cell, minlength=assets * modes).reshape(assets, modes)
    good = state.good + _count_good(finite[window, asset], cell, assets * modes).reshape(assets, modes, inputs)
    number = state.seen[asset, band] + _occurrence(cell)
    stride = _stride(seen, capacity)
    kept = number % stride[asset, band] == 0
    reservoir = _thinned(state, stride)
    if kept.any():
        window, asset, band, number = window[kept], asset[kept], band[kept], number[kept]
        # + 0.0 makes -0.0 a 0.0: a sort may leave the two in any order.
        sampled = values[window, asset] + 0.0
        sampled[~np.isfinite(sampled)] = np.nan
        reservoir = reservoir.copy() if reservoir is state.reservoir else reservoir
        reservoir[asset, band, :, number // stride[asset, band]] = sampled
    return replace(state, reservoir=reservoir, seen=seen, good=good, first_ns=first_ns, last_ns=last_ns)


def estimate(
    state: BaselineState, at_least_ns: int, min_windows: int = 30, resolution: Floats | float = 0.0
) -> Estimate:
    """Return what :func:`freeze` would decide; its parameters are the same."""
    floor = np.broadcast_to(np.asarray(resolution, dtype=np.float64), state.center.shape[2:])
    if not (np.isfinite(floor) & (floor >= 0)).all():
        raise ValueError(f"Resolution {floor.tolist()} must be 0 or more for every input")
    enough = (state.good >= min_windows).all(axis=2) & (state.seen > 0)
    lived = (state.first_ns != _NONE_NS) & (state.span_ns >= at_least_ns)
    ready = enough & lived[:, np.newaxis] & ~state.frozen
    center, spread = np.full_like(state.center, np.nan), np.full_like(state.spread, np.nan)
    sample = state.reservoir[ready]
    median = _median(sample)
    deviation = _median(np.abs(sample - median[..., np.newaxis]))
    center[ready], spread[ready] = median, np.maximum(SIGMA_PER_MAD * deviation, floor)
    return Estimate(ready=ready, center=center, spread=spread)


def freeze(
    state: BaselineState, at_least_ns: int, min_windows: int = 30, resolution: Floats | float = 0.0
) -> BaselineState:
    """Make final what has learned enough; it learns no more, and its reservoir is emptied.

    Parameters
    ----------
    at_least_ns : int
        Event time an asset must have been seen with every input good, all modes together.
    min_windows : int
        Windows with a good value that every input of an (asset, mode) must have.
    resolution : float64 [F] or float
        Smallest difference that means anything, in the input's unit: the spread is never taken smaller.

    Returns
    -------
    BaselineState
        With ``center`` (median) and ``spread`` (1.4826 MAD, or the resolution if that is larger) where it froze. An
        (asset, mode) one of whose spreads is 0 (a constant input without a resolution) goes on learning, because
        nothing can be measured with it; :func:`without_spread` names the input.

    Raises
    ------
    ValueError
        For a resolution below 0 or not finite.
    """
    found = estimate(state, at_least_ns, min_windows, resolution)
    newly = found.ready & (found.spread > 0).all(axis=2)
    if not newly.any():
        return state
    at = newly[:, :, np.newaxis]
    return replace(
        state,
        reservoir=np.where(at[..., np.newaxis], np.nan, state.reservoir),
        center=np.where(at, found.center, state.center),
        spread=np.where(at, found.spread, state.spread),
        frozen=state.frozen | newly,
    )


def without_spread(
    state: BaselineState, at_least_ns: int, min_windows: int = 30, resolution: Floats | float = 0.0
) -> Truths:
    """Return [N, M, F]: inputs that alone hold a freeze back, being constant. The remedy is a feature's resolution."""
    return np.asarray(estimate(state, at_least_ns, min_windows, resolution).spread == 0)


def progress(state: BaselineState, at_least_ns: int) -> Floats:
    """Return [N]: the share of the learning span that was seen, 0 to 1 (``learning 3 h of 24 h``)."""
    if at_least_ns <= 0:
        return np.ones(len(state.first_ns))
    return np.minimum(state.span_ns / at_least_ns, 1.0)


def select(state: BaselineState, index: Integers) -> BaselineState:
    """Return the state of another list of assets.

    Parameters
    ----------
    index : int64 [new N]
        For each new asset its place in the old list, or -1 for one that starts to learn.

    Raises
    ------
    IndexError
        If the old list has no such place.
    """
    assets, modes, inputs, capacity = state.reservoir.shape
    if len(index) and (index.min() < -1 or index.max() >= assets):
        raise IndexError(f"Places must be -1 to {assets - 1}")
    known = index >= 0
    chosen = BaselineState.empty(len(index), modes, inputs, capacity)
    for name, array in chosen.to_arrays().items():
        array[known] = getattr(state, name)[index[known]]
    return chosen


def merge(state: BaselineState, other: BaselineState, taken: Truths) -> BaselineState:
    """Return the state with the assets ``taken`` [N] of another one of the same shape."""
    arrays = {name: array.copy() for name, array in state.to_arrays().items()}
    for name, array in other.to_arrays().items():
        arrays[name][taken] = array[taken]
    return BaselineState.from_arrays(arrays)


def join(states: Sequence[BaselineState]) -> BaselineState:
    """Return the state of all assets of one or more states, one behind the other."""
    parts = [state.to_arrays() for state in states]
    return BaselineState.from_arrays({name: np.concatenate([part[name] for part in parts]) for name in _LAYOUT})


def digests(state: BaselineState) -> list[str]:
    """Return the version of each asset's baseline: 16 hexadecimal digits over its center, spread and frozen."""
    shape = np.array(state.center.shape[1:], dtype="<i8").tobytes()
    # One bit pattern for NaN, wherever it came from.
    center, spread = (np.where(np.isnan(array), np.nan, array).astype("<f8") for array in (state.center, state.spread))
    return [
        hashlib.sha256(shape + center[n].tobytes() + spread[n].tobytes() + state.frozen[n].tobytes()).hexdigest()[:16]
        for n in range(len(center))
    ]


def _span(state: BaselineState, complete: Truths, window_end_ns: Integers) -> tuple[Integers, Integers]:
    """Return the first and newest end [N] of complete windows."""
    if not len(window_end_ns):
        return state.first_ns, state.last_ns
    never = np.iinfo(np.int64).max
    earliest = np.where(complete, window_end_ns[:, np.newaxis], never).min(axis=0)
    newest = np.where(complete, window_end_ns[:, np.newaxis], _NONE_NS).max(axis=0)
    started = state.first_ns != _NONE_NS
    first = np.where(started, np.minimum(state.first_ns, earliest), np.where(earliest == never, _NONE_NS, earliest))
    return first, np.maximum(state.last_ns, newest)


def _count_good(finite: Truths, cell: Integers, cells: int) -> Integers:
    """Return [cells * F]: the good values of each input in each cell, of windows [w, F] with their cells [w]."""
    inputs = finite.shape[1]
    slot = cell[:, np.newaxis] * inputs + np.arange(inputs)
    return np.bincount(slot[finite], minlength=cells * inputs)


def _occurrence(cell: Integers) -> Integers:
    """Return for each element how many equal ones stand before it."""
    order = np.argsort(cell, kind="stable")
    ordered = cell[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    lengths = np.diff(np.append(starts, len(cell)))
    count = np.empty(len(cell), dtype=np.int64)
    count[order] = np.arange(len(cell)) - np.repeat(starts, lengths)
    return count


def _stride(seen: Integers, capacity: int) -> Integers:
    """Return the smallest power of two such that every stride-th of the windows seen fits the reservoir."""
    stride = np.ones_like(seen)
    while (over := stride * capacity < seen).any():
        stride[over] *= 2
    return stride


def _thinned(state: BaselineState, stride: Integers) -> Floats:
    """Return the reservoir for larger strides: every second window goes, as often as the stride doubles."""
    before = _stride(state.seen, state.reservoir.shape[3])
    factor = stride // before
    if (factor == 1).all():
        return state.reservoir
    reservoir = state.reservoir.copy()
    for step in np.unique(factor[factor > 1]):
        asset, band = np.nonzero(factor == step)
        stay = state.reservoir[asset, band, :, ::step]
        reservoir[asset, band, :, : stay.shape[2]] = stay
        reservoir[asset, band, :, stay.shape[2] :] = np.nan
    return reservoir


def _median(sample: Floats) -> Floats:
    """Return the median over the last axis of what is not NaN; NaN where nothing is."""
    if not sample.size:
        return np.full(sample.shape[:-1], np.nan)
    ordered = np.sort(sample, axis=-1)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, ordered.shape[-1] - 1), axis=-1)
    return np.asarray((low + (high - low) / 2)[..., 0])
