"""A baseline that is not the median of the machine's healthy past, or final too early, makes every score wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wheeltapper_workers.detectors.baseline import (
    BaselineState,
    digests,
    estimate,
    freeze,
    learn,
    progress,
    without_spread,
)

STEP = 10_000_000_000
START = 1_790_000_000_000_000_000
NAN = math.nan


def windows(seed: int, count: int, assets: int = 4, modes: int = 3, inputs: int = 2, first: int = 0):
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, assets, inputs)) + np.arange(assets)[:, np.newaxis] * 10
    values[random.random(values.shape) < 0.1] = NAN
    # Mostly the first mode, and now and then none or one that does not exist.
    mode = np.minimum(random.geometric(0.6, size=(count, assets)) - 1, modes)
    mode[random.random(mode.shape) < 0.05] = -1
    return values, random.random((count, assets)) < 0.9, mode, START + (first + np.arange(count)) * STEP


def reference(capacity: int, modes: int, values, active, mode, ends):
    """The reservoir by its words, one window at a time: when full keep every second and double the stride."""
    held: dict[tuple[int, int], list] = {}
    stride: dict[tuple[int, int], int] = {}
    seen: dict[tuple[int, int], int] = {}
    for t in range(len(ends)):
        for n in range(values.shape[1]):
            key = (n, int(mode[t, n]))
            if not active[t, n] or not 0 <= key[1] < modes or np.isnan(values[t, n]).all():
                continue
            number = seen.setdefault(key, 0)
            seen[key] += 1
            held.setdefault(key, [])
            if number % stride.setdefault(key, 1):
                continue
            if len(held[key]) == capacity:
                held[key] = held[key][::2]
                stride[key] *= 2
                if number % stride[key]:
                    continue
            held[key].append(values[t, n])
    return held, seen


def same(left: BaselineState, right: BaselineState) -> None:
    for name, array in left.to_arrays().items():
        assert array.tobytes() == right.to_arrays()[name].tobytes(), name


def steady(values: np.ndarray, capacity: int = 256) -> BaselineState:
    """One asset, one mode, one input."""
    values = np.asarray(values, dtype=np.float64)
    count = len(values)
    active, mode = np.ones((count, 1), dtype=bool), np.zeros((count, 1), dtype=np.int64)
    empty = BaselineState.empty(1, 1, 1, capacity)
    return learn(empty, values[:, np.newaxis, np.newaxis], active, mode, START + np.arange(count) * STEP)


@pytest.mark.parametrize("capacity", [2, 7, 16, 256])
@pytest.mark.parametrize("seed", range(3))
def test_the_reservoir_is_the_even_sample_of_the_definition(capacity, seed):
    data = windows(seed, 700)
    state = learn(BaselineState.empty(4, 3, 2, capacity), *data)
    held, seen = reference(capacity, 3, *data)
    for (n, m), rows in held.items():
        assert state.seen[n, m] == seen[n, m]
        np.testing.assert_array_equal(state.reservoir[n, m, :, : len(rows)].T, np.array(rows))
        assert np.isnan(state.reservoir[n, m, :, len(rows) :]).all()


@pytest.mark.parametrize("cuts", [[350], [1, 2, 3, 699], list(range(1, 700, 3)), [0, 5, 5]], ids=len)
def test_blocks_do_not_change_a_bit(cuts):
    values, active, mode, ends = windows(7, 700)
    once = learn(BaselineState.empty(4, 3, 2, 16), values, active, mode, ends)
    state = BaselineState.empty(4, 3, 2, 16)
    for first, last in zip([0, *cuts], [*cuts, 700], strict=True):
        part = slice(first, last)
        state = learn(state, values[part], active[part], mode[part], ends[part])
    same(state, once)
    same(freeze(state, STEP, 5), freeze(once, STEP, 5))


def test_learning_leaves_the_former_state_as_it_was():
    before = learn(BaselineState.empty(4, 3, 2, 8), *windows(1, 50))
    copies = {name: array.copy() for name, array in before.to_arrays().items()}
    freeze(learn(before, *windows(2, 50, first=50)), STEP, 5)
    for name, array in before.to_arrays().items():
        assert array.tobytes() == copies[name].tobytes(), name


def test_center_and_spread_are_median_and_scaled_mad_of_good_values():
    data = windows(3, 240, modes=1)
    state = learn(BaselineState.empty(4, 1, 2), *data)
    frozen = freeze(state, STEP, 30)
    assert frozen.frozen.all()
    values, active, mode, _ = data
    for n in range(4):
        for f in range(2):
            column = values[active[:, n] & (mode[:, n] == 0), n, f]
            median = np.nanmedian(column)
            assert frozen.center[n, 0, f] == pytest.approx(median, rel=1e-12)
            assert frozen.spread[n, 0, f] == pytest.approx(1.4826 * np.nanmedian(np.abs(column - median)), rel=1e-12)


def test_outliers_hardly_move_a_baseline():
    values = np.random.default_rng(4).normal(size=200)
    values[::10] = 1e6
    frozen = freeze(steady(values), STEP)
    assert abs(frozen.center[0, 0, 0]) < 0.35
    assert 0.8 < frozen.spread[0, 0, 0] < 1.5


def test_a_thinned_sample_covers_the_whole_past_evenly():
    """A drift over the learning time ends up in the median, not only its first or last part."""
    frozen = freeze(steady(np.arange(10_000.0)), STEP)
    assert frozen.center[0, 0, 0] == pytest.approx(5000, rel=0.01)


def test_the_resolution_is_the_least_spread():
    state = steady(np.random.default_rng(5).normal(size=100) * 1e-3)
    assert freeze(state, STEP, resolution=np.array([0.5])).spread.item() == 0.5
    assert freeze(state, STEP, resolution=np.array([1e-6])).spread.item() == pytest.approx(1e-3, rel=0.3)


def test_a_constant_input_without_a_resolution_goes_on_learning_and_is_named():
    state = steady([45.0] * 100)
    frozen = freeze(state, STEP)
    assert not frozen.frozen.any()
    assert np.isnan(frozen.center).all()
    assert without_spread(state, STEP).tolist() == [[[True]]]
    assert freeze(state, STEP, resolution=0.1).spread.item() == 0.1
    assert not without_spread(state, STEP, resolution=0.1).any()


def test_too_short_a_span_does_not_freeze():
    state = steady(np.random.default_rng(6).normal(size=100))
    assert not freeze(state, 99 * STEP + 1).frozen.any()
    assert freeze(state, 99 * STEP).frozen.all()


def test_too_few_windows_in_a_mode_do_not_freeze_that_mode():
    random = np.random.default_rng(7)
    mode = np.array([0] * 60 + [1] * 29)[:, np.newaxis]
    values = random.normal(size=(89, 1, 1))
    state = learn(BaselineState.empty(1, 2, 1), values, mode >= 0, mode, START + np.arange(89) * STEP)
    frozen = freeze(state, STEP, 30)
    assert frozen.frozen.tolist() == [[True, False]]
    assert np.isnan(frozen.center[0, 1]).all()
    later = learn(frozen, values[:1], mode[:1] >= 0, mode[-1:], START + np.array([89]) * STEP)
    assert freeze(later, STEP, 30).frozen.tolist() == [[True, True]]


def test_windows_with_a_dead_sensor_count_neither_for_it_nor_for_the_span():
    values = np.random.default_rng(8).normal(size=(200, 1, 2))
    values[:170, 0, 1] = NAN
    active, mode = np.ones((200, 1), dtype=bool), np.zeros((200, 1), dtype=np.int64)
    state = learn(BaselineState.empty(1, 1, 2), values, active, mode, START + np.arange(200) * STEP)
    assert state.span_ns.tolist() == [29 * STEP]
    assert state.good.tolist() == [[[200, 30]]]
    assert not freeze(state, 30 * STEP).frozen.any()
    assert not freeze(state, 29 * STEP, 31).frozen.any()
    assert freeze(state, 29 * STEP).frozen.all()


def test_a_frozen_baseline_learns_no_more():
    frozen = freeze(steady(np.random.default_rng(9).normal(size=100)), STEP)
    later = learn(frozen, np.full((50, 1, 1), 99.0), np.ones((50, 1), dtype=bool), np.zeros((50, 1), dtype=np.int64),
                  START + np.arange(100, 150) * STEP)  # fmt: skip
    assert freeze(later, STEP).center.tobytes() == frozen.center.tobytes()
    assert later.seen.tolist() == frozen.seen.tolist()
    assert digests(later) == digests(frozen)


def test_inactive_windows_and_modes_outside_are_not_learned():
    values = np.ones((3, 1, 1))
    state = learn(
        BaselineState.empty(1, 2, 1), values, np.array([[False], [True], [True]]), np.array([[0], [-1], [2]]),
        START + np.arange(3) * STEP,
    )  # fmt: skip
    same(state, BaselineState.empty(1, 2, 1))


def test_progress_is_the_share_of_the_learning_time():
    state = steady(np.random.default_rng(10).normal(size=91))
    assert progress(state, 180 * STEP).tolist() == [0.5]
    assert progress(state, STEP).tolist() == [1.0]
    assert progress(BaselineState.empty(2, 1, 1), STEP).tolist() == [0.0, 0.0]
    assert progress(state, 0).tolist() == [1.0]


def test_nothing_seen_is_never_ready():
    empty = BaselineState.empty(2, 2, 1)
    assert not estimate(empty, 0, 0, 1.0).ready.any()
    assert not freeze(empty, 0, 0, 1.0).frozen.any()


def test_no_windows_and_no_assets_are_no_error():
    state = steady([1.0, 2.0])
    nothing = learn(state, np.zeros((0, 1, 1)), np.zeros((0, 1), bool), np.zeros((0, 1), int), np.zeros(0, int))
    same(nothing, state)
    empty = BaselineState.empty(0, 2, 1)
    learned = learn(empty, np.zeros((3, 0, 1)), np.zeros((3, 0), bool), np.zeros((3, 0), int), np.arange(3))
    assert freeze(learned, 0).frozen.shape == (0, 2)


def test_zeros_of_either_sign_give_one_digest():
    plus, minus = np.zeros(40), -np.zeros(40)
    plus[::5] = minus[::5] = 1.0
    left, right = (freeze(steady(values), STEP, resolution=0.1) for values in (plus, minus))
    assert digests(left) == digests(right)


@pytest.mark.parametrize("resolution", [-1.0, NAN, math.inf])
def test_a_resolution_without_meaning_is_refused(resolution):
    with pytest.raises(ValueError, match="Resolution"):
        freeze(BaselineState.empty(1, 1, 1), 0, resolution=resolution)


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="do not fit 3 windows of 1 assets with 1 inputs"):
        learn(BaselineState.empty(1, 1, 1), np.zeros((3, 1, 2)), np.ones((3, 1), bool), np.zeros((3, 1), int),
              np.arange(3))  # fmt: skip
