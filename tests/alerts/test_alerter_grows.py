"""What the alerter keeps must not grow with the time it runs."""

from __future__ import annotations

from tests.alerts.scores import Alerter, Score
from tests.support.lines import line_config


def test_nothing_grows_with_time():
    few = [f"p-{i}" for i in range(50)]
    alerter = Alerter(line_config(few))

    def size():
        snapshot = alerter.step.snapshot(alerter.state)
        return sum(array.nbytes for array in snapshot.arrays.values()), len(repr(snapshot.document))

    for i in range(3):
        alerter.feed([Score(10.0 * i, 0.3, name) for name in few])
    before = size()
    for i in range(3, 100):
        alerter.feed([Score(10.0 * i, 0.3, name, digest=f"sha256:{i}", mode=f"m-{i}") for name in few])
    assert size() == before
