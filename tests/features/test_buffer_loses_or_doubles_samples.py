"""The buffer against a plain sorted list: whatever the order, the gaps and the growth, each sample is there once."""

from __future__ import annotations

import numpy as np
import pytest

from wheeltapper_api.wire import UNUSABLE, Quality
from wheeltapper_workers.features.buffer import Buffer, Samples

SERIES = 7


class Plain:
    """The same by lists of tuples."""

    def __init__(self):
        self.rows = [[] for _ in range(SERIES)]

    def append(self, samples):
        for row in zip(*samples.columns().values(), strict=True):
            series, time, ordinal = (int(number) for number in row[:3])
            if (time, ordinal) not in {known[:2] for known in self.rows[series]}:
                self.rows[series].append((time, ordinal, *row[3:]))
                self.rows[series].sort(key=lambda known: known[:2])

    def good(self, series):
        return [row for row in self.rows[series] if not int(row[3]) & UNUSABLE]

    def forget(self, before, carried):
        for series, rows in enumerate(self.rows):
            kept = [row for row in rows if row[0] >= before[series]]
            if carried[series]:
                earlier = [i for i, row in enumerate(rows) if row[0] < before[series] and not int(row[3]) & UNUSABLE]
                kept = rows[earlier[-1] :] if earlier else kept
            self.rows[series] = kept


def chance(random, clock, number, disorder, ascending=False):
    count = int(random.integers(0, 40))
    time = clock + np.sort(random.integers(0, 30, count))
    if disorder:
        time = time - np.where(random.random(count) < 0.1, random.integers(0, 60, count), 0)
    series = random.integers(0, SERIES, count)
    return Samples.from_columns(
        {
            "series": np.sort(series) if ascending else series,
            "time": time,
            "ordinal": random.integers(0, 2, count) if disorder else np.zeros(count),
            "value": random.normal(size=count),
            "quality": random.choice([0, 0, 0, int(Quality.UNCERTAIN), int(Quality.STEP)], count),
            "sequence": np.full(count, number),
            "received": time + random.integers(0, 5, count),
        }
    )


@pytest.mark.parametrize("disorder", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_every_row_of_deeds_leaves_what_a_sorted_list_has(seed, disorder):
    random = np.random.default_rng(seed)
    buffer, plain = Buffer(np.full(SERIES, 1)), Plain()
    carried = np.arange(SERIES) % 3 == 0
    for number in range(120):
        samples = chance(random, number * 10, number, disorder)
        buffer.append(samples)
        plain.append(samples)
        if random.random() < 0.3:
            before = number * 10 - random.integers(0, 150, SERIES)
            buffer.forget(before, carried)
            plain.forget(before, carried)
        if random.random() < 0.1:
            buffer = Buffer.of(buffer.samples().take(random.permutation(len(buffer))), np.full(SERIES, 3))
        assert same(buffer, plain)
    assert asked(buffer, plain, random, 1200)


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("disorder", [False, True])
def test_many_blocks_are_put_into_their_slots_together_as_one_by_one(disorder, ascending):
    random = np.random.default_rng(7)
    together, one_by_one = Buffer(np.full(SERIES, 1)), Buffer(np.full(SERIES, 1))
    for number in range(150):  # more than may wait
        samples = chance(random, number * 10, number, disorder, ascending)
        together.append(samples)
        one_by_one.append(samples)
        assert len(one_by_one)  # whoever asks has them put in
    for found, wanted in zip(
        together.samples().columns().values(), one_by_one.samples().columns().values(), strict=True
    ):
        assert found.tolist() == wanted.tolist()


def same(buffer, plain):
    rows = [(series, *row) for series, rows in enumerate(plain.rows) for row in rows]
    found = list(zip(*buffer.samples().columns().values(), strict=True))
    assert len(buffer) == len(rows)
    return [tuple(map(float, row)) for row in found] == [tuple(map(float, row)) for row in rows]


def union(flags):
    found = 0
    for flag in flags:
        found |= flag
    return found


def asked(buffer, plain, random, until):
    """Windows of all samples and of the good ones, their flags and where they come from."""
    every = buffer.view()
    good = buffer.good(every)
    for _ in range(200):
        series = random.integers(0, SERIES, 1)
        begin = random.integers(until - 250, until, 1)
        end = begin + random.integers(0, 100, 1)
        rows = [row for row in plain.rows[series[0]] if begin[0] <= row[0] < end[0]]
        usable = [row for row in plain.good(series[0]) if begin[0] <= row[0] < end[0]]
        starts, ends = good.positions(series, begin), good.positions(series, end)
        assert good.value[starts[0] : ends[0]].tolist() == [row[2] for row in usable]
        earlier = [row for row in plain.good(series[0]) if row[0] < begin[0]]
        moved = good.with_previous(series, starts)[0]
        assert (starts[0] - moved) == bool(earlier)
        if earlier:
            assert good.value[moved] == earlier[-1][2]
        starts, ends = every.positions(series, begin), every.positions(series, end)
        assert buffer.flags(series, starts, ends)[0] == union(int(row[3]) & UNUSABLE for row in rows)
        first, last, received = (int(column[0]) for column in buffer.origins(series, starts, ends))
        if rows:
            assert (first, last) == (min(row[4] for row in rows), max(row[4] for row in rows))
            assert received == max(row[5] for row in rows)
        else:
            assert (first, last, received) == (np.iinfo(np.int64).max, 0, 0)
    return True
