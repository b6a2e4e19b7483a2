"""What was simulated before, and in which pieces, must not change a value."""

import numpy as np
import pytest

from wheeltapper_workers.simulator import randomness
from wheeltapper_workers.simulator.plant import simulate
from wheeltapper_workers.simulator.scenario import Scenario

EPOCH = 1_795_000_000


def scenario(**more):
    return Scenario.model_validate(
        {
            "seed": 7,
            "pumps": [{"name": "p-1"}, {"name": "p-2"}],
            "faults": [{"asset": "p-2", "kind": "cavitation", "at": "5m", "growth": "10m"}],
            "script": {"stops": [{"asset": "p-1", "at": "3m", "for": "1m"}]},
        }
        | more
    )


def in_chunks(lengths):
    start, state, parts = EPOCH, None, []
    for length in lengths:
        chunk = simulate(scenario(), EPOCH, start, start + length, state)
        parts.append(chunk)
        start, state = start + length, chunk.state
    return np.concatenate([part.values for part in parts], axis=2), np.concatenate([p.ambient_cel for p in parts])


def test_any_chunks_give_the_same_values():
    whole = simulate(scenario(), EPOCH, EPOCH, EPOCH + 900)
    for lengths in ([1] * 50 + [850], [7, 233, 600, 60], [899, 1]):
        values, ambient = in_chunks(lengths)
        np.testing.assert_allclose(values, whole.values, rtol=0, atol=0.011)
        assert (values != whole.values).mean() < 1e-3  # rounding to the resolution may flip a last digit, no more
        np.testing.assert_array_equal(ambient, whole.ambient_cel)


def test_starting_later_gives_the_same_values():
    whole = simulate(scenario(), EPOCH, EPOCH, EPOCH + 900).values[:, :, 800:]
    late = simulate(scenario(), EPOCH, EPOCH + 800, EPOCH + 900).values
    np.testing.assert_allclose(late, whole, rtol=0, atol=0.011)


def test_pumps_are_independent_of_their_neighbours():
    both = simulate(scenario(), EPOCH, EPOCH, EPOCH + 60).values[0]
    alone = simulate(scenario(pumps=[{"name": "p-1"}], faults=[]), EPOCH, EPOCH, EPOCH + 60).values[0]
    np.testing.assert_array_equal(both, alone)


def test_seed_changes_everything():
    one = simulate(scenario(), EPOCH, EPOCH, EPOCH + 60).values
    other = simulate(scenario(seed=8), EPOCH, EPOCH, EPOCH + 60).values
    assert (one[:, :2] != other[:, :2]).mean() > 0.95


def test_past_does_not_depend_on_faults_to_come():
    history = simulate(scenario(faults=[]), None, EPOCH - 60, EPOCH).values
    before = simulate(scenario(), EPOCH, EPOCH - 60, EPOCH).values
    np.testing.assert_array_equal(history, before)


@pytest.mark.parametrize("stream", ["a", "b"])
def test_noise_is_white_and_normal(stream):
    draws = randomness.normal(randomness.keys(1, ["x", "y"], stream), np.arange(200_000))
    assert np.abs(draws.mean(axis=1)).max() < 0.01
    assert np.abs(draws.std(axis=1) - 1.0).max() < 0.01
    assert abs(np.corrcoef(draws)[0, 1]) < 0.01
    assert abs(np.corrcoef(draws[0, 1:], draws[0, :-1])[0, 1]) < 0.01
    assert 1e-3 < (np.abs(draws) > 3).mean() < 5e-3
