"""What the screens collect of the streams: sparklines that show another time or twin, and memory that grows."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from tests.cli.test_view_picture_misleads import NOW, features, scores
from tests.support.lines import LINE, MODEL, SECOND, line_config
from tests.support.nats import Server
from tests.support.waiting import until
from wheeltapper_api.config import Role, WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET, HEADER_TICK, Stage
from wheeltapper_cli.live import Watch, position_before
from wheeltapper_cli.screen.keys import Keys
from wheeltapper_cli.screen.past import LinePast, ModeChange, Past
from wheeltapper_cli.screen.series import CELLS, Series
from wheeltapper_workers.runtime.blocks import to_bytes


def known(row) -> list[float]:
    return row[~np.isnan(row)].tolist()


def test_rows_in_any_order_and_twice_give_the_same_series():
    chance = np.random.default_rng(3)
    series, time_ns = chance.integers(0, 4, 5000), chance.integers(0, 300 * SECOND, 5000)
    value = chance.normal(size=5000)
    expected = None
    for _ in range(4):
        order = np.concatenate((chance.permutation(5000), chance.integers(0, 5000, 500)))
        for peak in (True, False):
            found = Series(4, SECOND, keep_peak=peak)
            for part in np.array_split(order, 7):
                found.put(series[part], time_ns[part], value[part])
            if peak:
                rows = np.stack([found.row(one) for one in range(4)])
                expected = rows if expected is None else expected
                np.testing.assert_array_equal(rows, expected)
    assert np.isfinite(expected).sum() > 400


def test_series_keeps_the_newest_cells_after_any_jump_of_time():
    found = Series(1, SECOND, keep_peak=True)
    for start in (0, 50, 5000, 5001):
        found.put(np.zeros(1, np.int64), np.array([start * SECOND]), np.array([float(start)]))
    assert found.row(0)[-2:].tolist() == [5000.0, 5001.0]
    assert len(known(found.row(0))) == 2
    found.put(np.zeros(1, np.int64), np.array([10 * SECOND]), np.array([7.0]))  # too old to be shown
    assert len(known(found.row(0))) == 2
    assert len(found.row(0)) == CELLS


def test_values_land_at_their_own_twin_and_window():
    past = LinePast(line_config())
    ends = NOW - SECOND * 10 * np.arange(5)[::-1]
    values = np.arange(45.0).reshape(5, 3, 3)
    past.take_features(features(past, ends, values))
    assert past.value("p-2", "speed-level") == values[4, 1, 2]
    assert known(past.feature_row("p-3", "vibration-level")) == values[:, 2, 0].tolist()
    past.take_features(features(past, ends[:1], values[:1] + 1000))  # an old block, late
    assert past.value("p-2", "speed-level") == values[4, 1, 2]
    past.take_scores(scores(past, ends, values[:, :, 0]))
    np.testing.assert_allclose(known(past.score_row("p-2", "wear")), values[:, 1, 0])
    assert past.inputs("p-2", "wear") == [("vibration-level", 1.54, values[4, 1, 0])]
    past.take_scores(scores(past, [NOW + SECOND], np.full((1, 3), np.nan), expected=np.nan))  # it stands
    (feature, expected, deviation), *_ = past.inputs("p-2", "wear")
    assert (feature, expected, np.isnan(deviation)) == ("vibration-level", 1.54, True)
    assert past.score_row("p-9", "wear") is None


def test_rows_of_another_pipeline_are_passed_over():
    past = LinePast(line_config())
    batch = features(past, [NOW], np.ones((1, 3, 3)))
    past.take_features(batch.replace_schema_metadata({"pipeline_digest": "sha256:another"}))
    assert np.isnan(past.value("p-1", "speed-level"))
    past.take_features(batch)
    assert past.value("p-1", "speed-level") == 1.0


def test_modes_are_changes_the_newest_first_and_no_more_than_are_shown():
    past = LinePast(line_config())
    for number in range(100):
        mode, since = ("off", "running")[number % 2], NOW + number * SECOND
        for _ in range(2):
            past.take_features(features(past, [NOW + number * SECOND], np.ones((1, 3, 3)), mode, since))
    found = past.modes("p-1")
    assert found[:2] == [ModeChange("running", 0, NOW + 99 * SECOND), ModeChange("off", 0, NOW + 98 * SECOND)]
    assert len(found) < 20


def test_config_with_a_new_title_keeps_the_past_and_one_with_another_twin_begins_anew():
    past, config = Past(), line_config()
    past.configure("northwater", [config])
    before = past.lines[LINE.key]
    before.take_features(features(before, [NOW], np.ones((1, 3, 3))))
    past.configure("northwater", [config.model_copy(update={"plant_title": "Lakeside"})])
    assert past.lines[LINE.key].value("p-1", "speed-level") == 1.0
    assert past.lines[LINE.key].config.plant_title == "Lakeside"
    past.configure("another", [])
    assert LINE.key in past.lines
    past.configure("northwater", [line_config(["p-1", "p-9"])])
    assert np.isnan(past.lines[LINE.key].value("p-1", "speed-level"))
    past.configure("northwater", [])
    assert past.lines == {}


def test_bytes_of_keys_give_the_same_keys_however_they_are_cut():
    data = b"j\x1b[A\x1bOB\x1b[6~\x1b[1;5C\xe6\xb0\xb4\x1b[<0;1;1M\r\x7f\x1b[H"
    expected = ["j", "up", "down", "page-down", "right", "水", "enter", "backspace", "home"]
    for size in (1, 2, 3, 100):
        keys = Keys()
        found = [key for at in range(0, len(data), size) for key in keys.feed(data[at : at + size])]
        assert found == expected
        assert not keys.waiting
    assert Keys().feed(b"\x1b") == []
    assert Keys().feed(b"\x1bj") == ["esc", "j"]


@pytest.fixture
async def server(tmp_path):
    server = Server(tmp_path)
    server.start()
    try:
        await server.ready()
        await server.streams()
        yield server
    finally:
        server.kill()


async def test_watch_seeds_the_past_and_goes_on_whatever_lies_in_the_stream(server):
    config = WorkerConfig(worker="analyse", tenant="northwater", roles=[Role.SCORE], lines=[line_config()])
    made = LinePast(line_config())
    client = await server.connect()
    jetstream = client.jetstream()
    bucket = await jetstream.key_value(CONFIG_BUCKET)
    await bucket.put("analyse", config.model_dump_json().encode())
    now = time.time_ns() // SECOND * SECOND
    feature_subject, score_subject = LINE.subject(Stage.FEATURES, "f"), LINE.subject(Stage.SCORES, "s")
    await jetstream.publish(feature_subject, to_bytes(features(made, [now - 20 * SECOND], np.full((1, 3, 3), 4.0))))
    await jetstream.publish(feature_subject, b"no block")
    await jetstream.publish("features.northwater.elsewhere.fan.s0.f", b"of a line that is gone")
    await jetstream.publish("features.short", b"no line")
    await jetstream.publish(score_subject, b"", headers={HEADER_TICK: "1"})
    await jetstream.publish(score_subject, to_bytes(scores(made, [now - 20 * SECOND], [[1.5, 0.5, 0.5]])))
    past = Past()
    watch = Watch(server.url, server.credentials, past=past)
    task = asyncio.create_task(watch.run())
    try:
        await until(lambda: LINE.key in past.lines, what="the config")
        line = past.lines[LINE.key]
        await until(lambda: known(line.score_row("p-1", MODEL.name)) == [1.5], what="the score")
        await until(lambda: line.value("p-1", "speed-level") == 4.0, what="the feature")
        await jetstream.publish(feature_subject, to_bytes(features(made, [now], np.full((1, 3, 3), 5.0))))
        await until(lambda: line.value("p-1", "speed-level") == 5.0, what="the next feature")
        edited = config.model_copy(update={"lines": [line_config(["p-1"])]})
        await bucket.put("analyse", edited.model_dump_json().encode())
        await until(lambda: list(past.lines[LINE.key].assets) == ["p-1"], what="the edit")
        await bucket.put("analyse", b"{}")
        await bucket.put("other", edited.model_copy(update={"worker": "other"}).model_dump_json().encode())
        await until(lambda: set(watch.picture.configs) == {"analyse", "other"}, what="the next document")
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)
        await client.close()


async def test_seed_begins_where_the_time_says(server):
    client = await server.connect()
    jetstream = client.jetstream()
    assert await position_before(client, Stage.FEATURES, 0) == 0
    for _ in range(9):
        await jetstream.publish("features.a", b"x")
    assert await position_before(client, Stage.FEATURES, time.time_ns() - 3600 * SECOND) == 0
    assert await position_before(client, Stage.FEATURES, time.time_ns() + 3600 * SECOND) == 9
    begun = time.time_ns() // SECOND
    await until(lambda: time.time_ns() // SECOND > begun + 1, what="the next second")
    await jetstream.publish("features.a", b"y")
    assert await position_before(client, Stage.FEATURES, (begun + 2) * SECOND) == 9
    await jetstream.purge_stream(Stage.FEATURES.stream)
    assert await position_before(client, Stage.FEATURES, 0) == 10
    await client.close()
