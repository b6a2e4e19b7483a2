"""A feature that says another number than the textbook, or a number where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from wheeltapper_api.checks.asset_class import FUNCTIONS as OF_KIND
from wheeltapper_api.kinds.assetclass import SignalKind
from wheeltapper_workers.features.statistics import FUNCTIONS, segment_statistics

NAMES = list(FUNCTIONS)
SECOND = 1_000_000_000


def reference(values: np.ndarray, times_ns: np.ndarray) -> dict[str, float]:
    """Each function by the libraries' own means, one segment at a time."""
    seconds = (times_ns - times_ns[0]) / 1e9
    rms = np.sqrt(np.mean(values**2))
    return {
        "mean": np.mean(values),
        "std": np.std(values),
        "rms": rms,
        "kurtosis": scipy.stats.kurtosis(values, fisher=False),
        "skewness": scipy.stats.skew(values),
        "crest-factor": np.max(np.abs(values)) / rms,
        "peak-to-peak": np.ptp(values),
        "slope": scipy.stats.linregress(seconds, values).slope,
        "min": np.min(values),
        "max": np.max(values),
        "last": values[-1],
        "count": float(len(values)),
    }


def one(values, names=NAMES, times_ns=None):
    values = np.asarray(values, dtype=np.float64)
    times_ns = np.arange(len(values), dtype=np.int64) * SECOND if times_ns is None else np.asarray(times_ns)
    result = segment_statistics(values, times_ns, np.array([0]), np.array([len(values)]), names)
    return dict(zip(names, result[0], strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_random_overlapping_segments_equal_numpy_and_scipy(seed):
    random = np.random.default_rng(seed)
    n = 3000
    values = random.gamma(2.0, size=n) * 10.0 ** random.integers(-3, 4) - random.uniform(0, 3)
    times = np.cumsum(random.integers(1, 3 * SECOND, n)) + 1_700_000_000 * SECOND
    starts = random.integers(0, n - 5, 80)
    ends = np.minimum(starts + random.integers(3, [400] * 80), n)
    result = segment_statistics(values, times, starts, ends, NAMES)
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        expected = reference(values[start:end], times[start:end])
        np.testing.assert_allclose(result[row], [expected[name] for name in NAMES], rtol=1e-9, atol=1e-12)


def test_the_table_of_functions_is_the_kinds_enumeration():
    assert set(FUNCTIONS) == {function.value for function in OF_KIND[SignalKind.GAUGE]}
    assert {statistic.unit for statistic in FUNCTIONS.values()} == {"same", "1", "per-second"}


def test_columns_follow_the_names_asked_for_even_twice():
    values = np.array([1.0, 5.0, 3.0])
    result = segment_statistics(
        values, np.arange(3) * SECOND, np.array([0]), np.array([3]), ["max", "count", "min", "max"]
    )
    assert result.tolist() == [[5.0, 3.0, 1.0, 5.0]]


@pytest.mark.parametrize("name", NAMES)
def test_a_function_alone_equals_the_function_among_all(name):
    values = np.random.default_rng(3).normal(size=61) + 7
    assert one(values, [name])[name] == one(values)[name]


@pytest.mark.parametrize("offset", [1e9, -1e9])
def test_an_offset_of_a_thousand_million_costs_no_digits(offset):
    # Multiples of 2**-20 are exact at 1e9, so the data itself loses nothing.
    noise = np.round(np.random.default_rng(4).normal(size=6000) * 2**20) / 2**20
    near, far = one(noise), one(noise + offset)
    for name in ("std", "kurtosis", "skewness", "peak-to-peak", "slope"):
        assert far[name] == pytest.approx(near[name], rel=1e-10, abs=1e-15), name
    assert far["mean"] - offset == pytest.approx(near["mean"], abs=2.4e-7)  # two units in the last place of 1e9


def test_a_first_sample_far_from_the_rest_does_no_harm():
    values = np.concatenate([[1e9], np.random.default_rng(5).normal(size=99)])
    expected = reference(values, np.arange(100) * SECOND)
    result = one(values)
    for name in ("mean", "std", "rms", "kurtosis", "skewness", "crest-factor"):
        assert result[name] == pytest.approx(expected[name], rel=1e-9), name


def test_a_constant_has_no_shape_but_exact_moments():
    for level in (0.1, 1e9 + 0.1, -3.7):
        result = one([level] * 37)
        assert result["mean"] == level
        assert result["std"] == 0.0
        assert result["slope"] == 0.0
        assert result["crest-factor"] == pytest.approx(1.0)
        assert np.isnan(result["kurtosis"])
        assert np.isnan(result["skewness"])


def test_all_zeros_have_no_crest_factor():
    result = one([0.0, -0.0, 0.0])
    assert np.isnan(result["crest-factor"])
    assert result["rms"] == 0.0


def test_an_empty_segment_counts_nothing_and_says_nothing():
    result = segment_statistics(
        np.array([1.0, 2.0]), np.array([0, SECOND]), np.array([1, 0, 2]), np.array([1, 2, 2]), NAMES
    )
    count = NAMES.index("count")
    assert result[:, count].tolist() == [0.0, 2.0, 0.0]
    assert np.isnan(np.delete(result[[0, 2]], count, axis=1)).all()


def test_no_segments_and_no_samples_are_answered():
    nothing = np.array([], dtype=np.int64)
    assert segment_statistics(np.array([1.0]), np.array([0]), nothing, nothing, NAMES).shape == (0, len(NAMES))
    zero = np.zeros(2, dtype=np.int64)
    assert segment_statistics(np.array([]), nothing, zero, zero, ["count"]).tolist() == [[0.0], [0.0]]


def test_one_sample_has_a_value_and_no_slope():
    result = one([4.0])
    assert (result["mean"], result["std"], result["last"], result["count"]) == (4.0, 0.0, 4.0, 1.0)
    assert np.isnan(result["slope"])


def test_equal_times_have_no_slope():
    assert np.isnan(one([1.0, 2.0, 3.0], times_ns=[5, 5, 5])["slope"])


def test_slope_is_per_second_at_irregular_times_far_from_the_epoch():
    times = 1_790_000_000 * SECOND + np.array([0, 1, 7, 8, 30]) * SECOND // 4
    seconds = (times - times[0]) / 1e9
    assert one(2.5 * seconds + 100, times_ns=times)["slope"] == pytest.approx(2.5, rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_spoils_its_segment_only(bad):
    values = np.array([1.0, 2.0, bad, 4.0, 5.0, 6.0])
    result = segment_statistics(values, np.arange(6) * SECOND, np.array([0, 3]), np.array([4, 6]), NAMES)
    count = NAMES.index("count")
    assert result[0, count] == 4.0
    assert np.isnan(np.delete(result[0], count)).all()
    assert np.isfinite(result[1][[NAMES.index(name) for name in ("mean", "std", "min", "last", "slope")]]).all()


def test_values_too_large_or_small_for_their_fourth_power_give_no_wrong_shape():
    for scale in (1e-160, 1e100, 1e160):
        result = one(np.array([-1.0, 1.0, 3.0]) * scale)
        assert np.isnan(result["kurtosis"])
        assert np.isnan(result["skewness"])
    expected = reference(np.array([-1.0, 1.0, 3.0]), np.arange(3) * SECOND)
    assert one(np.array([-1.0, 1.0, 3.0]) * 1e-60)["kurtosis"] == pytest.approx(expected["kurtosis"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"functions": ["median"]}, "Unknown function 'median'"),
        ({"times_ns": np.arange(3)}, "two equal rows"),
        ({"ends": np.array([2, 3])}, "two equal rows"),
        ({"ends": np.array([5])}, "within the 4 samples"),
        ({"starts": np.array([-1])}, "within the 4 samples"),
        ({"starts": np.array([3])}, "not end before it starts"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "values": np.zeros(4),
        "times_ns": np.arange(4),
        "starts": np.array([0]),
        "ends": np.array([2]),
        "functions": ["mean"],
    }
    with pytest.raises(ValueError, match=message):
        segment_statistics(**(arguments | change))
