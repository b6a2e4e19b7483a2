"""Delayed data in order raises its alert, marked as delayed; late data corrects history and raises none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.late.conftest import ask, assert_as_in_order, corrected
from tests.replay.conftest import FAULT_AT, faulty, keep, run
from tests.support.lines import SECOND, START
from wheeltapper_workers.history.tables import Store

DAY = 86_400 * SECOND
CROSSED = """
    SELECT asset, failure_model, window_end, live.score AS was, known.score AS is_now
    FROM scores AS known
    LEFT JOIN (FROM scores_revisions WHERE coalesce(revision, 0) = 0) AS live
        USING (plant, class, asset, failure_model, window_end)
    WHERE known.revision > 0 AND coalesce(known.score >= 1, false) <> coalesce(live.score >= 1, false)
    ORDER BY asset, failure_model, window_end
"""
"""As docs/late-data.md has it."""


def alerts_of(store):
    documents = ask(store, "SELECT document FROM events ORDER BY block_sequence")
    return [json.loads(row["document"]) for row in documents]


def delayed(samples, since, by=3 * DAY):
    """What is measured from a time on comes days later, in order: a plant without its network."""
    samples.received = samples.received + np.where(samples.time >= START + since * SECOND, by, 0)
    return samples


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def test_outage_before_a_fault_raises_its_alert_marked_as_delayed(store, in_order):
    keep(run(delayed(faulty(until=530), since=FAULT_AT - 60)), store.root)
    events = alerts_of(store)
    assert [event["type"].split(".")[3] for event in events] == ["opened", "cleared"]
    assert all(event["data"]["delayed"] for event in events)
    (one,) = corrected(store)
    assert (one.late, one.windows) == (0, 0)
    assert_as_in_order(store, in_order)
    assert not any(event["data"]["delayed"] for event in alerts_of(in_order))


def late_fault(until=560):
    """The worn bearing is only seen in samples that come after those behind them."""
    samples = faulty(until=530)
    at = (samples.time - START) // SECOND
    chosen = (samples.asset == 1) & (samples.signal == 0) & (at >= FAULT_AT - 30) & (at < until)
    samples.received = samples.received + np.where(chosen, 120 * SECOND, 0)
    return samples.take(np.argsort(samples.received, kind="stable"))


def test_late_fault_raises_none_and_is_found_afterwards(store, in_order):
    keep(run(late_fault()), store.root)
    assert store.open("northwater", "events") is None
    (one,) = corrected(store)
    assert one.crossed > 0
    assert_as_in_order(store, in_order)
    assert store.open("northwater", "events") is None
    crossed = ask(store, CROSSED)
    assert all(row["asset"] == "p-2" and row["is_now"] >= 1 for row in crossed)
    assert len(crossed) == one.crossed


def test_alert_whose_fault_was_never_there_is_found_afterwards(store):
    """Late samples show that it was nothing: the alert stays as it is, and its scores tell."""
    samples = faulty(until=530)
    at = (samples.time - START) // SECOND
    sound = (samples.asset == 1) & (samples.signal == 0) & (at >= FAULT_AT) & (at < 530) & (at % 5 != 0)
    samples.value = np.where(sound, 2.0, samples.value)
    samples.received = samples.received + np.where(sound, 120 * SECOND, 0)
    keep(run(samples.take(np.argsort(samples.received, kind="stable"))), store.root)
    before = alerts_of(store)
    assert before
    (one,) = corrected(store)
    assert one.windows
    assert alerts_of(store) == before
