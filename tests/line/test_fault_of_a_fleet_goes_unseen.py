"""A week of simulated machines through every step and the library's models: each fault is found, named and in time."""

from __future__ import annotations

import pytest

from tests.bench.plant import DAY_S, START_S, judge, run
from wheeltapper_workers.simulator.fleet.fleet import Fault, Fleet
from wheeltapper_workers.simulator.fleet.machines import MACHINES


@pytest.mark.parametrize("kind", ["fan", "compressor"])
def test_each_fault_is_found_and_a_healthy_machine_is_left_alone(kind):
    faults = MACHINES[kind].faults
    assets = [f"{kind}-{number}" for number in range(len(faults) + 1)]
    growing = tuple(
        Fault(asset, fault, START_S + 3 * DAY_S, 2 * DAY_S) for asset, fault in zip(assets, faults, strict=False)
    )
    fleet = Fleet(11, START_S, START_S + 5 * DAY_S, 10, {kind: assets}, growing, ())
    result = judge(fleet, {kind: run(fleet, kind)})
    assert result["missedList"] == []
    assert {name: (mode["faults"], mode["detected"]) for name, mode in result["modes"].items()} == dict.fromkeys(
        faults, (1, 1)
    )
    assert result["falseList"] == []
    assert result["samples"] > 1_000_000
