"""A hot reload or a restart that loses or swaps what machines have learned."""

from __future__ import annotations

import io

import numpy as np
import pytest

from wheeltapper_workers.detectors.baseline import BaselineState, digests, freeze, learn, select

STEP = 10_000_000_000


def learned(assets: int = 4, count: int = 90, first: int = 0, state: BaselineState | None = None) -> BaselineState:
    random = np.random.default_rng(first)
    values = random.normal(size=(count, assets, 2)) + np.arange(assets)[:, np.newaxis] * 100
    mode = random.integers(0, 2, (count, assets))
    state = BaselineState.empty(assets, 2, 2, 32) if state is None else state
    return learn(state, values, np.ones((count, assets), bool), mode, (first + np.arange(count, dtype=np.int64)) * STEP)


def same(left: BaselineState, right: BaselineState) -> None:
    for name, array in left.to_arrays().items():
        assert array.tobytes() == right.to_arrays()[name].tobytes(), name


def test_assets_keep_what_they_learned_when_the_list_changes():
    state = freeze(learned(), STEP, 5)
    moved = select(state, np.array([2, -1, 0]))
    assert digests(moved)[0] == digests(state)[2]
    assert digests(moved)[2] == digests(state)[0]
    for name, array in moved.to_arrays().items():
        before, blank = state.to_arrays()[name], BaselineState.empty(1, 2, 2, 32).to_arrays()[name]
        assert array[[0, 2]].tobytes() == before[[2, 0]].tobytes(), name
        assert array[1].tobytes() == blank[0].tobytes(), name


def test_selecting_all_is_the_same_state_and_its_arrays_are_its_own():
    state = learned()
    chosen = select(state, np.arange(4))
    same(chosen, state)
    assert not np.shares_memory(chosen.reservoir, state.reservoir)


def test_an_empty_list_is_a_list():
    nobody = select(learned(), np.array([], dtype=np.int64))
    assert nobody.reservoir.shape == (0, 2, 2, 32)
    assert digests(nobody) == []
    assert select(nobody, np.array([-1])).seen.tolist() == [[0, 0]]


@pytest.mark.parametrize("index", [[4], [-2]])
def test_a_place_that_never_was_is_refused(index):
    with pytest.raises(IndexError, match="Places must be -1 to 3"):
        select(learned(), np.array(index))


def test_a_checkpoint_in_the_middle_of_learning_changes_no_bit():
    through = learned(first=90, state=learned())
    file = io.BytesIO()
    np.savez(file, **learned().to_arrays())
    file.seek(0)
    with np.load(file) as stored:
        restored = BaselineState.from_arrays(dict(stored))
    same(learned(first=90, state=restored), through)


def test_a_checkpoint_of_a_frozen_baseline_keeps_its_digest():
    state = freeze(learned(), STEP, 5)
    assert state.frozen.any()
    assert digests(BaselineState.from_arrays(state.to_arrays())) == digests(state)


def without(name: str):
    return {key: array for key, array in learned().to_arrays().items() if key != name}


@pytest.mark.parametrize("name", list(learned().to_arrays()))
def test_a_checkpoint_with_a_missing_or_foreign_array_is_refused(name):
    with pytest.raises(ValueError, match=f"no array {name}"):
        BaselineState.from_arrays(without(name))
    arrays = learned().to_arrays()
    with pytest.raises(ValueError, match="array"):
        BaselineState.from_arrays({**arrays, name: arrays[name][:3]})
    with pytest.raises(ValueError, match=f"array {name} is float32"):
        BaselineState.from_arrays({**arrays, name: arrays[name].astype(np.float32)})


def test_each_asset_has_a_digest_of_its_own_baseline_only():
    state = freeze(learned(), STEP, 5)
    before = digests(state)
    assert len(set(before)) == 4
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in before)
    other = state.center.copy()
    other[1, 0, 0] = np.nextafter(other[1, 0, 0], np.inf)
    after = digests(BaselineState.from_arrays({**state.to_arrays(), "center": other}))
    assert [left == right for left, right in zip(before, after, strict=True)] == [True, False, True, True]


def test_a_digest_does_not_depend_on_the_kind_of_nan():
    state = learned()
    negative = -state.center
    assert digests(BaselineState.from_arrays({**state.to_arrays(), "center": negative})) == digests(state)


def test_a_digest_does_not_change_while_a_machine_learns():
    """The version in a lineage names what scores were made with: nothing, until it is frozen."""
    assert digests(learned()) == digests(learned(first=90, state=learned()))
