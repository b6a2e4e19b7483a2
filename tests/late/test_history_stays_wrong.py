"""Late data corrects history: what is known afterwards is what a line would have stored that got all in order."""

from __future__ import annotations

import numpy as np
import pytest

from tests.replay.conftest import faulty, keep, run
from tests.support.lines import LINE, SECOND, START
from wheeltapper_workers.history.late.corrector import Corrector
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.tables import Store

NOW_US = (START + 7200 * SECOND) // 1000
WHERE = {
    *("block_sequence", "published_time", "trace", "input_sequence", "features_sequence", "revision"),
    *("late_first", "late_last", "telemetry_first", "telemetry_last", "received_last"),
}
"""Where a row comes from, which is not the same."""


def thrown(samples, seed, share=0.05, low=20, high=200, since=400):
    """Some samples come late, by far more than the lateness of 2 s, after the models have learned."""
    random = np.random.default_rng(seed)
    chosen = (random.random(len(samples)) < share) & (samples.time > START + since * SECOND)
    delay = random.integers(low * SECOND, high * SECOND, len(samples))
    samples.received = samples.received + np.where(chosen, delay, 0)
    return samples.take(np.argsort(samples.received, kind="stable"))


def corrected(root, most=50):
    """All passes until there is nothing to do."""
    job = Corrector(Store(root), LINE.tenant)
    passes = [job.work(LINE, NOW_US)]
    while passes[-1].more:
        passes.append(job.work(LINE, NOW_US))
        assert len(passes) < most
    return passes


def said(root, table, which="", where="true"):
    """What the rows of a table say, in one order; NaN as text, so that rows compare."""
    order = {"features": "asset, window_end", "scores": "asset, failure_model, window_end"}[table]
    sql = f"SELECT * FROM {table}{which} WHERE {where} ORDER BY {order}"  # noqa: S608 - our own words
    rows = query(root, sql, LINE.tenant)
    return [{k: repr(v) for k, v in row.items() if k not in WHERE} for row in rows.to_pylist()]


@pytest.fixture(scope="module")
def in_order(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("in-order"))
    keep(run(faulty(until=530)), root)
    return root


@pytest.mark.parametrize("seed", range(4))
def test_windows_and_scores_are_the_bits_of_a_line_in_order(in_order, tmp_path, seed):
    root = str(tmp_path)
    keep(run(thrown(faulty(until=530), seed)), root, every=23)
    before = said(root, "features")
    (one,) = corrected(root)
    assert one.late > 50
    assert one.windows
    assert one.scores
    assert one.notes == ()
    until = "window_end <= (SELECT max(window_end) FROM features_revisions WHERE revision = 0)"
    for table in ("features", "scores"):
        assert said(root, table) == said(in_order, table, where=until.replace("features_revisions", table)), table
    assert said(root, "features", "_revisions", "revision = 0") == before
