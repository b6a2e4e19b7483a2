"""One bit of what is stored was changed, or a row is gone: the replay says so, and at which hop."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.replay.conftest import FAULT_AT, edit, flip, rewrite, the_alert
from tests.support.lines import LINE, SECOND, START
from wheeltapper_workers.history.replay import replay


def at(seconds: float) -> pa.Scalar:
    moment = datetime.fromtimestamp(START // SECOND + seconds, tz=UTC)
    return pa.scalar(moment, pa.timestamp("us", tz="UTC"))


def end(seconds: int, asset: str = "p-2") -> pc.Expression:
    return (pc.field("window_end") == at(seconds)) & (pc.field("asset") == asset)


def sample(seconds: int, asset: str = "p-2") -> pc.Expression:
    series = (pc.field("asset") == asset) & (pc.field("signal") == "vibration")
    return series & (pc.field("source_time") == at(seconds))


def hops(root: str) -> dict:
    found = replay(root, LINE.tenant, the_alert(root))
    assert found.same == (found.differs == "")
    return {hop.name: hop for hop in found.hops} | {"differs": found.differs}


def test_sound_tables_are_the_same_in_every_row(root, live):
    found = replay(root, LINE.tenant, the_alert(root))
    assert found.same, [hop.first for hop in found.hops]
    assert found.exact
    assert found.notes == []
    assert found.event.split("-")[-2] == "cleared"
    assert [hop.name for hop in found.hops] == ["features", "scores", "events"]
    features, scores, events = found.hops
    assert features.rows == features.equal > 180
    assert scores.rows == scores.equal == features.rows
    assert events.rows == events.equal == 2
    assert found.blocks > 100
    assert 500 < found.span_s < 800


def test_up_to_the_event_that_opened_it(root):
    found = replay(root, LINE.tenant, the_alert(root), which="opened")
    assert found.same
    assert found.event.split("-")[-2] == "opened"
    assert found.hops[2].rows == 1


def test_stored_sample(copy):
    edit(copy, "raw", sample(FAULT_AT + 3), "value", lambda value: flip(value, 30))
    found = hops(copy)
    assert found["differs"] == "features"
    assert found["features"].first.asset == "p-2"
    assert found["features"].first.column in ("vibration_level", "vibration_kurtosis")
    assert found["features"].first.stored != found["features"].first.replayed
    assert found["features"].first.window_end == "2023-11-14T22:21:50Z"
    assert found["scores"].first is not None


def test_stored_quality(copy):
    edit(copy, "raw", sample(100), "quality", lambda _: 16)
    found = hops(copy)
    assert found["differs"] == "features"
    assert found["features"].first.window_end == "2023-11-14T22:15:10Z"


@pytest.mark.parametrize(
    ("column", "make"),
    [
        ("vibration_kurtosis", flip),
        ("coverage", lambda value: [*value[:2], flip(value[2])]),
        ("quality", lambda value: [*value[:2], 16]),
        ("mode", lambda _: "off"),
        ("band", lambda value: value + 1),
        ("mode_since", lambda value: value.replace(microsecond=1)),
        ("telemetry_first", lambda value: value + 1),
        ("telemetry_last", lambda value: value + 1),
        ("received_last", lambda value: value.replace(microsecond=1)),
        ("pipeline_digest", lambda _: "sha256:other"),
        ("generation", lambda _: "0123456789abcdef"),
    ],
)
def test_stored_feature(copy, column, make):
    edit(copy, "features", end(300), column, make)
    found = hops(copy)
    assert found["differs"] == "features"
    assert found["features"].first.column == column
    assert found["features"].first.asset == "p-2"
    assert found["features"].rows - found["features"].equal == 1
    assert found["scores"].first is None, "the scores were made of the feature that is not stored any more"
    assert found["events"].first is None


def test_stored_feature_that_became_minus_zero(copy):
    """-0.0 == 0.0, and yet its bits are others."""
    zero = pc.field("vibration_level") == 0.0
    edit(copy, "features", end(300), "vibration_level", lambda _: 0.0)
    first = hops(copy)["features"].first.stored
    edit(copy, "features", zero, "vibration_level", lambda _: -0.0)
    assert (first, hops(copy)["features"].first.stored) == ("0.0", "-0.0")


@pytest.mark.parametrize(
    ("column", "make"),
    [
        ("score", flip),
        ("score", lambda _: None),
        ("deviation", lambda value: [flip(value[0])]),
        ("reason", lambda _: "no-data"),
        ("model_digest", lambda _: "sha256:other"),
        ("baseline_digest", lambda _: "sha256:other"),
    ],
)
def test_stored_score(copy, column, make):
    edit(copy, "scores", end(FAULT_AT + 30), column, make)
    found = hops(copy)
    assert found["differs"] == "scores"
    assert found["scores"].first.column == column
    assert found["scores"].first.failure_model == "wear"
    assert found["features"].first is None
    assert found["events"].first is None


def change_document(path: str, make) -> object:
    def change(text: str) -> str:
        document = json.loads(text)
        inner = document
        *way, name = path.split(".")
        for key in way:
            inner = inner[int(key) if key.isdecimal() else key]
        inner[name] = make(inner[name])
        return json.dumps(document)

    return change


@pytest.mark.parametrize(
    ("path", "make"),
    [
        ("data.score", flip),
        ("data.summary", lambda text: text + " "),
        ("data.contributions.0.value", flip),
        ("data.lineage.rule.hold", lambda _: "1s"),
        ("data.lineage.telemetry.first", lambda value: value + 1),
        ("time", lambda _: "2023-11-14T22:47:11Z"),
    ],
)
def test_stored_event(copy, path, make):
    opened = pc.field("type") == "dev.wheeltapper.alert.opened.v1"
    edit(copy, "events", opened, "document", change_document(path, make))
    found = hops(copy)
    assert found["differs"] == "events"
    assert found["events"].first.column == path.replace(".0.", "[0].")
    assert found["scores"].first is None


def test_trace_of_the_run_is_no_difference(copy):
    opened = pc.field("type") == "dev.wheeltapper.alert.opened.v1"
    edit(copy, "events", opened, "document", change_document("data.lineage.traceId", lambda _: "f" * 32))
    assert hops(copy)["differs"] == ""


@pytest.mark.parametrize(("table", "hop"), [("features", "features"), ("scores", "scores")])
def test_row_that_is_gone(copy, table, hop):
    rewrite(copy, table, lambda rows: rows.filter(~end(300)))
    found = hops(copy)
    assert found["differs"] == hop
    assert found[hop].first.stored == "no row"
    assert found[hop].first.window_end == "2023-11-14T22:18:20Z"


def test_block_that_is_gone(copy):
    rewrite(copy, "features", lambda rows: rows.filter(pc.field("window_end") != at(300)))
    found = hops(copy)
    assert found["differs"] == "features"
    assert found["features"].first.stored == "no row"


def test_row_that_is_there_twice(copy):
    rewrite(copy, "scores", lambda rows: pa.concat_tables([rows, rows.filter(end(300))]))
    found = hops(copy)
    assert found["differs"] == "scores"
    assert found["scores"].first.replayed == "no row"


def test_event_that_is_gone(copy):
    changed = pc.field("type") != "dev.wheeltapper.alert.opened.v1"
    rewrite(copy, "events", lambda rows: rows.filter(changed))
    found = hops(copy)
    assert found["differs"] == "events"
    assert found["events"].first.stored == "no event"


def test_telemetry_block_that_is_gone(copy):
    """A hole in the middle shows as other features, not as sound ones."""

    def without(rows: pa.Table) -> pa.Table:
        number = int(np.median(rows["block_sequence"].unique().to_pylist()))
        known = rows["block_sequence"].unique().to_pylist()
        gone = min(known, key=lambda one: abs(one - number))
        return rows.filter(pc.field("block_sequence") != gone)

    rewrite(copy, "raw", without)
    assert hops(copy)["differs"] == "features"
