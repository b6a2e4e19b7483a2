"""A score whose bits change with the blocks, the batch or the threads cannot be replayed."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from wheeltapper_workers.detectors import graphs
from wheeltapper_workers.scoring.session import Scores, Session, options

WINDOWS, ASSETS, MODES, INPUTS = 48, 37, 3, 5
DIRECTIONS = ["up", "down", "either", "up", "either"]
MODELS = {
    "fixed-limit": graphs.fixed_limit([0.1, 0.2, 0.3, 0.4, 0.5], [3.3, -2.2, 1.1, 7.7, 0.7]),
    "robust-z": graphs.robust_z(3.3, DIRECTIONS),
    "robust-z-all": graphs.robust_z(3.3, DIRECTIONS, "all"),
    "ewma": graphs.ewma(0.07, 3.3, DIRECTIONS),
    "ewma-all": graphs.ewma(0.07, 3.3, DIRECTIONS, "all"),
}


def data(windows: int = WINDOWS, assets: int = ASSETS) -> dict[str, np.ndarray]:
    random = np.random.default_rng(11)
    values = random.normal(size=(windows, assets, INPUTS)) * 10.0 ** random.integers(-3, 4, (windows, assets, INPUTS))
    values[random.random(values.shape) < 0.02] = np.nan
    center = random.normal(size=(assets, MODES, INPUTS))
    center[random.random(center.shape) < 0.01] = np.nan
    return {
        "values": values,
        "active": random.random((windows, assets)) < 0.9,
        "mode": random.integers(0, MODES, (windows, assets)),
        "center": center,
        "spread": random.uniform(0.1, 3, size=(assets, MODES, INPUTS)),
    }


def same_bits(left: Scores, right: Scores) -> None:
    for name in ("score", "deviation", "expected", "state"):
        assert getattr(left, name).tobytes() == getattr(right, name).tobytes(), name


def pick(given: dict[str, np.ndarray], index: np.ndarray | slice) -> dict[str, np.ndarray]:
    axis = {"values": 1, "active": 1, "mode": 1, "center": 0, "spread": 0}
    return {name: array[:, index] if axis[name] else array[index] for name, array in given.items()}


def in_blocks(session: Session, given: dict[str, np.ndarray], cuts: list[int]) -> Scores:
    state = session.initial_state(given["values"].shape[1])
    parts = []
    for first, last in zip([0, *cuts], [*cuts, len(given["values"])], strict=True):
        block = {name: given[name][first:last] for name in ("values", "active", "mode")}
        parts.append(session.run(**block, center=given["center"], spread=given["spread"], state=state))
        state = parts[-1].state
    return Scores(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("score", "deviation", "expected")), state
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("cuts", [[1], [7, 8, 30], list(range(1, WINDOWS)), [0, 20, 20]], ids=str)
def test_cutting_windows_into_blocks(name, cuts):
    session = Session(MODELS[name])
    same_bits(in_blocks(session, data(), cuts), session.run(**data()))


@pytest.mark.parametrize("name", MODELS)
def test_batch_mates(name):
    session = Session(MODELS[name])
    full = session.run(**data())
    order = np.random.default_rng(0).permutation(ASSETS)
    for index in ([0], [36], [5, 6, 7], list(range(0, 37, 2)), list(order), list(range(16)), list(range(17))):
        part = session.run(**pick(data(), np.array(index)))
        expected = Scores(full.score[:, index], full.deviation[:, index], full.expected[:, index], full.state[index])
        same_bits(part, expected)


@pytest.mark.parametrize("name", MODELS)
def test_threads(name):
    """Large enough that the runtime does share the work between two threads."""
    given = data(windows=20, assets=2000)
    session = Session(MODELS[name])
    settings = options()
    settings.intra_op_num_threads = 2
    two = onnxruntime.InferenceSession(MODELS[name], settings, providers=["CPUExecutionProvider"])
    feed = {**given, "state": session.initial_state(2000)}
    same_bits(Scores(*two.run(["score", "deviation", "expected", "state_out"], feed)), session.run(**given))


@pytest.mark.parametrize("name", MODELS)
def test_rewriting_the_graph(name):
    """The meaning is the graph's, not an optimiser's: every level of rewriting gives the same numbers."""
    given = data()
    session = Session(MODELS[name])
    feed = {**given, "state": session.initial_state(ASSETS)}
    for level in (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ):
        settings = options()
        settings.graph_optimization_level = level
        other = onnxruntime.InferenceSession(MODELS[name], settings, providers=["CPUExecutionProvider"])
        same_bits(Scores(*other.run(["score", "deviation", "expected", "state_out"], feed)), session.run(**given))


def test_arrays_in_another_memory_order():
    session = Session(MODELS["ewma"])
    turned = {name: np.asfortranarray(array) for name, array in data().items()}
    same_bits(session.run(**turned), session.run(**data()))
