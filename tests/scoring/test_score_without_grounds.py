"""A score that rests on nothing is worse than none: every missing ground is named, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest

from tests.support.drive import drive, rows
from tests.support.lines import ASSETS, MODEL, PIPELINE, SECOND, START, Samples, healthy, line_config
from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_api.wire import Quality, Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.scoring.scorer import ScoreStep

HOUR = 3600


def features(samples, config=None, blocks=30):
    config = config or line_config()
    step = FeaturizeStep(config)
    parts = [samples.take(part).batch() for part in np.array_split(np.arange(len(samples)), blocks)]
    return drive(step, step.initial(config), parts)[1]


def score(batches, config=None):
    config = config or line_config()
    step = ScoreStep(config)
    state, outputs = drive(step, step.initial(config), batches, Stage.FEATURES)
    return step, state, [row for batch in outputs for row in batch.to_pylist()]


@pytest.fixture(scope="module")
def hour():
    return features(healthy(HOUR))


def test_learning_is_said_until_the_baseline_is_whole(hour):
    step, state, table = score(hour)
    own = [row for row in table if row["asset"] == "p-1"]
    learned_at = next(i for i, row in enumerate(own) if row["reason"] == "")
    assert [row["reason"] for row in own[:2]] == ["no-data", "learning"], "the first window is a third full"
    assert {row["reason"] for row in own[1:learned_at]} == {"learning"}
    assert {row["reason"] for row in own[learned_at:]} == {""}
    assert all(np.isnan(row["score"]) for row in own[:learned_at])
    assert not any(np.isnan(row["score"]) for row in own[learned_at:])
    span = own[learned_at]["window_end"] - own[0]["window_end"]
    assert span.total_seconds() == pytest.approx(1800, abs=10)
    assert step.summary(state)["learning"] == {}


def test_progress_of_the_learning_is_told(hour):
    step, state, _ = score(hour[:10])
    assert step.summary(state)["learning"]["p-1"][MODEL.name].endswith(" of 30 min")


def test_off_and_missing_data_have_their_own_reason():
    samples = healthy(HOUR + 600)
    late = samples.time >= START + HOUR * SECOND
    stopped = late & (samples.asset == 0) & (samples.signal == 1)
    bad = late & (samples.asset == 1) & (samples.signal == 0)
    spoilt = Samples(
        samples.asset,
        samples.signal,
        samples.time,
        np.where(stopped, 0.0, samples.value),
        np.where(bad, int(Quality.BAD), 0),
    )
    _, _, table = score(features(spoilt))
    last = {row["asset"]: row for row in table[-6:]}
    assert [last[asset]["reason"] for asset in ASSETS] == ["mode", "no-data", ""]
    assert np.isnan(last["p-1"]["score"])
    assert np.isnan(last["p-2"]["score"])
    assert last["p-2"]["coverage"] == 0
    assert last["p-3"]["score"] >= 0


def test_a_worn_bearing_scores_and_its_neighbours_do_not():
    samples = healthy(HOUR)
    worn = (samples.time >= START + 3000 * SECOND) & (samples.asset == 2) & (samples.signal == 0)
    samples = Samples(samples.asset, samples.signal, samples.time, np.where(worn, samples.value + 1, samples.value))
    _, _, table = score(features(samples))
    final = {row["asset"]: row["score"] for row in table[-3:]}
    assert final["p-3"] > 2
    assert max(final["p-1"], final["p-2"]) < 1


def test_cuts_and_second_deliveries_change_no_score(hour):
    singles = [batch.slice(i, 3) for batch in hour for i in range(0, len(batch), 3)]
    without = ("features_sequence",)
    _, _, whole = score(hour)
    step = ScoreStep(line_config())
    _, outputs = drive(step, step.initial(line_config()), [*singles, *singles[-20:]], Stage.FEATURES)
    assert rows(outputs, without) == [{k: repr(v) for k, v in row.items() if k not in without} for row in whole]


@pytest.mark.parametrize("at", [3, 16, 25])
def test_a_restart_scores_like_an_uninterrupted_run(hour, at):
    config = line_config()
    step, again = ScoreStep(config), ScoreStep(config)
    state, before = drive(step, step.initial(config), hour[:at], Stage.FEATURES)
    state = again.restore(step.snapshot(state), config)
    _, after = drive(again, state, hour[at:], Stage.FEATURES, first=at + 1)
    whole = ScoreStep(config)
    _, expected = drive(whole, whole.initial(config), hour, Stage.FEATURES)
    assert rows(before + after) == rows(expected)


def test_an_edited_line_keeps_what_its_assets_have_learned(hour):
    step, state, _ = score(hour)
    state = step.reconfigure(state, line_config(["p-9", "p-3"]))
    more = features(healthy(HOUR + 120))[-1]
    _, outputs = drive(step, state, [more], Stage.FEATURES, first=99)
    table = [row for batch in outputs for row in batch.to_pylist()]
    assert {row["asset"] for row in table} == {"p-3"}
    assert {row["reason"] for row in table} == {""}
    assert list(step.summary(state)["learning"]) == ["p-9"]


def test_a_longer_list_of_inputs_learns_anew(hour):
    step, state, _ = score(hour)
    entry = MODEL.inputs[0].model_copy(update={"feature": "vibration-kurtosis"})
    model = MODEL.model_copy(update={"inputs": [*MODEL.inputs, entry]})
    state = step.reconfigure(state, line_config(model=model))
    _, outputs = drive(step, state, [features(healthy(HOUR + 120))[-1]], Stage.FEATURES, first=99)
    assert pc.unique(outputs[-1].column("reason").dictionary_decode()).to_pylist() == ["learning"]


def reasons_after(hour, **features_changed):
    """Reasons of the scores after the definitions of features have changed."""
    changed = [
        feature.model_copy(update=features_changed.get(feature.name.replace("-", "_"), {}))
        for feature in PIPELINE.features
    ]
    config = line_config(pipeline=PIPELINE.model_copy(update={"features": changed}))
    step, state, _ = score(hour)
    state = step.reconfigure(state, config)
    _, outputs = drive(step, state, [features(healthy(HOUR + 120), config)[-1]], Stage.FEATURES, first=99)
    return pc.unique(outputs[-1].column("reason").dictionary_decode()).to_pylist()


@pytest.mark.parametrize(
    "change",
    [
        {"vibration_level": {"window_ns": 60 * SECOND}},
        {"vibration_level": {"function": Function.MAX}},
        {"vibration_level": {"of": "speed"}},
        {"speed_level": {"window_ns": 20 * SECOND}},
    ],
    ids=["another window", "another function", "another signal", "what the modes are told by"],
)
def test_a_baseline_is_not_used_for_a_feature_of_the_same_name(hour, change):
    assert reasons_after(hour, **change) == ["learning"]


@pytest.mark.parametrize(
    "change",
    [{"vibration_level": {"title": "Shaking"}}, {"vibration_kurtosis": {"window_ns": 120 * SECOND}}],
    ids=["a title", "a feature that the model does not read"],
)
def test_a_baseline_outlives_a_change_that_does_not_touch_it(hour, change):
    assert reasons_after(hour, **change) == [""]


def test_a_line_without_failure_models_has_no_scores_and_does_not_stop(hour):
    config = line_config()
    bare = config.model_copy(
        update={"models": [], "assets": [asset.model_copy(update={"models": []}) for asset in config.assets]}
    )
    step, state, table = score(hour, bare)
    assert table == []
    assert step.summary(state) is not None
