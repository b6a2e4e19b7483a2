"""A trace leads to the very samples and times; what it cannot find, it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.history.conftest import BLOCK_SECONDS, STORE, derived, event, telemetry
from tests.support.lines import SECOND, START, line_config
from wheeltapper_api.wire import Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.query import QueryError, query
from wheeltapper_workers.history.trace import Trace, trace
from wheeltapper_workers.history.trace_text import render_text
from wheeltapper_workers.scoring.scorer import ScoreStep

CONTRIBUTION = {
    "feature": "vibration-level",
    "title": "Vibration",
    "unit": "mm/s",
    "expected": 2.0,
    "deviation": 1.25,
    "signals": ["vibration"],
}


def alert_on(plant, window_end, sequence=9, alert_id="f00d-1", value=None):
    """Event that rests on p-1's last score before ``window_end`` (seconds after the start)."""
    time = datetime.fromtimestamp((START + window_end * SECOND) / 1e9, UTC)
    row = query(
        plant,
        f"SELECT * FROM scores WHERE asset = 'p-1' AND window_end = '{time.isoformat()}'",  # noqa: S608 - a time of the test
    ).to_pylist()[0]
    blocks = {
        "telemetry": {"stream": "TELEMETRY", "first": row["telemetry_first"], "last": row["telemetry_last"]},
        "features": {"stream": "FEATURES", "first": row["features_sequence"], "last": row["features_sequence"]},
        "scores": {"stream": "SCORES", "first": row["block_sequence"], "last": row["block_sequence"]},
    }
    made = event(sequence, alert_id, windowEnd=time.isoformat().replace("+00:00", "Z"), **blocks)
    document = json.loads(made.payload)
    document["data"]["contributions"] = [CONTRIBUTION | {"value": row["values"][0] if value is None else value}]
    published = int(row["published_time"].timestamp() * 1e6) * 1000 + 40 * 10**6
    return type(made)(
        Stage.EVENTS, sequence, published, json.dumps(document).encode(), {"Wheeltapper-Input": f"{sequence}:0"}
    )


@pytest.fixture
def traced(flow, tmp_path):
    """Trace of an alert over the window that ends 2,300 s after the start, and the root of its tables."""
    root = str(tmp_path)
    historian = Historian(root, STORE)
    for stage in (Stage.TELEMETRY, Stage.FEATURES, Stage.SCORES):
        for message in flow[stage]:
            message.add_to(historian)
    historian.commit()
    alert_on(root, 2300).add_to(historian)
    historian.commit()
    return trace(root, "northwater", "f00d"), root, historian


def test_each_hop_took_what_it_took(traced):
    found, _, _ = traced
    # The window's last sample is measured at 2,299 s; its block, of ten seconds, is whole then. The window ends at
    # 2,300 s and waits for two seconds of lateness, so the next block completes it, ten seconds after the last.
    assert {hop.name: hop.seconds for hop in found.hops} == pytest.approx(
        {"measure": 0.02, "collect": 0.03, "window": BLOCK_SECONDS, "featurize": 0.02, "score": 0.01, "alert": 0.04},
        abs=2e-6,
    )
    assert [hop.name for hop in found.hops if hop.by_design] == ["window"]
    assert found.seconds == pytest.approx(BLOCK_SECONDS + 0.12, abs=1e-5)
    assert found.seconds_by_design == pytest.approx(BLOCK_SECONDS)
    assert found.missing == []


def test_blocks_and_samples_are_those_of_the_window(traced):
    found, root, _ = traced
    span = found.opened.telemetry
    assert [block.sequence for block in found.blocks] == list(range(span.first, span.last + 1))
    assert {block.rows for block in found.blocks} == {BLOCK_SECONDS}, "one signal of one of three pumps"
    assert found.blocks[-1].last == "2023-11-14T22:51:39.000000Z"
    vibration = found.signals[0]
    rows = query(root, "SELECT * FROM raw WHERE asset = 'p-1' AND signal = 'vibration' ORDER BY source_time")
    values = [
        value
        for value, block in zip(rows["value"].to_pylist(), rows["block_sequence"].to_pylist(), strict=True)
        if span.first <= block <= span.last
    ]
    assert (vibration.minimum, vibration.maximum, vibration.last, vibration.samples) == (
        min(values),
        max(values),
        values[-1],
        len(values),
    )
    assert found.features[0].stored == found.features[0].value
    assert found.features[0].coverage == 1.0


def test_samples_after_the_window_are_left_out(tmp_path):
    raw = telemetry(150, block_seconds=15)
    features = derived(FeaturizeStep(line_config()), raw, Stage.FEATURES, 1)
    historian = Historian(str(tmp_path), STORE)
    for message in (*raw, *features, *derived(ScoreStep(line_config()), features, Stage.SCORES, 1)):
        message.add_to(historian)
    historian.commit()
    alert_on(str(tmp_path), 130).add_to(historian)
    historian.commit()
    last = trace(str(tmp_path), "northwater", "f00d").blocks[-1]
    assert (last.sequence, last.rows) == (9, 10), "the block goes on to 135 s, the window ends at 130 s"


def test_text_fits_a_terminal_and_json_comes_back(traced):
    found, _, _ = traced
    text = render_text(found)
    assert max(map(len, text.splitlines())) <= 80
    assert "window complete (waits for the window)" in text
    assert "10.00 s" in text
    assert "f00d-1" in text
    assert Trace.model_validate_json(found.model_dump_json()) == found


def test_first_event_is_traced_though_later_ones_follow(traced):
    found, root, historian = traced
    alert_on(root, 2360, sequence=10).add_to(historian)
    historian.commit()
    later = trace(root, "northwater", "f00d-1")
    assert later.hops == found.hops
    assert len(later.events) == 2
    assert "Events" in render_text(later)


def test_rows_not_stored_yet_are_named(tmp_path):
    historian = Historian(str(tmp_path), STORE)
    event(1, "lonely").add_to(historian)
    historian.commit()
    found = trace(str(tmp_path), "northwater", "lonely")
    assert found.seconds is None
    assert [text.split()[1] for text in found.missing] == ["score", "features", "samples"]
    text = render_text(found)
    assert "nothing of it is stored" in text
    assert "not stored yet, or no longer kept" in text
    assert max(map(len, text.splitlines())) <= 80


def test_alert_that_does_not_match_its_row_is_told(traced):
    _, root, historian = traced
    alert_on(root, 2300, sequence=10, alert_id="other", value=9.5).add_to(historian)
    historian.commit()
    assert "The alert says vibration-level was 9.5" in trace(root, "northwater", "other").missing[0]


def test_clocks_that_disagree_are_told(traced):
    found, _, _ = traced
    hops = [found.hops[0].model_copy(update={"seconds": -3.5}), *found.hops[1:]]
    assert "clocks at the two ends disagree" in render_text(found.model_copy(update={"hops": hops}))


def test_unknown_alert(traced):
    _, root, _ = traced
    with pytest.raises(QueryError, match="No alert of northwater"):
        trace(root, "northwater", "nope")
