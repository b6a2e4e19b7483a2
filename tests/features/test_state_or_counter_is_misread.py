"""States, alarms, contexts and counters come when they change, if at all: what they were before still holds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.support.drive import drive
from tests.support.lines import LINE, SECOND, START
from wheeltapper_api.config import AssetConfig, FeatureConfig, LineConfig, ModeConfig, PipelineConfig, SignalConfig
from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_api.wire import Quality, Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.runtime.blocks import encode_names, encode_times, make_batch

SIGNALS = ["state", "alarm", "recipe", "cycles", "flow"]
KINDS = ["state", "alarm", "context", "counter", "gauge"]
FEATURES = {
    "running": ("state", Function.SHARE, 2.0, 60),
    "starts": ("state", Function.CHANGES, 2.0, 60),
    "state-changes": ("state", Function.CHANGES, None, 60),
    "alarm-active": ("alarm", Function.SHARE, 1.0, 60),
    "cap-28": ("recipe", Function.SHARE, "cap-28", 60),
    "recipe-changes": ("recipe", Function.CHANGES, None, 60),
    "cycles-done": ("cycles", Function.INCREASE, None, 60),
    "flow-level": ("flow", Function.MEAN, None, 10),
}
STALE_S = 600


def config(names=tuple(FEATURES), assets=("p-1", "p-2")):
    return LineConfig(
        line=LINE,
        plant_title="Riverside",
        class_title="Moulder",
        pipeline=PipelineConfig(
            every_ns=10 * SECOND,
            lateness_ns=0,
            signals=[SignalConfig(name=n, title=n, unit="1", kind=k) for n, k in zip(SIGNALS, KINDS, strict=True)],
            features=[
                FeatureConfig(
                    name=n, title=n, unit="1", of=of, function=function, equals=equals, window_ns=window * SECOND
                )
                for n, (of, function, equals, window) in FEATURES.items()
                if n in names
            ],
            modes=[ModeConfig(name="any", title="Any", when=[])],
        ),
        assets=[
            AssetConfig(
                name=name,
                title=name,
                criticality="B",
                mode="review",
                signals=dict.fromkeys(SIGNALS, SECOND),
                stale_after_ns=dict.fromkeys(SIGNALS, STALE_S * SECOND),
                models=[],
            )
            for name in assets
        ],
        models=[],
    )


def block(*samples, asset="p-1"):
    """Each sample: signal, second, number or text, quality."""
    texts = sorted({value for _, _, value, *_ in samples if isinstance(value, str)})
    return make_batch(
        Stage.TELEMETRY,
        {
            "asset": encode_names([asset], np.zeros(len(samples))),
            "signal": encode_names(SIGNALS, np.array([SIGNALS.index(signal) for signal, *_ in samples])),
            "source_time": encode_times(np.array([START + int(second * SECOND) for _, second, *_ in samples])),
            "ordinal": np.zeros(len(samples), np.uint32),
            "value": np.array([np.nan if isinstance(value, str) else value for _, _, value, *_ in samples]),
            "text": encode_names(
                texts, np.array([texts.index(v) if isinstance(v, str) else -1 for _, _, v, *_ in samples])
            ),
            "quality": np.array([rest[0] if rest else 0 for _, _, _, *rest in samples], np.uint16),
            "status": np.zeros(len(samples), np.uint32),
            "received_time": encode_times(np.array([START + int(second * SECOND) for _, second, *_ in samples])),
        },
    )


def flow(first, last):
    return block(*(("flow", second, 5.0) for second in range(first, last + 1)))


def table(blocks, names=tuple(FEATURES)):
    """Rows of the asset p-1 by window end, in seconds from the start."""
    step = FeaturizeStep(config(names))
    _, outputs = drive(step, step.initial(config(names)), blocks)
    rows = [row for batch in outputs for row in batch.to_pylist() if row["asset"] == "p-1"]
    return {round(row["window_end"].timestamp() - START / SECOND): row for row in rows}


def values(blocks):
    return {end: dict(zip(FEATURES, row["values"], strict=True)) for end, row in table(blocks).items()}


def test_a_state_that_came_once_holds_for_all_windows_after_it():
    got = values([block(("state", 0, 2.0), ("flow", 0, 5.0)), flow(1, 300)])
    assert [got[end]["running"] for end in (10, 60, 300)] == [1.0, 1.0, 1.0]
    assert got[300]["starts"] == 0


def test_a_share_counts_time_and_not_samples():
    changes = [("state", 0, 2.0), ("state", 45, 0.0), ("state", 46, 0.0), ("state", 47, 0.0), ("state", 57, 2.0)]
    got = values([block(*changes), flow(0, 60)])
    assert got[60]["running"] == pytest.approx(48 / 60)
    assert got[60]["starts"] == 1
    assert got[60]["state-changes"] == 2


def test_time_before_the_first_word_is_neither_on_nor_off():
    rows = table([flow(0, 29), block(("state", 30, 2.0)), flow(31, 60)])
    last = list(rows.values())[-1]
    assert last["values"][0] == 1.0
    assert last["coverage"][0] == pytest.approx(0.5)


def test_a_state_is_no_longer_believed_after_its_silence():
    got = values([block(("state", 0, 2.0)), flow(0, STALE_S + 120)])
    assert got[STALE_S]["running"] == 1.0
    assert np.isnan(got[STALE_S + 60]["running"])


def test_a_bad_word_does_not_end_the_good_one_before_it():
    wrong = ("state", 100, 7.0, int(Quality.WRONG_TYPE))
    got = values([block(("state", 0, 2.0)), flow(0, 99), block(wrong), flow(101, 300)])
    assert got[300]["running"] == 1.0


def test_texts_of_a_context_are_told_apart():
    got = values([block(("recipe", 0, "cap-28")), flow(0, 89), block(("recipe", 90, "lid-95")), flow(91, 150)])
    assert got[60]["cap-28"] == 1.0
    assert got[120]["cap-28"] == pytest.approx(0.5)
    assert got[150]["cap-28"] == 0.0
    assert [got[end]["recipe-changes"] for end in (60, 120, 150)] == [0, 1, 1]


def test_a_counter_counts_from_its_last_value_before_the_window():
    got = values([block(*(("cycles", second, second // 10) for second in range(0, 200, 20))), flow(0, 200)])
    assert got[180]["cycles-done"] == 6


def test_a_counter_that_starts_again_loses_nothing_that_was_seen():
    counts = [("cycles", 0, 100.0), ("cycles", 65, 130.0), ("cycles", 75, 4.0), ("cycles", 85, 9.0)]
    got = values([block(*counts), flow(0, 120)])
    assert got[120]["cycles-done"] == 30 + 9


def test_an_alarm_shows_as_a_share():
    got = values([block(("alarm", 0, 0.0), ("alarm", 30, 1.0), ("alarm", 45, 0.0)), flow(0, 60)])
    assert got[60]["alarm-active"] == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(5))
def test_no_cut_and_no_restart_changes_a_bit(seed):
    random = np.random.default_rng(seed)
    samples = [("flow", second, float(random.normal())) for second in range(400)]
    samples += [("state", int(s), float(random.choice([0, 1, 2]))) for s in np.unique(random.integers(0, 400, 30))]
    samples += [("recipe", int(s), str(random.choice(["cap-28", "x"]))) for s in np.unique(random.integers(0, 400, 9))]
    samples += [("cycles", int(s), float(random.integers(0, 50))) for s in np.unique(random.integers(0, 400, 40))]
    samples.sort(key=lambda sample: sample[1])
    # Samples of one second come together: with no lateness a row may be formed by the first of them.
    edges = sorted({0, 400, *random.integers(0, 400, 25).tolist()})
    parts = [[s for s in samples if low <= s[1] < high] for low, high in itertools.pairwise(edges)]
    whole = values([block(*samples)])
    assert _same(values([block(*part) for part in parts]), whole)
    step = FeaturizeStep(config())
    state, before = drive(step, step.initial(config()), [block(*part) for part in parts[:12]])
    again = FeaturizeStep(config())
    _, after = drive(again, again.restore(step.snapshot(state), config()), [block(*p) for p in parts[12:]], first=13)
    rows = [row["values"] for batch in before + after for row in batch.to_pylist()]
    assert np.array_equal(rows, [list(row.values()) for row in whole.values()], equal_nan=True)


def _same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(list(one[end].values()), list(other[end].values()), equal_nan=True) for end in one
    )


def test_a_feature_more_keeps_what_the_others_know():
    few = ("running", "flow-level")
    step = FeaturizeStep(config(few))
    state, _ = drive(step, step.initial(config(few)), [block(("state", 0, 2.0)), flow(0, 200)])
    state = step.reconfigure(state, config())
    _, outputs = drive(step, state, [flow(201, 300)], first=3)
    assert [row["values"][0] for row in outputs[-1].to_pylist()] == [1.0] * len(outputs[-1])


def test_lineage_reaches_back_to_the_block_with_the_held_value():
    rows = table([block(("state", 0, 2.0)), flow(0, 200), flow(201, 300)], ("running", "flow-level"))
    assert list(rows.values())[-1]["telemetry_first"] == 1
