"""A benchmark whose sender, checker or page is wrong says nothing about the product."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary

from tests.bench import features, onnx, recompile, report
from tests.bench.harness import Goal, Options, UnequalError, compared, median_between
from tests.bench.machine import Surroundings
from tests.bench.source import notification
from tests.bench.source.schedule import HIGH, LOW, Schedule
from wheeltapper_workers.sources.opcua_decode import publication

MS = 10**6


@pytest.mark.parametrize("slots", [1, 3, 10])
def test_rows_are_due_exactly_when_their_time_has_come(slots):
    schedule = Schedule(assets=20, signals=3, period_ns=90 * MS, first_ns=5 * MS, slots=slots)
    times = schedule.times_ns(0, 5 * schedule.series)
    assert (np.diff(times) >= 0).all()
    for moment in [0, *times.tolist(), *(times - 1).tolist(), *(times + 1).tolist()]:
        if moment < times[-1]:
            assert schedule.rows_until(moment) == (times <= moment).sum()


def test_sum_of_the_values_is_exact():
    schedule = Schedule(assets=7, signals=3, period_ns=MS)
    values = schedule.values(0, 50_000)
    assert schedule.total(50_000) == sum(int(value * 1024) for value in values) / 1024
    stepped = Schedule(assets=7, signals=3, period_ns=MS, step_ticks=4).values(0, 210).reshape(-1, 7, 3)
    assert set(np.unique(stepped[:, :, 0])) == {LOW, HIGH}
    assert stepped[:, :, 1:].min() >= 10


def test_source_says_what_the_library_understands():
    handles, values = np.arange(5), np.array([1.5, -2, 3, 0, 5])
    times = 1_700_000_000 * 10**9 + np.arange(5) * MS
    body = notification.response(9, 3, 17, notification.items(handles, values, times), acknowledged=2)
    buffer = Buffer(body)
    assert nodeid_from_binary(buffer).Identifier == ua.ObjectIds.PublishResponse_Encoding_DefaultBinary
    header = struct_from_binary(ua.ResponseHeader, buffer)
    own = publication(bytes(buffer.read(len(buffer))))
    assert (header.RequestHandle, own.subscription, own.sequence) == (9, 3, 17)
    assert own.changes.value.tolist() == values.tolist()
    assert own.changes.time_ns.tolist() == times.tolist()
    assert own.changes.handle.tolist() == handles.tolist()


def test_keep_alive_carries_nothing():
    buffer = Buffer(notification.response(9, 3, 17, b"", acknowledged=0))
    nodeid_from_binary(buffer)
    struct_from_binary(ua.ResponseHeader, buffer)
    assert publication(bytes(buffer.read(len(buffer)))).empty


def test_unequal_values_are_not_measured():
    with pytest.raises(UnequalError, match="Rows should be 3, and is 2"):
        compared(("Sum", 1.5, 1.5), ("Rows", 2, 3))
    with pytest.raises(UnequalError):
        features.compare(np.ones((2, 2)), np.array([[1, 1], [1, 1.001]]))


def test_goal_is_met_or_not():
    assert Goal("ratio", 40.0, "x", least=40).met
    assert not Goal("ratio", 39.9, "x", least=40).met
    assert not Goal("cores", 1.51, "cores", most=1.5).met
    assert Goal("cores", 1.2, "cores", most=1.5, aim=1).document()["goal"] == "at most 1.5, hoped for 1"


def test_noise_is_not_taken_for_an_answer():
    noisy = [-2.0, 8.4, 1.0, -5.0, 6.0, 2.0, -1.0, 9.0]
    # Of eight values the median is beyond the outermost in 1 of 128 cases, and beyond the next in 9.
    assert median_between(noisy) == (-5.0, 9.0)
    assert Goal("cost", 1.5, "%", most=3, turns=noisy).met is None
    assert Goal("cost", 1.5, "%", most=3, turns=[1.0, 1.5, 1.2, 2.0, 1.1, 1.9]).met is True
    assert Goal("cost", 5, "%", most=3, turns=[4.0, 6.0, 5.0, 4.5, 5.5, 7.0]).met is False


def test_few_runs_decide_nothing():
    assert median_between([30.0, 40.0, 35.0, 31.0, 39.0]) is None
    goal = Goal("cost", 35, "%", most=3, turns=[30.0, 40.0])
    assert goal.met is None
    assert goal.document()["between"] is None


@pytest.mark.parametrize("module", [onnx, recompile])
def test_benchmark_runs_and_its_result_becomes_a_page(module, tmp_path):
    found = module.run(Options(quick=True, repeat=1)).document(Surroundings())
    (tmp_path / f"{module.NAME}.json").write_text(json.dumps(found, allow_nan=False))
    page = tmp_path / "page.md"
    report.write(tmp_path, page, ["absent", module.NAME])
    text = page.read_text()
    assert found["title"] in text
    assert f"](#{module.NAME})" in text
    assert f"## {module.NAME}\n" in text
    assert report.line(found).startswith(f"{module.NAME}: ")


def test_page_is_that_of_the_kept_results(tmp_path):
    folder = Path(report.__file__).parent
    kept = [path.stem for path in (folder / "results").glob("*.json")]
    assert kept
    for name in kept:
        found = json.loads((folder / "results" / f"{name}.json").read_text())
        assert found["bench"] == name
        assert found["title"] in (folder.parents[1] / "docs" / "performance.md").read_text()


def test_words_of_a_name():
    assert report._words("mostResidentMiB") == "Most resident MiB"
    assert report._words("peerSamplesPerCpuSecond") == "Peer samples per CPU second"
