"""A changed model would watch nothing for as long as it learns; what is stored has taught it before it takes over."""

from __future__ import annotations

import pytest

from tests.replay.conftest import BLOCK_SECONDS, MODEL, SECOND, START, faulty, keep, line_config, run, the_alert
from tests.support.lines import LINE, PIPELINE
from wheeltapper_api.config import AssetModelConfig, FeatureConfig, InputConfig
from wheeltapper_api.kinds.assetclass import Function
from wheeltapper_api.kinds.failuremodel import Direction
from wheeltapper_api.wire import Stage
from wheeltapper_workers.detectors.baseline import join
from wheeltapper_workers.history.again import Runner
from wheeltapper_workers.history.evidence import export_evidence
from wheeltapper_workers.history.evidence_check import verify_evidence
from wheeltapper_workers.history.learner import learn
from wheeltapper_workers.history.replay import replay
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.history.told import told
from wheeltapper_workers.runtime.blocks import from_bytes
from wheeltapper_workers.scoring import learning
from wheeltapper_workers.scoring.comparable import learned_anew
from wheeltapper_workers.scoring.learning import pack_learned, unpack_learned

CHANGED_S = 450
"""When the config changes, a little before the fault begins."""
PEAK = FeatureConfig(
    name="vibration-peak",
    title="Highest vibration",
    unit="mm/s",
    of="vibration",
    function=Function.MAX,
    window_ns=20 * SECOND,
    resolution=0.01,
)
CHANGED = line_config(
    pipeline=PIPELINE.model_copy(update={"features": [PEAK, *PIPELINE.features]}),
    model=MODEL.model_copy(
        update={"inputs": [InputConfig(feature="vibration-peak", direction=Direction.UP, resolution=0.01)]}
    ),
)
"""The model reads a feature that the pipeline did not have."""


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """What the line has taught by the time of the change."""
    folder = str(tmp_path_factory.mktemp("before"))
    keep(run(before_the_change()), folder)
    return learn(Store(folder), CHANGED, learned_anew(line_config(), CHANGED))


@pytest.fixture(scope="module")
def live(learned):
    return run(faulty(until=530), changing(learned))


@pytest.fixture(scope="module")
def root(live, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tables"))
    keep(live, folder)
    return folder


def changing(learned):
    def change(live, number):
        if number == CHANGED_S // BLOCK_SECONDS:
            live.configure(CHANGED, START + CHANGED_S * SECOND, learned=learned)

    return change


def before_the_change():
    samples = faulty(until=530)
    return samples.take(samples.time < START + CHANGED_S * SECOND)


def scores_after_the_change(live):
    batches = [from_bytes(one.payload, Stage.SCORES) for one in live.streams.messages[Stage.SCORES] if one.payload]
    rows = [row for batch in batches for row in batch.select(["window_end", "reason"]).to_pylist()]
    return [row for row in rows if row["window_end"].timestamp() * SECOND > START + (CHANGED_S + 10) * SECOND]


def test_it_scores_from_the_first_window_on(live):
    assert {row["reason"] for row in scores_after_the_change(live)} == {""}


def test_without_it_the_fault_goes_unseen(live, root):
    blind = run(faulty(until=530), changing(b""))
    assert "learning" in {row["reason"] for row in scores_after_the_change(blind)}
    assert not blind.streams.messages[Stage.EVENTS]
    assert the_alert(root)


def test_baseline_is_that_of_a_line_that_ran_the_config_from_the_beginning(learned):
    assets, states = unpack_learned(learned)
    line = run(before_the_change(), config=CHANGED)
    expected = line._states[Stage.FEATURES].models[MODEL.name].baseline
    assert assets == [asset.name for asset in CHANGED.assets]
    assert states[MODEL.name].frozen.any(axis=1).all()
    for name, array in expected.to_arrays().items():
        assert array.tobytes() == states[MODEL.name].to_arrays()[name].tobytes(), name


def test_its_alert_replays_to_the_bit(root):
    found = replay(root, LINE.tenant, the_alert(root))
    assert found.same, [hop.first for hop in found.hops]
    assert found.hops[1].rows > 0


def test_replay_knows_it_by_the_stored_tick(root, learned):
    known = told(Store(root), LINE)
    assert [change.learned for change in known.changes[Stage.FEATURES]] == [b"", learned]
    runner = Runner(Stage.FEATURES, known, "")
    assert runner.generation == known.changes[Stage.FEATURES][0].generation


def test_an_asset_that_has_learned_itself_keeps_what_it_has(learned):
    """The past is for those that know nothing: one that the change does not touch goes on with its own baseline."""
    line = run(before_the_change(), config=CHANGED)
    before = line._states[Stage.FEATURES].models[MODEL.name].digests
    line.tick(Stage.FEATURES, START + CHANGED_S * SECOND, "", learned)
    assert line._states[Stage.FEATURES].models[MODEL.name].digests == before


def test_nothing_is_stored_and_nothing_is_made_up(tmp_path):
    assert learn(Store(str(tmp_path)), CHANGED, [MODEL.name]) == b""
    keep(run(before_the_change()), str(tmp_path))
    elsewhere = CHANGED.model_copy(update={"line": LINE.model_copy(update={"plant": "lakeside"})})
    assert learn(Store(str(tmp_path)), elsewhere, [MODEL.name]) == b""


def test_an_asset_without_a_past_learns_while_it_runs(tmp_path):
    keep(run(before_the_change()), str(tmp_path))
    grown = line_config(assets=["p-1", "p-9"], pipeline=CHANGED.pipeline, model=CHANGED.models[0])
    assets, states = unpack_learned(learn(Store(str(tmp_path)), grown, [MODEL.name]))
    assert assets == ["p-1", "p-9"]
    assert states[MODEL.name].frozen.any(axis=1).tolist() == [True, False]


def test_what_is_too_large_for_a_tick_leaves_out_what_is_not_final(monkeypatch, learned):
    final = unpack_learned(learned)[1][MODEL.name]
    samples = before_the_change()
    young = run(samples.take(samples.time < START + 200 * SECOND), config=CHANGED)
    waiting = young._states[Stage.FEATURES].models[MODEL.name].baseline
    assets, states = list("abcdef"), {MODEL.name: join([final, waiting])}
    whole = pack_learned(assets, states)
    monkeypatch.setattr(learning, "MOST_BYTES", len(whole) - 1)
    smaller = pack_learned(assets, states)
    assert 0 < len(smaller) < len(whole)
    left = unpack_learned(smaller)[1][MODEL.name]
    assert (left.frozen == states[MODEL.name].frozen).all()
    assert not left.seen[3:].any()
    assert left.center.tobytes() == states[MODEL.name].center.tobytes()
    monkeypatch.setattr(learning, "MOST_BYTES", 10)
    assert pack_learned(assets, states) == b""


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"\xff" * 8 + data[8:], lambda _: b"x"])
def test_damaged_baselines_are_refused(learned, damage):
    with pytest.raises(ValueError, match=r"damaged|large|JSON|checkpoint|digest"):
        unpack_learned(damage(learned))


@pytest.mark.parametrize(
    ("change", "models"),
    [
        ({}, []),
        ({"policy": MODEL.policy.model_copy(update={"clear_below": 0.5})}, []),
        ({"modes": ["running", "start-up"]}, [MODEL.name]),
        ({"name": "another"}, ["another"]),
    ],
    ids=["nothing", "the policy", "the modes", "the name"],
)
def test_what_has_to_be_learned_anew(change, models):
    model = MODEL.model_copy(update=change)
    changed = line_config(model=model)
    assert all(asset.models == [AssetModelConfig(name=model.name)] for asset in changed.assets)
    assert learned_anew(line_config(), changed) == models


@pytest.mark.parametrize("context_s", [20, 300], ids=["from a state behind the change", "from before the change"])
def test_its_evidence_is_checked_elsewhere(root, tmp_path, context_s):
    context_ns = context_s * SECOND
    export_evidence(root, LINE.tenant, the_alert(root), lambda _: tmp_path / "evidence", context_ns=context_ns)
    (tmp_path / "evidence").rename(tmp_path / "elsewhere")
    found = verify_evidence(tmp_path / "elsewhere")
    assert found.sound
