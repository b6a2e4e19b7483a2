"""Evidence that is written and checked: it has to be whole, small, and enough to compute the alert again."""

from __future__ import annotations

import json
import re
import subprocess
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.evidence.conftest import export
from tests.replay.conftest import Live, edit, faulty, flip, keep, line_config, rewrite, run, the_alert
from tests.support.lines import LINE, MODEL, SECOND, START
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history.evidence_check import verify_evidence
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.stored import first_sequence
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime.blocks import encode_names, encode_times, make_batch, to_bytes


def test_a_minute_before_the_alert_is_enough_to_compute_it_again(written, root):
    found = verify_evidence(written)
    assert found.sound
    assert found.replay is not None
    assert found.replay.exact
    assert [(hop.name, hop.rows > 0) for hop in found.replay.hops] == [
        ("features", True),
        ("scores", True),
        ("events", True),
    ]
    there = pq.read_metadata(written / "rows" / "raw.parquet").num_rows
    stored = Store(root).dataset(LINE.tenant, "raw").count_rows()
    assert 0 < there < stored / 2


def test_everything_there_is_needs_no_state(root, tmp_path):
    found = export(root, tmp_path / "all", context_ns=None)
    assert found.first_block == 0
    assert not list((tmp_path / "all" / "states").iterdir())
    assert found.rows["raw"] == found.replay.rows == 4590
    assert verify_evidence(tmp_path / "all").sound


def test_context_from_before_the_first_block(root, tmp_path):
    assert export(root, tmp_path / "all", context_ns=10**18).first_block == 0
    assert verify_evidence(tmp_path / "all").sound


def test_only_up_to_the_opening(root, tmp_path):
    export(root, tmp_path / "opened", which="opened")
    found = verify_evidence(tmp_path / "opened")
    assert found.sound
    assert pq.read_metadata(tmp_path / "opened" / "rows" / "events.parquet").num_rows == 1


def test_config_changes_before_and_within_it(tmp_path):
    """The states at rest belong to one config, and what follows to two others."""
    heavier = MODEL.model_copy(update={"version": "1.1.0"})
    configs = [
        line_config(assets=["p-1", "p-2"]),
        line_config(),
        line_config(model=heavier),
    ]

    def changes(live: Live, number: int) -> None:
        if number in (40, 103):
            live.configure(configs[1 if number == 40 else 2], faulty().received[0])

    live = run(faulty(until=560), changes, configs[0])
    keep(live, str(tmp_path / "tables"))
    written = export(str(tmp_path / "tables"), tmp_path / "evidence")
    found = verify_evidence(tmp_path / "evidence")
    assert found.sound, found
    assert written.first_block > 0
    assert len(written.replay.configs) == 3
    assert len(found.replay.configs) == 2


def test_telemetry_that_is_no_longer_kept(live, tmp_path):
    tables = str(tmp_path / "tables")
    keep(live, tables)
    number = live.streams.messages[Stage.TELEMETRY][60].sequence
    rewrite(tables, "raw", lambda rows: rows.filter(pc.field("block_sequence") >= number))
    written = export(tables, tmp_path / "evidence")
    assert [hop.name for hop in written.replay.hops] == ["scores", "events"]
    assert written.rows["raw"] > 0, "what is left of it is there for people to look at"
    assert verify_evidence(tmp_path / "evidence").sound


def test_rows_that_do_not_follow_are_written_and_told(root, live, tmp_path):
    tables = str(tmp_path / "tables")
    keep(live, tables)
    scores = live.streams.messages[Stage.SCORES]
    row = (pc.field("asset") == "p-2") & (pc.field("block_sequence") == scores[-20].sequence)
    edit(tables, "scores", row, "score", flip)
    assert not export(tables, tmp_path / "evidence").replay.same
    found = verify_evidence(tmp_path / "evidence")
    assert not found.broken
    assert not found.sound
    assert found.replay.differs == "scores"


def test_another_program_finds_it_whole(written):
    found = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=written, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    listed = {line.split(": ")[0] for line in found.stdout.splitlines()}
    there = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert listed == there - {"SHA256SUMS"}


def test_model_and_documents_are_those_of_the_alert(written):
    alert = json.loads((written / "documents" / "alert.json").read_text())["data"]
    (path,) = (written / "models").iterdir()
    onnx.checker.check_model(onnx.load(path))
    assert alert["lineage"]["modelDigest"].removeprefix("sha256:")[:12] in path.name
    assert json.loads((written / "documents" / "twin.json").read_text())["name"] == alert["asset"]
    assert json.loads((written / "documents" / "failure-model.json").read_text())["name"] == "wear"
    manifest = json.loads((written / "manifest.json").read_text())
    assert manifest["exportedWith"].keys() > {"cpu", "numpy", "onnxruntime", "pyarrow", "python"}


def test_columns_say_what_they_mean(written):
    schema = pq.read_schema(written / "rows" / "raw.parquet")
    assert schema.field("source_time").metadata[b"description"] == b"when the source measured, in whole microseconds"


def test_page_needs_nothing_from_elsewhere(written):
    page = (written / "index.html").read_text()
    assert not re.search(r"<script|<link|<img|src=|href=|url\(|@import", page)
    assert "http" not in page.replace("http-equiv", "")
    assert "P-2" in page
    assert "times normal" in page
    assert page.count("<svg") == 4  # score, its input, the input's deviation, and its signal
    ET.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", page))  # noqa: S314 - our own page, to be well formed
    assert 'class="limit"' in page


def test_page_escapes_what_people_wrote(tmp_path):
    named = line_config().assets
    title = '<b>P & "2"</b>'
    config = line_config().model_copy(update={"assets": [one.model_copy(update={"title": title}) for one in named]})
    keep(run(faulty(until=530), config=config), str(tmp_path / "tables"))
    export(str(tmp_path / "tables"), tmp_path / "evidence")
    page = (tmp_path / "evidence" / "index.html").read_text()
    assert "<b>P" not in page
    assert "&lt;b&gt;P &amp; &quot;2&quot;&lt;/b&gt;" in page


def test_folder_that_is_not_empty_is_left_alone(root, tmp_path):
    (tmp_path / "letters").write_text("dear")
    with pytest.raises(QueryError, match="is there already"):
        export(root, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


def test_nothing_is_left_of_a_failure(root, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("wheeltapper_workers.history.evidence.seal", fail)
    with pytest.raises(OSError, match="No space"):
        export(root, tmp_path / "evidence")
    assert list(tmp_path.iterdir()) == []
    assert first_sequence(Store(root), LINE, "raw") is not None
    assert the_alert(root)


def test_what_a_source_did_not_deliver_is_told(live, tmp_path):
    tables = str(tmp_path / "tables")
    historian = keep(live, tables)
    since = START + 600 * SECOND
    columns = {
        "asset": encode_names(["p-2"], np.zeros(2, int)),
        "signal": encode_names(["vibration"], np.zeros(2, int)),
        "since": encode_times(np.array([since, since])),
        "until": encode_times(since + SECOND * np.array([1, 2])),
        "cause": encode_names(["the connection broke", "the <server> was restarted"], np.arange(2)),
        "recovered": np.array([True, False]),
        "samples": np.array([1, 0], np.uint32),
    }
    subject = LINE.subject(Stage.GAPS, "scada")
    assert historian.add(Stage.GAPS, 1, START, subject, to_bytes(make_batch(Stage.GAPS, columns))) is None
    historian.commit()
    assert export(tables, tmp_path / "evidence").rows["gaps"] == 2
    page = (tmp_path / "evidence" / "index.html").read_text()
    assert "the &lt;server&gt; was restarted" in page, "the newer word"
    assert "the connection broke" not in page
    assert verify_evidence(tmp_path / "evidence").sound
