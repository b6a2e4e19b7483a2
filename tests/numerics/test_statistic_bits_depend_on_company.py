"""A replay cuts the data into other blocks: a feature whose bits change with its batch cannot be replayed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from wheeltapper_workers.features import statistics
from wheeltapper_workers.features.statistics import FUNCTIONS, segment_statistics

NAMES = list(FUNCTIONS)


def bits(result: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(result).view(np.uint64)


def series(seed: int, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    values = random.normal(size=n) * 10.0 ** random.integers(-4, 6, n) + 10.0 ** random.integers(0, 9)
    values[random.integers(0, n, 20)] = -0.0
    return values, np.cumsum(random.integers(1, 2_000_000_000, n)) + 1_700_000_000_000_000_000


def segments(seed: int, n: int = 4000, count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed + 1000)
    starts = random.integers(0, n, count)
    lengths = np.where(random.random(count) < 0.5, random.integers(0, 40, count), random.integers(0, 900, count))
    return starts, np.minimum(starts + lengths, n)


@pytest.mark.parametrize("seed", range(6))
def test_alone_and_among_others_are_the_same_bits(seed):
    values, times = series(seed)
    starts, ends = segments(seed)
    together = segment_statistics(values, times, starts, ends, NAMES)
    for row in range(len(starts)):
        alone = segment_statistics(values, times, starts[row : row + 1], ends[row : row + 1], NAMES)
        np.testing.assert_array_equal(bits(alone[0]), bits(together[row]))


@pytest.mark.parametrize("seed", range(6))
def test_order_does_not_matter(seed):
    values, times = series(seed)
    starts, ends = segments(seed)
    order = np.random.default_rng(seed).permutation(len(starts))
    together = segment_statistics(values, times, starts, ends, NAMES)
    shuffled = segment_statistics(values, times, starts[order], ends[order], NAMES)
    np.testing.assert_array_equal(bits(shuffled), bits(together[order]))


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 60, 61, 63, 64, 65, 127, 600, 3600])
def test_every_memory_alignment_gives_the_same_bits(length):
    """The samples stand at other addresses in every block; vector code may treat its head and tail otherwise."""
    random = np.random.default_rng(length)
    values = random.normal(size=length) * 10.0 ** random.integers(-3, 4, length)
    times = np.cumsum(random.integers(1, 10**9, length))
    seen = set()
    for shift in range(17):
        room = np.empty(8 * (length + 40), dtype=np.uint8)
        # Whole elements and also single bytes off: a column of a record is not aligned at all.
        moved = room[8 * shift + shift % 8 :][: 8 * length].view(np.float64)
        moved[:] = values
        padded_times = np.concatenate([np.arange(shift) - 100, times])[shift:]
        result = segment_statistics(moved, padded_times, np.array([0]), np.array([length]), NAMES)
        seen.add(result.tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize("length", [1, 3, 59, 60, 64, 700])
def test_position_in_the_series_does_not_matter(length):
    random = np.random.default_rng(length)
    window = random.normal(size=length) * 1e3
    gaps = random.integers(1, 10**9, length)
    seen = set()
    for before in (0, 1, 2, 3, 7, 8, 9, 1000):
        values = np.concatenate([random.normal(size=before) * 1e12, window, random.normal(size=5) * 1e-9])
        times = np.cumsum(np.concatenate([np.full(before, 7), gaps, np.full(5, 1)]))
        result = segment_statistics(values, times, np.array([before]), np.array([before + length]), NAMES)
        seen.add(result.tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize("chunk", [1, 64, 1000, 1 << 20])
def test_the_size_of_working_arrays_does_not_matter(chunk, monkeypatch):
    values, times = series(1)
    starts, ends = segments(1)
    expected = segment_statistics(values, times, starts, ends, NAMES)
    monkeypatch.setattr(statistics, "CHUNK_ELEMENTS", chunk)
    np.testing.assert_array_equal(bits(segment_statistics(values, times, starts, ends, NAMES)), bits(expected))


def test_how_many_equal_segments_share_a_batch_does_not_matter():
    """One column is where a library's reduction would switch to another order of additions."""
    values, times = series(2)
    starts = np.arange(0, 3000, 10)
    full = segment_statistics(values, times, starts, starts + 60, NAMES)
    for count in (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 100):
        part = segment_statistics(values, times, starts[:count], starts[:count] + 60, NAMES)
        np.testing.assert_array_equal(bits(part), bits(full[:count]))


def test_strided_views_give_the_bits_of_copies():
    values, times = series(3)
    starts, ends = segments(3, n=2000)
    views = segment_statistics(values[::2], times[::2], starts, ends, NAMES)
    copies = segment_statistics(values[::2].copy(), times[::2].copy(), starts, ends, NAMES)
    np.testing.assert_array_equal(bits(views), bits(copies))


def test_no_answer_and_zero_have_one_bit_pattern_each():
    values = np.array([0.0, -0.0, 0.0, -np.nan, np.inf, 2.0, 2.0])
    times = np.arange(7)
    starts, ends = np.array([0, 1, 0, 2, 5, 3]), np.array([3, 2, 2, 5, 7, 3])
    patterns = bits(segment_statistics(values, times, starts, ends, NAMES))
    assert np.uint64(1 << 63) not in patterns
    nans = np.isnan(patterns.view(np.float64))
    assert set(patterns[nans].tolist()) == {int(np.array(np.nan).view(np.uint64))}


def fingerprint() -> str:
    digest = hashlib.sha256()
    for seed in range(4):
        digest.update(segment_statistics(*series(seed), *segments(seed), NAMES).tobytes())
    return digest.hexdigest()


def test_narrower_vector_instructions_give_the_same_bits():
    """A plant's processor may lack what the cloud's has."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("This processor has none of NumPy's optional instructions to switch off")
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            "import importlib.util, sys; spec = importlib.util.spec_from_file_location('company', sys.argv[1]); "
            "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); "
            "print(module.fingerprint())",
            __file__,
        ],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert child.stdout.strip() == fingerprint()


@pytest.mark.parametrize("seed", range(20))
def test_the_layout_for_long_segments_gives_the_bits_of_the_other(seed, monkeypatch):
    random = np.random.default_rng(seed)
    values = random.normal(size=9000) * 10.0 ** random.integers(-5, 8) + 10.0 ** random.integers(0, 9)
    if seed % 4 == 0:
        values[random.integers(0, 9000, 2)] = random.choice([np.nan, np.inf, -0.0])
    if seed % 5 == 0:
        values *= 1e300
    times = np.cumsum(random.integers(1, 10**9, 9000))
    starts = random.integers(0, 4000, 30)
    ends = starts + (random.integers(1, 5000, 30) if seed % 2 else np.full(30, random.integers(1000, 5000)))
    rows = segment_statistics(values, times, starts, ends, NAMES)
    monkeypatch.setattr(statistics, "LONG", 10**9)
    assert segment_statistics(values, times, starts, ends, NAMES).tobytes() == rows.tobytes()
