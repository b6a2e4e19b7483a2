"""What the steps were told is kept once, whatever happens between its commit and that of the rows."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from tests.replay.conftest import (
    SECOND,
    START,
    Live,
    blocks_of,
    faulty,
    keep,
    line_config,
    run,
    store_config,
    the_alert,
)
from tests.support.lines import LINE, PIPELINE
from wheeltapper_api.config import LineConfig
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import announced
from wheeltapper_workers.history import historian as module
from wheeltapper_workers.history.historian import Historian, StoreError
from wheeltapper_workers.history.query import QueryError, query
from wheeltapper_workers.history.replay import replay
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.configs import line_generation


class Killed(BaseException):
    """The process ends here."""


FIRST, SECOND_CONFIG = line_config(), line_config(assets=["p-1", "p-2"])


def changing(seconds: int = 120) -> Live:
    """A line whose config changes and changes back, with ticks that change nothing in between."""

    def changes(live: Live, number: int) -> None:
        if number in (5, 15):
            live.configure(SECOND_CONFIG if number == 5 else FIRST, START + number * 5 * SECOND)

    return run(faulty(seconds), changes)


def ticks(root, stage: Stage) -> list[tuple[int, str]]:
    dataset = Store(str(root)).dataset(LINE.tenant, "ticks")
    rows = dataset.to_table(filter=pc.field("stage") == stage.value).sort_by("block_sequence")
    return list(zip(rows["block_sequence"].to_pylist(), rows["generation"].to_pylist(), strict=True))


def configs(root) -> list[LineConfig]:
    rows = Store(str(root)).dataset(LINE.tenant, "configs").to_table()
    found = [LineConfig.model_validate_json(text) for text in rows["document"].to_pylist()]
    assert [line_generation(config) for config in found] == rows["generation"].to_pylist()
    return found


def feed(historian: Historian, live: Live) -> None:
    """Read on from the tables' positions, as after every start."""
    positions = historian.positions()
    for stage, messages in live.streams.messages.items():
        for message in messages:
            if message.sequence > positions[stage.stream]:
                message.add_to(historian)


@pytest.fixture(scope="module")
def line() -> Live:
    return changing()


@pytest.fixture(scope="module")
def whole(line, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("whole")
    keep(line, str(folder))
    return {stage: ticks(folder, stage) for stage in (Stage.TELEMETRY, Stage.FEATURES, Stage.SCORES)}


def test_only_changes_are_kept(whole, line):
    one, other = line_generation(FIRST), line_generation(SECOND_CONFIG)
    for found in whole.values():
        assert [generation for _, generation in found] == [one, other, one]
    assert len(line.streams.messages[Stage.SCORES]) > 10


def test_configs_are_kept_once_and_whole(line, tmp_path):
    keep(line, str(tmp_path))
    keep(line, str(tmp_path))
    assert configs(tmp_path) == [FIRST, SECOND_CONFIG]
    assert query(str(tmp_path), "SELECT generation, plant, class, time FROM configs").num_rows == 2


@pytest.mark.parametrize("calls_before", range(6))
@pytest.mark.parametrize("after_the_write", [False, True])
def test_kill_between_ticks_and_rows(line, whole, tmp_path, monkeypatch, calls_before, after_the_write):
    calls = []

    def killing(real):
        def write(*args, **kwargs):
            calls.append(args)
            dies = len(calls) == calls_before + 1
            if dies and not after_the_write:
                raise Killed
            real(*args, **kwargs)
            if dies:
                raise Killed

        return write

    for part in (announced, module):
        monkeypatch.setattr(part, "write_deltalake", killing(part.write_deltalake))
    first = Historian(str(tmp_path), store_config(line.configs))
    feed(first, line)
    with pytest.raises(Killed):
        first.commit()
    monkeypatch.undo()
    again = Historian(str(tmp_path), store_config(line.configs))
    feed(again, line)
    again.commit()
    assert {stage: ticks(tmp_path, stage) for stage in whole} == whole
    assert configs(tmp_path) == [FIRST, SECOND_CONFIG]


@pytest.mark.parametrize("every", [1, 3, 1000])
def test_commits_at_any_place(line, whole, tmp_path, every):
    keep(line, str(tmp_path), every)
    assert {stage: ticks(tmp_path, stage) for stage in whole} == whole


def test_restart_after_every_commit(line, whole, tmp_path):
    """A new process does not know what was told before; the table does."""
    for number in range(0, 40, 3):
        historian = Historian(str(tmp_path), store_config(line.configs))
        positions = historian.positions()
        for stage, messages in line.streams.messages.items():
            for message in messages[: number + 3]:
                if message.sequence > positions[stage.stream]:
                    message.add_to(historian)
        historian.commit()
    assert {stage: ticks(tmp_path, stage) for stage in whole} == whole


def test_two_instances_at_once(line, whole, tmp_path, monkeypatch):
    """The other one commits between this one's snapshot and its write."""
    first, second = (Historian(str(tmp_path), store_config(line.configs)) for _ in range(2))
    feed(first, line)
    feed(second, line)
    real = announced.write_deltalake

    def paused(*args, **kwargs):
        monkeypatch.setattr(announced, "write_deltalake", real)
        second.commit()
        real(*args, **kwargs)

    monkeypatch.setattr(announced, "write_deltalake", paused)
    first.commit()
    assert {stage: ticks(tmp_path, stage) for stage in whole} == whole
    assert configs(tmp_path) == [FIRST, SECOND_CONFIG]


def test_ticks_wait_while_the_disk_is_full(line, whole, tmp_path, monkeypatch):
    historian = Historian(str(tmp_path), store_config(line.configs))
    feed(historian, line)

    def full(*_args, **_kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(announced, "write_deltalake", full)
    with pytest.raises(StoreError, match=r"configs: .*no space left.*raw .*no space left"):
        historian.commit()
    monkeypatch.undo()
    historian.commit()
    assert historian.buffered_rows == 0
    assert {stage: ticks(tmp_path, stage) for stage in whole} == whole
    assert configs(tmp_path) == [FIRST, SECOND_CONFIG]


def test_an_idle_plant_writes_nothing_after_a_restart(line, tmp_path):
    keep(line, str(tmp_path))
    store = Store(str(tmp_path))
    before = store.open(LINE.tenant, "ticks").version()
    historian = Historian(str(tmp_path), store_config(line.configs))
    last = line.streams.messages[Stage.SCORES][-1].sequence
    subject = LINE.subject(Stage.SCORES, "tick")
    headers = {"Wheeltapper-Tick": "1", "Wheeltapper-Generation": line_generation(FIRST)}
    assert historian.add(Stage.SCORES, last + 100, 1, subject, b"", headers) is None
    assert historian.commit() == {}
    assert store.open(LINE.tenant, "ticks").version() == before


@pytest.mark.parametrize("tick", ["tomorrow", "", "9" * 30])
def test_tick_without_a_time_changes_no_config(tmp_path, tick):
    historian = Historian(str(tmp_path), store_config([]))
    headers = {"Wheeltapper-Tick": tick, "Wheeltapper-Generation": "0123456789abcdef"}
    assert historian.add(Stage.SCORES, 1, 1, LINE.subject(Stage.SCORES, "tick"), b"", headers) is None
    assert historian.commit() == {}
    assert historian.buffered_rows == 0


def test_tick_at_the_end_of_time_is_kept(tmp_path):
    historian = Historian(str(tmp_path), store_config([]))
    headers = {"Wheeltapper-Tick": "9" * 18, "Wheeltapper-Generation": "0123456789abcdef"}
    assert historian.add(Stage.SCORES, 1, 1, LINE.subject(Stage.SCORES, "tick"), b"", headers) is None
    historian.commit()
    assert ticks(tmp_path, Stage.SCORES) == [(1, "0123456789abcdef")]


def test_config_that_changes_in_the_middle(tmp_path):
    """Another asset, another model's limit, another window: each takes effect at each step where that step was told."""
    features = [*PIPELINE.features[:2], PIPELINE.features[2].model_copy(update={"window_ns": 20 * SECOND})]
    other = line_config(assets=["p-4", "p-2", "p-1"], pipeline=PIPELINE.model_copy(update={"features": features}))

    def changes(live: Live, number: int) -> None:
        for position, stage in enumerate((Stage.SCORES, Stage.TELEMETRY, Stage.FEATURES)):
            if number == 70 + 3 * position:
                live.configure(other, START + number * 5 * SECOND, [stage])

    live = run(faulty(until=530), changes)
    keep(live, str(tmp_path))
    found = replay(str(tmp_path), LINE.tenant, the_alert(str(tmp_path)))
    assert found.same, [hop.first for hop in found.hops]
    assert set(found.configs) == {line_generation(FIRST), line_generation(other)}


def test_blocks_before_the_first_tick_run_under_its_config(tmp_path):
    live = Live(line_config())
    for number, (now_ns, part) in enumerate(blocks_of(faulty(until=530))):
        live.take(Stage.TELEMETRY, now_ns, to_bytes(part.batch()))
        if number == 20:
            live.configure(line_config(), now_ns)
    keep(live, str(tmp_path))
    assert replay(str(tmp_path), LINE.tenant, the_alert(str(tmp_path))).same


def test_config_that_is_not_kept_is_named(live, tmp_path):
    historian = Historian(str(tmp_path), store_config([]))
    feed(historian, live)
    historian.commit()
    with pytest.raises(QueryError, match=f"The config {line_generation(line_config())} is not kept"):
        replay(str(tmp_path), LINE.tenant, the_alert(str(tmp_path)))
