"""Twelve features of windows of 2,560 samples: ours against tsflex with NumPy's and SciPy's functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from scipy import stats

from tests.bench import peers
from tests.bench.harness import Goal, Options, Result, UnequalError, in_turn
from wheeltapper_workers.features.statistics import FUNCTIONS, segment_statistics

NAME: Final = "features"
_SAMPLES: Final = 2_560
_RATE_HZ: Final = 2_560
_WINDOWS: Final = 20_000
_TOLERANCE: Final = 1e-9

Functions = dict[str, Callable[[np.ndarray], float]]


def run(options: Options) -> Result:
    """Windows a second of both."""
    peers.need("tsflex")
    windows = _WINDOWS // 20 if options.quick else _WINDOWS
    values, times_ns = signal(windows)
    starts = np.arange(windows) * _SAMPLES
    names = list(FUNCTIONS)

    def ours() -> np.ndarray:
        return segment_statistics(values, times_ns, starts, starts + _SAMPLES, names)

    # The peer is some tens of times slower, so it is given a part of the windows; both rates are per window.
    share = max(200, windows // 20)
    part = values[: share * _SAMPLES]
    peer = tsflex(part, _usual())
    tuned = tsflex(part, _tuned())
    found = ours()
    for other in (peer, tuned):
        compare(found[:share], other()[names].to_numpy(float))
    mine, theirs = in_turn(ours, peer, options.rounds(7))
    _, by_hand = in_turn(ours, tuned, options.rounds(3))
    result = Result(
        NAME,
        f"{len(names)} features per {_SAMPLES:,}-sample window",
        "windows/s",
        [windows / run for run in mine],
        f"all {len(names)} features of {share:,} windows equal the peer's within {_TOLERANCE:g}",
        peer=[share / run for run in theirs],
        peer_name="tsflex with NumPy and SciPy functions",
        details={
            "features": names,
            "windows": windows,
            "peerWindows": share,
            "tunedPeer": {
                "name": "tsflex with moments written by hand",
                "median": round(share / float(np.median(by_hand))),
                "ratio": round(float(np.median(by_hand)) / share * windows / float(np.median(mine)), 1),
            },
        },
    )
    result.goals.append(Goal("against tsflex", result.ratio or 0, "x", least=40, aim=60))
    return result


def signal(windows: int) -> tuple[np.ndarray, np.ndarray]:
    """A vibration with some impacts, and its times (ns)."""
    random = np.random.default_rng(2560)
    count = windows * _SAMPLES
    values = random.normal(0.3, 1.0, count)
    values[random.integers(0, count, count // 500)] *= 6
    return values, 1_700_000_000 * 10**9 + np.arange(count) * (10**9 // _RATE_HZ)


def compare(ours: np.ndarray, peer: np.ndarray) -> None:
    """Refuse to measure what is not equal."""
    if not np.allclose(ours, peer, rtol=_TOLERANCE, atol=_TOLERANCE):
        worst = np.nanmax(np.abs(ours - peer), axis=0)
        raise UnequalError(f"tsflex has other values; largest differences by feature: {worst.tolist()}")


def tsflex(values: np.ndarray, functions: Functions) -> Callable[[], Any]:
    """The peer's calculation on windows of a series, as its documentation shows it; columns in the order of names."""
    import pandas as pd  # noqa: PLC0415 - a peer, installed when it is needed
    from tsflex.features import FeatureCollection, FuncWrapper, MultipleFeatureDescriptors  # noqa: PLC0415 - as above

    series = pd.Series(values, name="x")
    wrapped = [FuncWrapper(function, output_names=name) for name, function in functions.items()]
    collection = FeatureCollection(MultipleFeatureDescriptors(wrapped, "x", windows=_SAMPLES, strides=_SAMPLES))

    def calculate() -> Any:
        # One process: two were slower than one when tried, since every window is pickled.
        frame = collection.calculate(
            series, return_df=True, n_jobs=0, show_progress=False, window_idx="begin", include_final_window=True
        )
        return frame.rename(columns=lambda name: name.split("__")[1])

    return calculate


def _usual() -> Functions:
    """The functions that people take."""
    elapsed = (np.arange(_SAMPLES) - (_SAMPLES - 1) / 2) / _RATE_HZ
    square = float(elapsed @ elapsed)
    return {
        "mean": np.mean,
        "std": np.std,
        "rms": lambda x: np.sqrt(np.mean(x**2)),
        "kurtosis": lambda x: stats.kurtosis(x, fisher=False),
        "skewness": stats.skew,
        "crest-factor": lambda x: np.max(np.abs(x)) / np.sqrt(np.mean(x**2)),
        "peak-to-peak": np.ptp,
        "slope": lambda x: elapsed @ x / square,
        "min": np.min,
        "max": np.max,
        "last": lambda x: x[-1],
        "count": len,
    }


def _tuned() -> Functions:
    """The same with SciPy's checks of its arguments left out."""

    def standardised(x: np.ndarray, power: int) -> float:
        centred = x - x.mean()
        square = centred * centred
        moment = square * (centred if power == 3 else square)
        return float(moment.mean() / square.mean() ** (power / 2))

    return _usual() | {"kurtosis": lambda x: standardised(x, 4), "skewness": lambda x: standardised(x, 3)}
