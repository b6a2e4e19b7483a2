"""A replay must deliver every row to whoever subscribed, in order, with the right source times."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from asyncua import Client
from asyncua.ua.status_codes import StatusCodes

from wheeltapper_workers.simulator.errors import RecordingError, SimulatorError
from wheeltapper_workers.simulator.replay import schedule, serve_csv

NS = 1_000_000_000
FIRST = datetime(2020, 2, 8, 13, 30, 47, tzinfo=UTC)
COLUMNS = [f"Signal {index}" for index in range(8)]
NODES = [f"Signal{index}" for index in range(8)]


def recorded(tmp_path, rows):
    path = tmp_path / "pump.csv"
    lines = ["datetime;" + ";".join(COLUMNS)]
    for row in range(rows):
        # Every other row repeats its values: a source time alone is a change, too.
        cells = [str(row // 2 + index / 10) for index in range(8)]
        lines.append(f"{FIRST + timedelta(seconds=row):%Y-%m-%d %H:%M:%S};" + ";".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def replay(path, url, **options):
    async def work(stop, ready):
        return await serve_csv(path, "datetime", url, stop=stop, ready=ready, **options)

    return work


async def test_nothing_is_lost_at_speed_and_time_ends_now(url, tmp_path, running, subscribe, wait, caplog):
    caplog.set_level("INFO")
    path = recorded(tmp_path, 600)
    async with running(replay(path, url, speed=400.0)) as task, subscribe(url, NODES) as seen:
        await wait(lambda: "Replay finished: 600 rows" in caplog.text)
        ended = time.time()
        await wait(lambda: len(seen.changes) >= 4800)
    assert task.result() == 600
    for index, name in enumerate(NODES):
        values, statuses, times = zip(*seen.of(name), strict=True)
        assert values == tuple(row // 2 + index / 10 for row in range(600))
        assert set(statuses) == {0}
        assert np.diff(times) == pytest.approx(np.ones(599), abs=1e-5)
        assert times[-1] == pytest.approx(ended, abs=2.0)


async def test_recorded_times_are_kept_empty_cells_left_out_and_the_server_leaves(
    url, tmp_path, running, subscribe, wait
):
    path = tmp_path / "gaps.csv"
    path.write_text("datetime,a,b,unused\n2020-01-01,,1,0\n2020-01-02,2,,0\n2020-01-03,3,3,0\n")
    async with running(replay(path, url, speed=1e6, timestamps="recorded", exit_after_s=0.3)) as task:
        async with subscribe(url, ["a", "b"]) as seen:  # not all columns: begins when no further subscription comes
            await wait(lambda: len(seen.changes) >= 5)
        assert await asyncio.wait_for(task, 10) == 3
    day = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    assert seen.of("a") == [(None, StatusCodes.BadNoData, day), (2.0, 0, day + 86_400), (3.0, 0, day + 172_800)]
    assert seen.of("b") == [(1.0, 0, day), (3.0, 0, day + 172_800)]


async def test_replay_begins_without_a_subscriber_when_told_and_loops(url, tmp_path, running, caplog):
    caplog.set_level("INFO")
    path = recorded(tmp_path, 3)
    async with running(replay(path, url, speed=100.0, wait_s=0.05, loop=True)) as task, Client(url) as client:
        node, times = client.get_node("ns=2;s=Signal7"), set()
        while len(times) < 8:
            times.add((await node.read_data_value()).SourceTimestamp)
    assert task.result() >= 8
    assert "Replay stopped after" in caplog.text
    assert max(times) - datetime.now(UTC).replace(tzinfo=max(times).tzinfo) < timedelta(seconds=1)


async def test_wrong_wishes_are_refused(url, tmp_path):
    path = recorded(tmp_path, 3)
    with pytest.raises(RecordingError, match="no column 'when'"):
        await serve_csv(path, "when", url)
    with pytest.raises(SimulatorError, match="above 0"):
        await serve_csv(path, "datetime", url, speed=-1)
    with pytest.raises(SimulatorError, match="time would run back"):
        await serve_csv(path, "datetime", url, loop=True, timestamps="recorded")


def test_schedule_keeps_spacing_and_never_waits_backwards():
    times = np.array([0, 10, 5, 30]) * NS + 1_000 * NS
    plan = schedule(times, 10.0, "shifted", loop=False)
    assert plan.due_s.tolist() == [0.0, 1.0, 1.0, 3.0]
    assert (plan.source_ns / NS).tolist() == [-27.0, -17.0, -22.0, 3.0]
    looped = schedule(times, 10.0, "shifted", loop=True)
    assert (looped.source_ns / NS).tolist() == looped.due_s.tolist()
    assert looped.duration_s > looped.due_s[-1]
