"""A wrong operating mode compares a starting machine with a running one."""

from __future__ import annotations

import numpy as np

from tests.support.drive import drive
from tests.support.lines import SECOND, START, Samples, healthy, line_config
from wheeltapper_workers.features.featurizer import FeaturizeStep


def modes_of(speeds):
    """Mode and band of p-1 after each 10 s, for a speed a row of 10 s; None is a speed that is not there."""
    seconds = len(speeds) * 10
    samples = healthy(seconds + 3, assets=1)
    speed = np.repeat([np.nan if s is None else s for s in speeds] + [speeds[-1] or np.nan], 10)[: seconds + 3]
    value = np.where(samples.signal == 1, speed[(samples.time - START) // SECOND], samples.value)
    kept = ~np.isnan(value)
    samples = Samples(samples.asset[kept], samples.signal[kept], samples.time[kept], value[kept])
    step = FeaturizeStep(line_config())
    _, outputs = drive(step, step.initial(line_config()), [samples.batch()])
    return [(row["mode"], row["band"]) for batch in outputs for row in batch.to_pylist()]


def test_start_up_follows_off_and_ends_by_itself():
    assert modes_of([0, 0, *[1480] * 8]) == [("off", 0)] * 2 + [("start-up", 0)] * 5 + [("running", 1)] * 3


def test_load_bands_divide_a_mode():
    assert modes_of([900, 1000, 1100]) == [("running", 0), ("running", 1), ("running", 1)]


def test_without_the_deciding_feature_the_mode_is_not_known():
    assert modes_of([1480, None, 1480]) == [("running", 1), (None, 0), ("running", 1)]


def test_mode_since_is_when_the_mode_was_entered():
    samples = healthy(100)
    step = FeaturizeStep(line_config())
    _, outputs = drive(step, step.initial(line_config()), [samples.batch()])
    assert {row["mode_since"] for batch in outputs for row in batch.to_pylist() if row["asset"] == "p-1"} == {
        outputs[0].to_pylist()[0]["window_end"]
    }


def test_an_unknown_mode_has_a_beginning():
    assert modes_of([None, None, 1480])[:2] == [(None, 0), (None, 0)]
    samples = healthy(40).take(slice(0, 240, 2))  # vibration alone: the speed that decides is never there
    step = FeaturizeStep(line_config())
    _, outputs = drive(step, step.initial(line_config()), [samples.batch()])
    table = [row for batch in outputs for row in batch.to_pylist()]
    assert {row["mode"] for row in table} == {None}
    assert {row["mode_since"] for row in table} == {table[0]["window_end"]}
