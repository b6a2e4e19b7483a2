"""Which samples are late is decided again from the stored ones: it has to be what the featurizer decided."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.lines import PIPELINE, SECOND, START, healthy, line_config
from wheeltapper_api.wire import Quality, Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.late.lateness import Arrived, Clocks, Rules, Touched, joined, look, touched
from wheeltapper_workers.runtime.blocks import Block


def disordered(seed):
    """Minutes of three assets, thrown about by up to a minute, with silences, wild clocks and blocks of any size."""
    random = np.random.default_rng(seed)
    samples = healthy(600, seed=seed)
    for asset in range(3):  # each falls silent once, for a time about as long as the silence that is skipped
        gap = int(random.integers(40, 140)) * SECOND
        after = (samples.asset == asset) & (samples.time > START + int(random.integers(100, 500)) * SECOND)
        samples.time = np.where(after, samples.time + gap, samples.time)
    thrown = random.random(len(samples)) < 0.3
    arrival = samples.time + np.where(thrown, random.integers(0, 60 * SECOND, len(samples)), 0)
    wild = random.random(len(samples)) < 0.01
    samples.quality[wild] = Quality.CLOCK
    samples.time = np.where(wild, samples.time + 86_400 * SECOND, samples.time)
    samples = samples.take(np.argsort(arrival, kind="stable"))
    bounds = np.sort(random.choice(len(samples), size=random.integers(5, 200), replace=False))
    return [samples.take(part) for part in np.split(np.arange(len(samples)), bounds) if len(part)]


def config_of(seed):
    pipeline = PIPELINE.model_copy(update={"lateness_ns": (0, 2, 15)[seed % 3] * SECOND})
    return line_config(pipeline=pipeline)


@pytest.mark.parametrize("seed", range(12))
def test_featurizer_decides_the_same_on_any_disorder(seed):
    config = config_of(seed)
    step, rules, clocks = FeaturizeStep(config), Rules.of(config), Clocks.initial(3)
    state, late = step.initial(config), np.zeros(3, np.int64)
    for sequence, part in enumerate(disordered(seed), 1):
        state, _ = step.step(state, Block(Stage.TELEMETRY.stream, sequence, part.batch()))
        believed = part.quality & Quality.CLOCK == 0
        arrived = Arrived(part.asset[believed].astype(np.int64), part.time[believed])
        clocks, found = look(clocks, rules, arrived)
        np.add.at(late, arrived.asset[found], 1)
        assert clocks.next_end.tolist() == state.next_end.tolist()
        assert late.tolist() == state.late.tolist()
    assert late.min() > 0


def test_clocks_follow_a_config_as_the_featurizer_does():
    before = line_config()
    pipeline = PIPELINE.model_copy(update={"every_ns": 15 * SECOND, "lateness_ns": 5 * SECOND})
    after = line_config(assets=["p-3", "p-9", "p-1"], pipeline=pipeline)
    samples = healthy(95)
    step, rules, clocks = FeaturizeStep(before), Rules.of(before), Clocks.initial(3)
    state, _ = step.step(step.initial(before), Block(Stage.TELEMETRY.stream, 1, samples.batch()))
    clocks, _ = look(clocks, rules, Arrived(samples.asset.astype(np.int64), samples.time))
    state, moved = step.reconfigure(state, after), clocks.follow(rules, Rules.of(after))
    assert moved.next_end.tolist() == state.next_end.tolist()
    assert moved.newest.tolist() == state.newest.tolist()


def test_bursts_before_their_samples_move_no_time():
    rules = Rules.of(line_config())
    clocks, _ = look(Clocks.initial(3), rules, Arrived(np.array([0]), np.array([START])))
    after, late = look(clocks, rules, Arrived(np.array([0]), np.array([START + 3600 * SECOND]), bursts=True))
    assert after.newest.tolist() == clocks.newest.tolist()
    assert not late.any()


def test_far_apart_late_samples_touch_no_window_between_them():
    rules = Rules.of(line_config())
    time = np.array([START, START + 20 * SECOND, START + 7200 * SECOND])
    found = touched("p-1", 9, rules, time, ["vibration", "speed", "speed"])
    assert [(one.low, one.high) for one in found] == [
        (START, START + 80 * SECOND),
        (START + 7200 * SECOND, START + 7260 * SECOND),
    ]


def test_windows_touched_twice_are_one_part():
    one = Touched("p-1", 10, 30, 4, 4, {"state": 12})
    other = Touched("p-1", 25, 50, 7, 8, {"state": 26})
    apart, elsewhere = Touched("p-1", 51, 60, 9, 9), Touched("p-2", 10, 30, 4, 4)
    assert joined([other, elsewhere, apart, one]) == [
        Touched("p-1", 10, 50, 4, 8, {"state": 26}),
        apart,
        elsewhere,
    ]
