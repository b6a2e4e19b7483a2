"""Equal definitions must have equal digests everywhere, and different ones different digests."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from wheeltapper_workers.detectors import graphs

CASES = {
    "fixed": graphs.fixed_limit([1.0, 2.0], [2.0, 3.0]),
    "fixed, other normal": graphs.fixed_limit([1.5, 2.0], [2.0, 3.0]),
    "fixed, other limit": graphs.fixed_limit([1.0, 2.0], [2.0, 4.0]),
    "fixed, other order": graphs.fixed_limit([2.0, 1.0], [3.0, 2.0]),
    "fixed, all": graphs.fixed_limit([1.0, 2.0], [2.0, 3.0], "all"),
    "fixed, one input": graphs.fixed_limit([1.0], [2.0]),
    "z": graphs.robust_z(3.0, ["up", "up"]),
    "z, other limit": graphs.robust_z(3.5, ["up", "up"]),
    "z, other direction": graphs.robust_z(3.0, ["up", "either"]),
    "z, other down": graphs.robust_z(3.0, ["up", "down"]),
    "z, all": graphs.robust_z(3.0, ["up", "up"], "all"),
    "z, one input": graphs.robust_z(3.0, ["up"]),
    "ewma": graphs.ewma(0.1, 3.0, ["up", "up"]),
    "ewma, other lambda": graphs.ewma(0.2, 3.0, ["up", "up"]),
    "ewma, other limit": graphs.ewma(0.1, 3.5, ["up", "up"]),
    "ewma, other direction": graphs.ewma(0.1, 3.0, ["down", "up"]),
    "ewma, all": graphs.ewma(0.1, 3.0, ["up", "up"], "all"),
    "ewma, three inputs": graphs.ewma(0.1, 3.0, ["up", "up", "up"]),
}

BUILD_ALL = """
from wheeltapper_workers.detectors import graphs
for model in (
    graphs.fixed_limit([1.0, 2.0], [2.0, 3.0]),
    graphs.robust_z(3.0, ["up", "up"]),
    graphs.ewma(0.1, 3.0, ["up", "up"]),
):
    print(graphs.digest(model))
"""


def test_every_parameter_is_part_of_the_digest():
    for (left, one), (right, other) in itertools.combinations(CASES.items(), 2):
        assert graphs.digest(one) != graphs.digest(other), (left, right)


def test_a_constant_of_lambda_that_only_the_recurrence_sees_is_part_of_the_digest():
    """With limit * sqrt(lambda / (2 - lambda)) kept equal, the models still differ."""
    bound = 3.0 * (0.1 / 1.9) ** 0.5
    other = graphs.ewma(0.2, bound / (0.2 / 1.8) ** 0.5, ["up", "up"])
    assert graphs.digest(other) != graphs.digest(CASES["ewma"])


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_another_process_builds_the_same_bytes(seed):
    child = subprocess.run(
        [sys.executable, "-c", BUILD_ALL],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert child.stdout.split() == [graphs.digest(CASES[name]) for name in ("fixed", "z", "ewma")]


def test_whole_numbers_and_enumerations_build_the_bytes_of_floats_and_words():
    assert graphs.fixed_limit([1, 2], [2, 3]) == CASES["fixed"]
    both_up = [graphs.Direction.UP, graphs.Direction.UP]
    assert graphs.robust_z(3, both_up, graphs.Combine.ANY) == CASES["z"]


def test_a_digest_names_its_algorithm():
    assert graphs.digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
