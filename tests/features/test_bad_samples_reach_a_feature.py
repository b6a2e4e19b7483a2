"""Samples that are wrong, late or from a wrong clock are seen, counted and left out; their neighbours are not."""

from __future__ import annotations

import numpy as np

from tests.support.drive import drive
from tests.support.lines import ASSETS, SECOND, START, Samples, healthy, line_config
from wheeltapper_api.wire import Quality
from wheeltapper_workers.features.featurizer import FeaturizeStep


def featurize(*samples):
    step = FeaturizeStep(line_config())
    state, outputs = drive(step, step.initial(line_config()), [part.batch() for part in samples])
    table = [row for batch in outputs for row in batch.to_pylist()]
    return step, state, table


def spoilt(seconds, flag, value=1e6):
    samples = healthy(seconds)
    where = (samples.asset == 1) & (samples.signal == 0)
    return Samples(
        samples.asset,
        samples.signal,
        samples.time,
        np.where(where, value, samples.value),
        np.where(where, int(flag), 0),
    )


def test_flagged_samples_are_left_out_and_their_flags_kept():
    for flag in Quality:
        if flag in (Quality.GOOD, Quality.UNCERTAIN, Quality.CLOCK):
            continue
        _, _, table = featurize(spoilt(100, flag))
        bad = [row for row in table if row["asset"] == "p-2"]
        assert all(np.isnan(row["values"][0]) and row["coverage"][0] == 0 for row in bad), flag
        assert all(row["quality"][0] == int(flag) and row["quality"][2] == 0 for row in bad), flag
        assert all(not np.isnan(row["values"][2]) for row in bad), "the other signal goes on"


def test_uncertain_samples_count():
    _, _, table = featurize(spoilt(100, Quality.UNCERTAIN, 3.0))
    assert all(row["values"][0] == 3.0 for row in table if row["asset"] == "p-2")


def test_a_clock_in_the_future_does_not_move_the_watermark():
    samples = healthy(60)
    wrong = Samples([0], [0], [START + 10**6 * SECOND], [2.0], [int(Quality.CLOCK)])
    _, state, table = featurize(samples, wrong, Samples(*_columns(healthy(120)), None))
    assert state.newest[0] == START + 119 * SECOND
    assert {row["asset"] for row in table} == set(ASSETS)


def _columns(samples):
    return samples.asset, samples.signal, samples.time, samples.value


def test_late_samples_are_counted_and_make_no_second_row():
    early, late = healthy(120), healthy(120)
    step, state, table = featurize(early, late.take(late.time < START + 10 * SECOND))
    assert len({(row["asset"], row["window_end"]) for row in table}) == len(table)
    assert state.late.tolist() == [20, 20, 20]
    assert step.summary(state)["assets"]["p-1"]["late"] == 20


def test_a_week_of_silence_does_not_form_a_week_of_rows():
    week = 7 * 86400 * SECOND
    after = healthy(60, seed=2, start=START + week)
    _, _, table = featurize(healthy(60), after)
    assert len(table) < 3 * 15
    ends = sorted({row["window_end"].timestamp() for row in table})
    assert ends[-1] >= (START + week) / SECOND + 50
    assert not [end for end in ends if START / SECOND + 130 < end < (START + week) / SECOND]


def test_delayed_data_in_order_makes_its_rows():
    samples = healthy(100)
    delayed = Samples(*_columns(samples), received=samples.time + 3 * 86400 * SECOND)
    _, _, table = featurize(delayed)
    _, _, prompt = featurize(samples)
    assert [row["values"] for row in table] == [row["values"] for row in prompt]
    assert all(row["received_last"] > row["window_end"] for row in table)


def test_assets_of_other_lines_are_not_taken():
    samples = healthy(60)
    step = FeaturizeStep(line_config(["p-9"]))
    state, outputs = drive(step, step.initial(line_config(["p-9"])), [samples.batch()])
    assert outputs == []
    assert len(state.buffer) == 0
