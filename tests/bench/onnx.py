"""A thousand assets scored in one batch: ours against one run of the same model for each asset."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tests.bench.harness import Goal, Options, Result, UnequalError, in_turn
from wheeltapper_workers.detectors import graphs
from wheeltapper_workers.scoring.session import Scores, Session

NAME: Final = "onnx"
_ASSETS: Final = 1_000
_INPUTS: Final = 4
_MODES: Final = 6
_DETECTORS: Final = {
    "ewma": lambda: graphs.ewma(0.2, 6, ["up"] * _INPUTS),
    "robust-z": lambda: graphs.robust_z(6, ["either"] * _INPUTS),
    "fixed-limit": lambda: graphs.fixed_limit([1.0] * _INPUTS, [5.0] * _INPUTS),
}


def run(options: Options) -> Result:
    """Assets a second of both, for the detector with the most work; the others are in the details."""
    results = {name: _measure(make(), options) for name, make in _DETECTORS.items()}
    mine, theirs = results.pop("ewma")
    result = Result(
        NAME,
        f"EWMA detector over {_ASSETS:,} assets of {_INPUTS} inputs",
        "assets/s",
        [_ASSETS / run for run in mine],
        f"score, deviation, expected and state of all {_ASSETS:,} assets have the same bits, for 3 detectors",
        peer=[_ASSETS / run for run in theirs],
        peer_name="the same session, one run for each asset",
        details={
            "batchMicroseconds": round(float(np.median(mine)) * 1e6),
            "otherDetectors": {
                name: {
                    "ours": round(_ASSETS / float(np.median(one))),
                    "peer": round(_ASSETS / float(np.median(other))),
                    "ratio": round(float(np.median(other)) / float(np.median(one)), 1),
                }
                for name, (one, other) in results.items()
            },
        },
    )
    result.goals.append(Goal("against one run for each asset", result.ratio or 0, "x", least=30))
    return result


def _measure(model: bytes, options: Options) -> tuple[list[float], list[float]]:
    session = Session(model)
    given = _inputs(session)
    parts = [{name: _row(name, array, at) for name, array in given.items()} for at in range(_ASSETS)]
    inner = session._session  # the peer is ONNX Runtime itself, without our checks of the shapes
    names = ["score", "deviation", "expected", "state_out"]
    _compare(session.run(**given), [inner.run(names, part) for part in parts])
    batches = 20

    def ours() -> None:
        for _ in range(batches):
            session.run(**given)

    def peer() -> None:
        for part in parts:
            inner.run(names, part)

    mine, theirs = in_turn(ours, peer, options.rounds(15))
    return [run / batches for run in mine], theirs


def _inputs(session: Session) -> dict[str, Any]:
    random = np.random.default_rng(1000)
    values = random.normal(2, 1, (1, _ASSETS, _INPUTS))
    values[0, ::97] = np.nan
    return {
        "values": values,
        "active": random.random((1, _ASSETS)) < 0.95,
        "mode": random.integers(0, _MODES, (1, _ASSETS)),
        "center": random.normal(2, 0.1, (_ASSETS, _MODES, _INPUTS)),
        "spread": random.uniform(0.1, 0.3, (_ASSETS, _MODES, _INPUTS)),
        "state": random.normal(0, 1, (_ASSETS, session.state_rows, _INPUTS)),
    }


def _row(name: str, array: np.ndarray, at: int) -> np.ndarray:
    axis = 1 if name in ("values", "active", "mode") else 0
    return np.ascontiguousarray(np.take(array, [at], axis=axis))


def _compare(batch: Scores, single: list[list[np.ndarray]]) -> None:
    for place, (name, axis) in enumerate({"score": 1, "deviation": 1, "expected": 1, "state": 0}.items()):
        joined = np.concatenate([outputs[place] for outputs in single], axis=axis)
        if joined.tobytes() != np.ascontiguousarray(getattr(batch, name)).tobytes():
            raise UnequalError(f"{name} of the batch has other bits than the runs of single assets")
