"""The written past must be complete, healthy, sorted, and the same as the plant's own."""

import time

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.history import SCHEMA, write_history
from wheeltapper_workers.simulator.plant import simulate
from wheeltapper_workers.simulator.scenario import Scenario
from wheeltapper_workers.simulator.signals import AMBIENT, SIGNAL_NAMES
from wheeltapper_workers.simulator.station import PumpStation

UNTIL = 1_795_000_000
NS = 1_000_000_000
SCENARIO = Scenario.model_validate(
    {
        "seed": 7,
        "pumps": [{"name": "p-1"}, {"name": "p-2"}],
        "faults": [{"asset": "p-1", "kind": "bearing-wear", "at": "0s", "growth": "1s"}],
    }
)


def test_history_holds_every_second_of_every_signal(tmp_path):
    path, told = tmp_path / "new" / "history.parquet", []
    rows = write_history(PumpStation(SCENARIO), UNTIL * NS + 5, 1500, path, lambda *progress: told.append(progress))
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    assert rows == table.num_rows == 1500 * 2 * 12
    assert told == [(600, 1500), (1200, 1500), (1500, 1500)]
    assert pq.ParquetFile(path).num_row_groups == 3
    times = table["time"].cast("int64").to_numpy()
    assert (np.diff(times) >= 0).all()
    assert (times[0], times[-1]) == ((UNTIL - 1500) * NS, (UNTIL - 1) * NS)
    assert not list(path.parent.glob("*.new"))


def test_history_is_the_plants_own_healthy_past(tmp_path):
    path = tmp_path / "history.parquet"
    write_history(PumpStation(SCENARIO), UNTIL * NS, 700, path)
    table = pq.read_table(path)
    chunk = simulate(SCENARIO, None, UNTIL - 700, UNTIL)
    for index, signal in enumerate([*SIGNAL_NAMES, AMBIENT]):
        wanted = table.filter((pc.field("asset") == "p-2") & (pc.field("signal") == signal))["value"].to_numpy()
        expected = chunk.ambient_cel if signal == AMBIENT else chunk.values[1, index]
        np.testing.assert_allclose(wanted, expected, rtol=0, atol=0.011)
    worn = table.filter((pc.field("asset") == "p-1") & (pc.field("signal") == "vibration-de"))["value"].to_numpy()
    assert worn.max() < 3.0


def test_day_of_history_is_quick(tmp_path):
    # A day of 44 series takes about a second; 1/12 of it with generous slack, because the machine is shared.
    began = time.process_time()
    write_history(PumpStation(SCENARIO), UNTIL * NS, 7200, tmp_path / "history.parquet")
    assert time.process_time() - began < 2.0


def test_impossible_histories_are_refused(tmp_path):
    with pytest.raises(SimulatorError, match="at least 1 s"):
        write_history(PumpStation(SCENARIO), UNTIL * NS, 0, tmp_path / "history.parquet")
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulatorError, match="cannot be written"):
        write_history(PumpStation(SCENARIO), UNTIL * NS, 10, tmp_path / "file" / "history.parquet")
