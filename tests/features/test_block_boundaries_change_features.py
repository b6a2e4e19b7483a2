"""Blocks are cut by chance, by batch sizes and by crashes: none of it may show in a feature."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.drive import drive, rows
from tests.support.lines import SECOND, healthy, line_config
from wheeltapper_workers.features.featurizer import FeaturizeStep

# These tell where the samples were found, and that does depend on the cut.
WHERE = ("telemetry_first", "telemetry_last")


def featurize(batches):
    step = FeaturizeStep(line_config())
    _, outputs = drive(step, step.initial(line_config()), batches)
    return sorted(rows(outputs, WHERE), key=lambda row: (row["window_end"], row["asset"]))


def cut(samples, random):
    bounds = np.sort(random.choice(len(samples), size=random.integers(1, 60), replace=False))
    return [samples.take(part).batch() for part in np.split(np.arange(len(samples)), bounds) if len(part)]


@pytest.mark.parametrize("seed", range(5))
def test_any_cut_of_the_blocks_gives_the_same_bits(seed):
    samples = healthy(400)
    whole = featurize([samples.batch()])
    assert len(whole) == 3 * 39
    assert featurize(cut(samples, np.random.default_rng(seed))) == whole


@pytest.mark.parametrize("seed", range(3))
def test_order_within_the_lateness_changes_nothing(seed):
    samples = healthy(200)
    random = np.random.default_rng(seed)
    shaken = np.argsort(samples.time + random.integers(0, int(1.9 * SECOND), len(samples)), kind="stable")
    assert featurize(cut(samples.take(shaken), random)) == featurize([samples.batch()])


def test_a_second_delivery_changes_nothing():
    samples = healthy(120)
    halves = [samples.take(slice(0, 400)).batch(), samples.take(slice(300, None)).batch()]
    assert featurize(halves) == featurize([samples.batch()])


@pytest.mark.parametrize("at", [1, 7, 19])
def test_a_restart_gives_the_rows_of_an_uninterrupted_run(at):
    samples = healthy(300)
    parts = [samples.take(part).batch() for part in np.array_split(np.arange(len(samples)), 20)]
    config = line_config()
    step = FeaturizeStep(config)
    state, before = drive(step, step.initial(config), parts[:at])
    again = FeaturizeStep(config)
    _, after = drive(again, again.restore(step.snapshot(state), config), parts[at:], first=at + 1)
    whole = FeaturizeStep(config)
    _, expected = drive(whole, whole.initial(config), parts)
    assert rows(before + after) == rows(expected)


def test_a_row_names_the_blocks_that_hold_its_samples():
    samples = healthy(120)
    batches = [samples.take(samples.time // SECOND % 120 == s).batch() for s in np.unique(samples.time // SECOND % 120)]
    order = np.argsort([b.column("source_time")[0].value for b in batches])
    step = FeaturizeStep(line_config())
    _, outputs = drive(step, step.initial(line_config()), [batches[i] for i in order])
    last = outputs[-1].to_pylist()[0]
    assert last["telemetry_last"] - last["telemetry_first"] == 59  # a window of 60 s, one block a second
