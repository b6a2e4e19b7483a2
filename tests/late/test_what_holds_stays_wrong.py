"""A state holds until the next one comes, a burst is measured with a speed of its time: a late one touches more."""

from __future__ import annotations

import numpy as np
import pytest

from tests.features import test_burst_is_measured_wrong as bursts
from tests.features import test_state_or_counter_is_misread as states
from tests.late.conftest import FORMED, ask, corrected, said
from tests.replay.conftest import Live, keep
from tests.support.lines import LINE, SECOND, START
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history.late import correction, corrector
from wheeltapper_workers.history.late.corrector import Corrector
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.configs import line_generation

SECONDS = 1500


def kept(root, config, batches, changes=()) -> Store:
    """Tables of a line that got batches at their second; ``changes`` are configs by the second of which they are."""
    live, changes = Live(config), sorted(changes, key=lambda one: one[0])
    live.configure(config, START)
    for second, batch in sorted(batches, key=lambda one: one[0]):
        while changes and changes[0][0] <= second:
            at, other = changes.pop(0)
            live.configure(other, START + at * SECOND)
        live.take(Stage.TELEMETRY, START + second * SECOND, to_bytes(batch))
    keep(live, str(root), every=17)
    return Store(str(root))


def assert_the_same(store, other):
    formed = FORMED.format(table="features")
    assert said(store, "features", where=formed) == said(other, "features", where=formed)


def flow(first, last):
    """A sample a second, in blocks of ten."""
    return [(second + 9, states.flow(second, second + 9)) for second in range(first, last, 10)]


def changes_of(random, signal, values, count):
    """Changes of a signal at random times, some of them late."""
    seconds = np.sort(random.choice(SECONDS - 200, count, replace=False)) + 1
    for second in seconds.tolist():
        delay = int(random.integers(20, 180)) if random.random() < 0.4 else 0
        yield second, second + delay, states.block((signal, second, values[int(random.integers(len(values)))]))


@pytest.mark.parametrize("seed", range(3))
def test_states_counters_and_contexts_that_come_late(tmp_path, seed):
    random = np.random.default_rng(seed)
    words = {
        "state": [0.0, 2.0],
        "alarm": [0.0, 1.0],
        "recipe": ["cap-28", "cap-38"],
        "cycles": [*map(float, range(9))],
    }
    found = [one for signal, values in words.items() for one in changes_of(random, signal, values, 12)]
    other = kept(tmp_path / "order", states.config(), [*flow(0, SECONDS), *((at, batch) for at, _, batch in found)])
    store = kept(tmp_path / "late", states.config(), [*flow(0, SECONDS), *((at, batch) for _, at, batch in found)])
    passes = corrected(store)
    assert passes[0].late > 3
    assert passes[0].windows > 10
    assert_the_same(store, other)


def test_a_late_state_is_right_until_the_next_one_comes(tmp_path, monkeypatch):
    """It goes on to be corrected for as long as the live line holds what was before it."""
    monkeypatch.setattr(corrector, "WINDOWS", 20)
    monkeypatch.setattr(correction, "CHUNK", 8)
    first, late, after = (states.block(("state", at, value)) for at, value in ((0, 2.0), (300, 0.0), (1200, 2.0)))
    told = [*flow(0, 800), (0, first), (400, late)]
    store = kept(tmp_path / "late", states.config(), told)
    job = Corrector(store, LINE.tenant)
    corrected(store, job)
    assert_the_same(store, kept(tmp_path / "order", states.config(), [*flow(0, 800), (0, first), (300, late)]))
    last = ask(store, "SELECT running FROM features WHERE asset = 'p-1' ORDER BY window_end DESC LIMIT 1")
    assert last == [{"running": 0.0}]
    # What comes then is stored behind it, by the same historian or another one.
    store = kept(tmp_path / "all", states.config(), [*told, *flow(800, SECONDS), (1200, after)])
    corrected(store)
    whole = [*flow(0, SECONDS), (0, first), (300, late), (1200, after)]
    assert_the_same(store, kept(tmp_path / "whole", states.config(), whole))


@pytest.mark.parametrize("seed", range(2))
def test_bursts_and_their_speeds_that_come_late(tmp_path, seed):
    random = np.random.default_rng(seed)
    found = []
    for second in range(0, 900, 5):
        speed = bursts.speeds(float(random.integers(600, 1800)), second, second + 5)
        late = 100 < second < 800 and random.random() < 0.1
        found.append((second + 5, second + 5 + (int(random.integers(70, 300)) if late else 0), speed))
    for second in range(10, 860, 20):
        wave = bursts.waves((second, float(random.integers(10, 30)), float(random.integers(1, 9))))
        late = random.random() < 0.2
        found.append((second + 4, second + 4 + (int(random.integers(70, 300)) if late else 0), wave))
    other = kept(tmp_path / "order", bursts.config(), [(at, batch) for at, _, batch in found])
    store = kept(tmp_path / "late", bursts.config(), [(at, batch) for _, at, batch in found])
    (one,) = corrected(store)
    assert one.late > 5
    assert_the_same(store, other)


def test_config_changes_while_samples_are_late(tmp_path):
    """Each window is made again under the config that made it."""
    before, after = states.config(), states.config()
    after = after.model_copy(
        update={"pipeline": after.pipeline.model_copy(update={"features": after.pipeline.features[::2]})}
    )
    assert line_generation(before) != line_generation(after)
    state = [
        (at, late, states.block(("state", at, value)))
        for at, late, value in (
            (0, 0, 2.0),
            (300, 420, 0.0),
            (690, 820, 2.0),
            (900, 1100, 0.0),
            (1200, 1200, 2.0),
        )
    ]
    changes = [(700, after)]
    store = kept(tmp_path / "late", before, [*flow(0, SECONDS), *((at, b) for _, at, b in state)], changes)
    corrected(store)
    other = kept(tmp_path / "order", before, [*flow(0, SECONDS), *((at, b) for at, _, b in state)], changes)
    assert_the_same(store, other)
