"""The plant's time must go on across restarts, changes of speed and damaged files."""

import pytest

from wheeltapper_workers.simulator.clock import PlantClock, load_clock, resumed, started, store_clock
from wheeltapper_workers.simulator.errors import SimulatorError

NS = 1_000_000_000
NOW = 1_795_000_000 * NS + 123_456_789


def test_plain_clock_is_the_wall_clock():
    clock = started(NOW, 1.0)
    assert clock.epoch_ns == NOW // NS * NS
    assert clock.simulated_ns(NOW) == NOW
    assert clock.real_ns(NOW + NS) == NOW + NS


def test_fast_clock_begins_at_its_epoch():
    clock = started(NOW, 1000.0)
    assert clock.simulated_ns(NOW) == clock.epoch_ns == NOW // NS * NS


def test_fast_clock_goes_on_after_a_restart():
    clock = started(NOW, 60.0)
    assert resumed(clock, NOW + 10 * NS, 60.0) == clock
    at_restart = clock.simulated_ns(NOW + 10 * NS)
    slower = resumed(clock, NOW + 10 * NS, 1.0)
    assert slower.simulated_ns(NOW + 10 * NS) == at_restart
    assert slower.simulated_ns(NOW + 11 * NS) == at_restart + NS
    assert slower.epoch_ns == clock.epoch_ns
    assert slower.real_ns(slower.simulated_ns(NOW)) == NOW


def test_clock_survives_in_its_file(tmp_path):
    path = tmp_path / "new" / "plant.json"
    assert load_clock(path) is None
    store_clock(path, PlantClock(1, 2, 3, 4.5))
    assert load_clock(path) == PlantClock(1, 2, 3, 4.5)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"epoch_ns": "x"}'])
def test_damaged_file_is_a_clear_error(tmp_path, text):
    path = tmp_path / "plant.json"
    path.write_text(text)
    with pytest.raises(SimulatorError, match="Delete it to begin a new plant history"):
        load_clock(path)
