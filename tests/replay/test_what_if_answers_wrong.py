"""Another policy or model on stored features: what it would have said, and how that differs."""

from __future__ import annotations

import pytest

from tests.replay.conftest import MODEL, SECOND, START, faulty, keep, line_config, run, the_alert
from tests.support.lines import LINE, PIPELINE
from wheeltapper_api.config import AssetModelConfig, LineConfig, SeverityConfig
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.whatif import WhatIf, what_if

DAY = 86_400 * 10**6


def tried(root: str, change=lambda config: config, start: int = 0, end: int = DAY, asset: str = "p-2") -> WhatIf:
    return what_if(root, LINE.tenant, asset, START // 1000 + start, START // 1000 + end, change)


def with_policy(**changes):
    def change(config: LineConfig) -> LineConfig:
        policy = MODEL.policy.model_copy(update=changes)
        own = [AssetModelConfig(name=MODEL.name, policy=policy)]
        return config.model_copy(update={"assets": [config.assets[0].model_copy(update={"models": own})]})

    return change


def with_model(**changes):
    def change(config: LineConfig) -> LineConfig:
        return config.model_copy(update={"models": [config.models[0].model_copy(update=changes)]})

    return change


def severity(name: str, above: float, seconds: int) -> SeverityConfig:
    return SeverityConfig(name=name, above=above, hold_ns=seconds * SECOND, hold=f"{seconds}s")


def test_the_same_config_says_the_same(root):
    found = tried(root)
    assert [span.alert_id for span in found.same] == [the_alert(root)]
    assert (found.only_before, found.only_after, found.changed) == ([], [], [])
    assert found.windows > 60


def test_shorter_hold_opens_sooner(root):
    (pair,) = tried(root, with_policy(severities=[severity("warn", 1.0, 0)])).changed
    assert pair.what == ["opened"]
    assert pair.after.opened < pair.before.opened


def test_higher_severity_is_told(root):
    severities = [*MODEL.policy.severities, severity("act", 1.5, 0)]
    (pair,) = tried(root, with_policy(severities=severities)).changed
    assert (pair.before.severity, pair.after.severity) == ("warn", "act")


def test_laxer_policy_says_nothing(root):
    found = tried(root, with_policy(severities=[severity("warn", 100.0, 20)]))
    assert [span.alert_id for span in found.only_before] == [the_alert(root)]
    assert found.only_after == found.changed == found.same == []


def test_stricter_policy_finds_a_healthy_machine_guilty(root):
    found = tried(root, with_policy(severities=[severity("watch", 0.01, 0)], clear_below=0.001), asset="p-1")
    assert found.only_before == []
    assert found.only_after
    assert {span.severity for span in found.only_after} == {"watch"}


def test_model_that_learns_longer_has_not_learned_yet(root):
    assert tried(root, with_model(baseline_at_least_ns=3600 * SECOND)).only_before


@pytest.mark.parametrize(("start", "end"), [(0, 400), (790, 900)])
def test_alerts_outside_the_period_are_not_told(root, start, end):
    found = tried(root, start=start * 10**6, end=end * 10**6)
    assert found.same == found.only_before == []


def test_alert_that_is_still_open_at_the_end(root):
    (span,) = tried(root, end=580 * 10**6).same
    assert span.cleared is None


def test_change_of_the_pipeline_in_the_middle(tmp_path):
    """Features that an older pipeline did not have are missing, not mistaken for others."""
    order = [PIPELINE.features[2], PIPELINE.features[0], PIPELINE.features[1]]
    other = line_config(pipeline=PIPELINE.model_copy(update={"features": order}))

    def changes(live, number):
        if number == 90:
            live.configure(other, START + number * 5 * SECOND)

    keep(run(faulty(until=530), changes), str(tmp_path))
    assert [span.alert_id for span in tried(str(tmp_path)).same] == [the_alert(str(tmp_path))]


def test_unknown_twin_is_named_with_the_nearest(root):
    with pytest.raises(QueryError, match=r"There is no twin p-22. Did you mean p-2\?"):
        tried(root, asset="p-22")


def test_period_before_everything(root):
    with pytest.raises(QueryError, match=r"No features of p-2 are stored before .*; choose a later end"):
        tried(root, start=-2 * DAY, end=-DAY)
