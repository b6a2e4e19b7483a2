"""A config changes while samples are on their way: what remains goes on without a gap."""

from __future__ import annotations

import numpy as np

from tests.support.drive import drive, rows
from tests.support.lines import SECOND, START, healthy, line_config
from wheeltapper_workers.features.featurizer import FeaturizeStep

WHERE = ("telemetry_first", "telemetry_last")


def test_removing_and_adding_assets_leaves_the_others_unbroken():
    samples = healthy(300)
    parts = [samples.take(part).batch() for part in np.array_split(np.arange(len(samples)), 10)]
    plain = FeaturizeStep(line_config())
    _, expected = drive(plain, plain.initial(line_config()), parts)

    step = FeaturizeStep(line_config())
    state, outputs = drive(step, step.initial(line_config()), parts[:5])
    state = step.reconfigure(state, line_config(["p-9", "p-3", "p-1"]))
    state, more = drive(step, state, parts[5:], first=6)
    for asset in ("'p-1'", "'p-3'"):
        kept = [row for row in rows(outputs + more, WHERE) if row["asset"] == asset]
        assert kept == [row for row in rows(expected, WHERE) if row["asset"] == asset]


def test_a_new_step_length_realigns_the_rows():
    samples = healthy(200)
    step = FeaturizeStep(line_config())
    state, _ = drive(step, step.initial(line_config()), [samples.take(samples.time < START + 95 * SECOND).batch()])
    config = line_config()
    faster = config.model_copy(update={"pipeline": config.pipeline.model_copy(update={"every_ns": 5 * SECOND})})
    state = step.reconfigure(state, faster)
    _, outputs = drive(step, state, [samples.take(samples.time >= START + 95 * SECOND).batch()], first=2)
    ends = sorted({row["window_end"].timestamp() for batch in outputs for row in batch.to_pylist()})
    assert ends[0] == START / SECOND + 100
    assert set(np.diff(ends)) == {5.0}


def test_a_new_step_length_and_a_twin_that_never_spoke():
    """Before its first sample an asset has no next row that could be aligned to anything."""
    samples, config = healthy(60, assets=2), line_config()
    step = FeaturizeStep(config)
    state, _ = drive(step, step.initial(config), [samples.batch()])
    faster = config.model_copy(update={"pipeline": config.pipeline.model_copy(update={"every_ns": 5 * SECOND})})
    state = step.reconfigure(state, faster)
    late = healthy(20, start=START + 60 * SECOND)
    _, outputs = drive(step, state, [late.take(late.asset == 2).batch()], first=2)
    assert [row["window_end"].timestamp() - START / SECOND for row in outputs[0].to_pylist()] == [65.0, 70.0, 75.0]
