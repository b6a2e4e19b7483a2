"""A detector that says another score than its definition, or a score where there is none."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest

from wheeltapper_workers.detectors import graphs
from wheeltapper_workers.scoring.session import Session

NAN = math.nan
KINDS = ("fixed-limit", "robust-z", "ewma")
LAMBDA, LIMIT = 0.2, 3.5
NORMAL, BOUND = [1.0, 5.0, 0.0], [4.0, 2.0, -2.0]
DIRECTIONS = ["up", "down", "either"]


def model(kind: str, combine: str = "any") -> bytes:
    match kind:
        case "fixed-limit":
            return graphs.fixed_limit(NORMAL, BOUND, combine)
        case "robust-z":
            return graphs.robust_z(LIMIT, DIRECTIONS, combine)
        case _:
            return graphs.ewma(LAMBDA, LIMIT, DIRECTIONS, combine)


def case(seed: int, windows: int = 30, assets: int = 7, modes: int = 3) -> dict[str, np.ndarray]:
    """Random data with everything that may be missing."""
    random = np.random.default_rng(seed)
    values = random.normal(scale=4, size=(windows, assets, 3))
    values[random.random(values.shape) < 0.05] = NAN
    values[random.random(values.shape) < 0.01] = math.inf
    center = random.normal(size=(assets, modes, 3))
    spread = random.uniform(0.2, 2, size=(assets, modes, 3))
    unlearned = random.random((assets, modes)) < 0.15
    center[unlearned], spread[unlearned] = NAN, NAN
    spread[random.random(spread.shape) < 0.03] = 0.0
    return {
        "values": values,
        "active": random.random((windows, assets)) < 0.85,
        "mode": random.integers(-1, modes + 1, (windows, assets)),
        "center": center,
        "spread": spread,
    }


def side(deviation: float, direction: str) -> float:
    return {"up": max(deviation, 0.0), "down": max(-deviation, 0.0), "either": abs(deviation)}[direction]


def reference(kind: str, combine: str, data: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """The definition, one number at a time."""
    windows, assets, inputs = data["values"].shape
    modes = data["center"].shape[1]
    score = np.full((windows, assets), NAN)
    deviation, expected = np.full(data["values"].shape, NAN), np.full(data["values"].shape, NAN)
    average = np.zeros((assets, inputs))
    for t in range(windows):
        for n in range(assets):
            mode = data["mode"][t, n]
            for f in range(inputs):
                x = data["values"][t, n, f]
                if kind == "fixed-limit":
                    expected[t, n, f] = NORMAL[f]
                    if data["active"][t, n] and math.isfinite(x):
                        deviation[t, n, f] = (x - NORMAL[f]) / (BOUND[f] - NORMAL[f])
                    continue
                if not 0 <= mode < modes:
                    continue
                center, spread = data["center"][n, mode, f], data["spread"][n, mode, f]
                expected[t, n, f] = center
                if not (data["active"][t, n] and math.isfinite(x) and spread > 0):
                    continue
                z = (x - center) / spread
                if kind == "robust-z":
                    deviation[t, n, f] = z / LIMIT
                else:
                    average[n, f] = (1.0 - LAMBDA) * average[n, f] + LAMBDA * z
                    deviation[t, n, f] = average[n, f] / (LIMIT * math.sqrt(LAMBDA / (2 - LAMBDA)))
            if not np.isnan(deviation[t, n]).any():
                directions = ["up"] * inputs if kind == "fixed-limit" else DIRECTIONS
                sides = [side(d, direction) for d, direction in zip(deviation[t, n], directions, strict=True)]
                score[t, n] = max(sides) if combine == "any" else min(sides)
    state = average[:, np.newaxis] if kind == "ewma" else np.zeros((assets, 0, inputs))
    return score, deviation, expected, state


@pytest.mark.parametrize("combine", ["any", "all"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_random_data_scores_as_the_definition_says(kind, combine, seed):
    data = case(seed)
    result = Session(model(kind, combine)).run(**data)
    score, deviation, expected, state = reference(kind, combine, data)
    assert np.isfinite(score).any()
    assert np.isnan(score).any()
    # The same operations in the same order: not a tolerance, the same numbers.
    np.testing.assert_array_equal(result.score, score)
    np.testing.assert_array_equal(result.deviation, deviation)
    np.testing.assert_array_equal(result.expected, expected)
    np.testing.assert_array_equal(result.state, state)


def single(model_bytes: bytes, values: list[float], center: float = NAN, spread: float = NAN):
    """One asset, one input, one mode."""
    shape = (len(values), 1)
    return Session(model_bytes).run(
        np.reshape(values, (*shape, 1)).astype(np.float64),
        np.ones(shape, dtype=bool),
        np.zeros(shape, dtype=np.int64),
        np.full((1, 1, 1), center),
        np.full((1, 1, 1), spread),
    )


def test_a_fixed_limit_scores_one_at_the_limit_and_needs_no_baseline():
    result = single(graphs.fixed_limit([2.8], [7.1]), [7.1, 2.8, 0.0, 11.4])
    np.testing.assert_allclose(result.score[:, 0], [1.0, 0.0, 0.0, 2.0])
    np.testing.assert_allclose(result.deviation[:, 0, 0], [1.0, 0.0, -2.8 / 4.3, 2.0])
    assert result.expected[:, 0, 0].tolist() == [2.8] * 4


def test_a_limit_below_normal_is_reached_by_falling():
    result = single(graphs.fixed_limit([3], [1]), [3.0, 2.0, 1.0, 0.0, 5.0])
    assert result.score[:, 0].tolist() == [0.0, 0.5, 1.0, 1.5, 0.0]


@pytest.mark.parametrize(("direction", "scores"), [("up", [2.0, 0.0]), ("down", [0.0, 2.0]), ("either", [2.0, 2.0])])
def test_only_the_direction_that_counts_scores_but_the_deviation_keeps_its_sign(direction, scores):
    result = single(graphs.robust_z(3.0, [direction]), [16.0, 4.0], center=10.0, spread=1.0)
    assert result.score[:, 0].tolist() == scores
    assert result.deviation[:, 0, 0].tolist() == [2.0, -2.0]


def test_a_settled_ewma_is_at_its_limit_at_the_control_limit():
    weight, limit = 0.1, 3.5
    shift = limit * math.sqrt(weight / (2 - weight))
    result = single(graphs.ewma(weight, limit, ["up"]), [shift] * 400, center=0.0, spread=1.0)
    assert result.score[-1, 0] == pytest.approx(1.0)
    assert (np.diff(result.score[:200, 0]) > 0).all()


def test_an_average_is_held_through_a_gap():
    values = [3.0, 3.0, NAN, NAN, 3.0]
    result = single(graphs.ewma(0.5, 3.0, ["up"]), values, center=0.0, spread=1.0)
    short = single(graphs.ewma(0.5, 3.0, ["up"]), [3.0] * 3, center=0.0, spread=1.0)
    assert np.isnan(result.score[2:4, 0]).all()
    assert result.score[[0, 1, 4], 0].tolist() == short.score[:, 0].tolist()


@pytest.mark.parametrize("kind", ["robust-z", "ewma"])
@pytest.mark.parametrize(("center", "spread"), [(NAN, NAN), (1.0, 0.0), (1.0, -1.0), (1.0, NAN), (1.0, math.inf)])
def test_without_a_usable_baseline_there_is_no_score(kind, center, spread):
    build = graphs.robust_z(3.0, ["up"]) if kind == "robust-z" else graphs.ewma(0.1, 3.0, ["up"])
    result = single(build, [5.0], center=center, spread=spread)
    assert np.isnan(result.score).all()
    assert np.isnan(result.deviation).all()


def test_an_absurd_value_does_not_poison_the_average_for_good():
    result = single(graphs.ewma(0.5, 3.0, ["up"]), [1e308, -math.inf, 1.0], center=0.0, spread=1e-3)
    assert np.isnan(result.score[:2, 0]).all()
    assert np.isfinite(result.score[2, 0])
    assert np.isfinite(result.state).all()


@pytest.mark.parametrize("combine", ["any", "all"])
def test_no_score_is_negative_or_minus_zero(combine):
    for kind in KINDS:
        score = Session(model(kind, combine)).run(**case(9)).score
        assert not np.signbit(score[np.isfinite(score)]).any(), kind


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_are_valid_for_any_runtime(kind):
    for combine in ("any", "all"):
        loaded = onnx.load_model_from_string(model(kind, combine))
        onnx.checker.check_model(loaded, full_check=True)
        assert loaded.ir_version == graphs.IR_VERSION
        assert [(opset.domain, opset.version) for opset in loaded.opset_import] == [("", graphs.OPSET)]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: graphs.fixed_limit([], []), "one normal value and one limit for each input"),
        (lambda: graphs.fixed_limit([1.0], [2.0, 3.0]), "one normal value and one limit for each input"),
        (lambda: graphs.fixed_limit([1.0, 2.0], [2.0, 2.0]), "of input 1 must be finite and differ"),
        (lambda: graphs.fixed_limit([1.0], [math.inf]), "must be finite"),
        (lambda: graphs.robust_z(0.0, ["up"]), "Limit 0.0 must be a positive"),
        (lambda: graphs.robust_z(NAN, ["up"]), "must be a positive"),
        (lambda: graphs.robust_z(3.0, []), "one direction for each input"),
        (lambda: graphs.robust_z(3.0, "up"), "one direction for each input"),
        (lambda: graphs.robust_z(3.0, ["sideways"]), "sideways"),
        (lambda: graphs.robust_z(3.0, ["up"], "most"), "most"),
        (lambda: graphs.ewma(0.0, 3.0, ["up"]), "Lambda 0.0 must be above 0"),
        (lambda: graphs.ewma(1.1, 3.0, ["up"]), "Lambda 1.1 must be above 0"),
    ],
)
def test_parameters_without_meaning_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
