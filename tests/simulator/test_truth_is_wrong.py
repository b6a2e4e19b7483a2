"""Ground truth must agree with what the plant does, once and in order, across restarts."""

import json

import numpy as np

from wheeltapper_workers.simulator import duty
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.truth import append_truth, truth, written_until_ns

EPOCH = 1_795_000_000
NS = 1_000_000_000
SCENARIO = Scenario.model_validate(
    {
        "seed": 3,
        "pumps": [{"name": "p-1"}, {"name": "p-2"}],
        "faults": [{"asset": "p-1", "kind": "cavitation", "at": "30s", "growth": "100s"}],
        "script": {
            "loads": [{"asset": "p-2", "at": "10s", "for": "5m", "load": 0.7}],
            "stops": [{"asset": "p-1", "at": "20s", "for": "1m"}],
        },
    }
)


def happened(start_s, end_s):
    return truth(SCENARIO, (EPOCH + start_s) * NS, (EPOCH + end_s) * NS, epoch_ns=EPOCH * NS)


def test_pieces_of_truth_are_the_whole_truth():
    whole = happened(0, 3600)
    assert [event for start in range(0, 3600, 7) for event in happened(start, min(start + 7, 3600))] == whole
    assert whole == sorted(whole)


def test_severity_milestones_come_when_reached():
    events = [event for event in happened(0, 3600) if event.fault]
    assert events[0].event == "fault-onset"
    assert [(e.time_ns // NS - EPOCH, round(e.value, 1)) for e in events[1:]] == [
        (30 + 10 * k, round(0.1 * k, 1)) for k in range(1, 11)
    ]


def test_loads_and_stops_match_the_duty():
    events = happened(0, 7200)
    time_s = np.arange(EPOCH, EPOCH + 7200)
    load = duty.load(SCENARIO, EPOCH, time_s)
    for event in events:
        if event.event == "load-change":
            settled = -(-event.time_ns // NS) - EPOCH + int(duty.LOAD_RAMP_S)
            if settled < 7200:
                assert abs(load[SCENARIO.assets.index(event.asset), settled] - event.value) < 1e-6
    _, energised = duty.speed_ratio(SCENARIO, EPOCH, time_s)
    switched = int(np.abs(np.diff(energised, axis=1)).sum())
    assert switched == sum(event.event in {"stop", "start"} for event in events) >= 2


def test_nothing_is_scripted_or_faulty_before_the_first_live_start():
    events = truth(SCENARIO, (EPOCH - 86_400) * NS, EPOCH * NS)
    assert {event.event for event in events} <= {"load-change", "stop", "start"}
    assert len([event for event in events if event.event == "load-change"]) == 2 * 360


def test_restart_writes_nothing_twice_and_leaves_nothing_out(tmp_path):
    path = tmp_path / "truth.jsonl"
    assert written_until_ns(path, EPOCH * NS) == EPOCH * NS
    append_truth(path, happened(0, 50))
    with path.open("a") as file:
        file.write('{"time": "20')  # power cut in the middle of a line
    again_from = written_until_ns(path, EPOCH * NS)
    lines = path.read_text().splitlines()[:-1]
    path.write_text("".join(line + "\n" for line in lines))
    append_truth(path, truth(SCENARIO, again_from, (EPOCH + 300) * NS, epoch_ns=EPOCH * NS))
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert written == [event.document() for event in happened(0, 300)]
    assert {"time", "time_ns", "asset", "event"} <= set(written[0])
