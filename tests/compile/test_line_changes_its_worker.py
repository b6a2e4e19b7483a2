"""Lines that wander between workers for nothing do work again for nothing; one that no worker has is not looked at."""

from __future__ import annotations

import itertools

import pytest

from tests.support.lines import line_config
from wheeltapper_api.config import Role
from wheeltapper_operator.compile.placement import SPREAD_SAMPLES_PER_SECOND, WORKER_SAMPLES_PER_SECOND, place

ASSETS = 100
ONE_LINE = ASSETS * 2
"""Samples a second of a line whose two signals come every second."""


def lines(count, load):
    """So many lines of one plant that promise the samples a second together."""
    interval_ns = 10**9 * ONE_LINE * count // load
    found = []
    for number in range(count):
        config = line_config([f"p-{asset}" for asset in range(ASSETS)])
        assets = [one.model_copy(update={"signals": dict.fromkeys(one.signals, interval_ns)}) for one in config.assets]
        line = config.line.model_copy(update={"asset_class": f"class-{number}"})
        found.append(config.model_copy(update={"line": line, "assets": assets}))
    return found


def workers(count, load):
    """Lines of every worker of a role."""
    found = {role: {} for role in (Role.FEATURIZE, Role.SCORE, Role.ALERT)}
    for worker in place("northwater", lines(count, load), []):
        for role in set(worker.roles) & set(found):
            found[role][worker.worker] = {line.line.asset_class for line in worker.lines}
    return found


@pytest.mark.parametrize("load", [100, SPREAD_SAMPLES_PER_SECOND * 2, WORKER_SAMPLES_PER_SECOND * 7])
def test_every_line_has_exactly_one_worker_of_each_role(load):
    for role, found in workers(40, load).items():
        assert sorted(itertools.chain(*found.values())) == sorted(f"class-{n}" for n in range(40)), role


def test_a_large_plant_has_several_workers_of_a_role_and_none_without_a_line():
    found = workers(40, WORKER_SAMPLES_PER_SECOND * 7 - 1000)
    assert {role: len(own) for role, own in found.items()} == dict.fromkeys(found, 7)
    assert all(all(own.values()) for own in found.values())
    assert "northwater-riverside-score" in found[Role.SCORE]


def test_there_are_never_more_workers_than_lines():
    assert len(workers(2, WORKER_SAMPLES_PER_SECOND * 50)[Role.SCORE]) <= 2


def test_a_worker_more_takes_lines_and_moves_none_between_the_others():
    before, after = (workers(40, WORKER_SAMPLES_PER_SECOND * n - 1000)[Role.SCORE] for n in (4, 5))
    fresh = after.keys() - before.keys()
    assert len(fresh) == 1
    for name in before:
        assert after[name] <= before[name]
    moved = len(after[fresh.pop()])
    assert 0 < moved < 20


def test_a_line_more_moves_no_other():
    load = WORKER_SAMPLES_PER_SECOND * 3 - 1000
    before, after = workers(40, load)[Role.SCORE], workers(41, load)[Role.SCORE]
    assert {name: own - {"class-40"} for name, own in after.items()} == before
