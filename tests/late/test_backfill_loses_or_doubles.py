"""A file of history comes into an installation that has data: each sample once, and history is right afterwards."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.late.conftest import assert_as_in_order
from tests.replay.conftest import faulty, keep, line_config, run, store_config
from tests.support.lines import ASSETS, LINE, SECOND, SIGNALS, START
from tests.support.waiting import until
from wheeltapper_api.config import CollectorConfig, Role, SeriesConfig
from wheeltapper_api.wire import HEADER_GENERATION, HEADER_TICK, Stage
from wheeltapper_workers.features.featurizer import FeaturizeStep
from wheeltapper_workers.history.known_samples import KnownSamples
from wheeltapper_workers.history.late import job
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.recorder import Recorder
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime import jetstream
from wheeltapper_workers.runtime.blocks import to_bytes
from wheeltapper_workers.runtime.checkpoint import CheckpointStore
from wheeltapper_workers.runtime.configs import line_generation
from wheeltapper_workers.runtime.line import LineRole
from wheeltapper_workers.scoring.scorer import ScoreStep
from wheeltapper_workers.sources import recorded, recorded_file
from wheeltapper_workers.sources.recorded import backfill
from wheeltapper_workers.sources.recorded_file import RecordingError

CONFIG = line_config()
STEPS = {Role.FEATURIZE: FeaturizeStep, Role.SCORE: ScoreStep}
SECONDS = 500


def collector():
    series = [
        SeriesConfig(
            line=LINE,
            asset=asset,
            signal=signal,
            kind="gauge",
            address=f"{asset}/{signal}",
            interval_ns=SECOND,
            stale_after_ns=30 * SECOND,
        )
        for asset in ASSETS
        for signal in SIGNALS
    ]
    return CollectorConfig(
        tenant=LINE.tenant,
        plant=LINE.plant,
        name="main",
        protocol="opcua",
        endpoint="opc.tcp://127.0.0.1:1",
        max_ahead_ns=60 * SECOND,
        max_behind_ns=60 * SECOND,
        series=series,
    )


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "tables"))


@asynccontextmanager
async def installation(server, store, monkeypatch, roles=()):
    """A store worker, and steps, on a backbone; gives a client of it."""
    monkeypatch.setattr(job, "REST_SECONDS", 0.3)
    client = await jetstream.connect(server.url, server.credentials, "test")
    config = store_config([CONFIG]).model_copy(update={"commit_every_ns": 10**8})
    recorder = Recorder(client, store.root, config, server.credentials.parent)
    steps = [
        LineRole(client, role, CONFIG, STEPS[role](CONFIG), CheckpointStore(server.credentials.parent, role.value))
        for role in roles
    ]
    for step in steps:
        await step.start({})
    tasks = [asyncio.create_task(one.run()) for one in (recorder, *steps)]
    try:
        yield client, recorder
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()


async def live(client, samples, blocks=40):
    """Publish samples as a collector does, in blocks."""
    told = {HEADER_TICK: "1", HEADER_GENERATION: line_generation(CONFIG)}
    for stage in (Stage.TELEMETRY, Stage.FEATURES):
        await client.jetstream().publish(LINE.subject(stage, "tick"), b"", headers=told)
    for part in np.array_split(np.arange(len(samples)), blocks):
        await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "main"), to_bytes(samples.take(part).batch()))


def written(samples, path):
    """Samples as a file: CSV with ISO times in any order of columns, or Parquet."""
    columns = {
        "value": samples.value,
        "time": samples.time,
        "signal": [SIGNALS[one] for one in samples.signal],
        "asset": [ASSETS[one] for one in samples.asset],
    }
    if path.suffix == ".parquet":
        times = pa.array(samples.time, pa.timestamp("ns", "UTC"))
        pq.write_table(pa.table(columns | {"time": times}), path)
        return path
    times = [datetime.fromtimestamp(one / SECOND, UTC).isoformat() for one in samples.time.tolist()]
    rows = zip(samples.value.tolist(), times, columns["signal"], columns["asset"], strict=True)
    path.write_text("value,time,signal,asset\n" + "".join(f"{v!r},{t},{s},{a}\n" for v, t, s, a in rows))
    return path


def measured(samples):
    """Without the nanoseconds of receipt, which no file has."""
    samples.received = samples.time
    samples.value = samples.value.astype(float)
    return samples


def stored(store):
    if store.open(LINE.tenant, "raw") is None:
        return 0, 0
    counted = "SELECT count(*) AS n, count(DISTINCT (asset, signal, source_time)) AS u FROM raw"
    (row,) = query(store.root, counted, LINE.tenant).to_pylist()
    return row["n"], row["u"]


async def fill(client, store, path):
    return await backfill(client, [collector()], path, KnownSamples(store, LINE.tenant))


async def all_stored(store, count):
    await until(lambda: stored(store)[0] >= count, seconds=60, what=f"{count} samples stored, not {stored(store)}")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
async def test_same_file_twice_adds_nothing(server, store, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(recorded_file, "PIECE_ROWS", 700)
    samples = measured(faulty(SECONDS))
    path = written(samples, tmp_path / f"history{suffix}")
    async with installation(server, store, monkeypatch) as (client, _):
        first = await fill(client, store, path)
        await all_stored(store, len(samples))
        second = await fill(client, store, path)
        assert (first.rows, first.repeated, first.unknown) == (len(samples), 0, 0)
        assert (second.rows, second.repeated) == (len(samples), len(samples))
        assert second.last_sequence == first.last_sequence
    assert stored(store) == (len(samples), len(samples))


async def test_file_that_was_interrupted_is_given_again(server, store, tmp_path, monkeypatch):
    """The command is killed at some piece; another one brings the rest."""
    monkeypatch.setattr(recorded_file, "PIECE_ROWS", 500)
    samples = measured(faulty(SECONDS))
    path, real, blocks = written(samples, tmp_path / "history.csv"), recorded.to_bytes, []

    def dying(block):
        blocks.append(block)
        if len(blocks) == 4:
            raise KeyboardInterrupt
        return real(block)

    async with installation(server, store, monkeypatch) as (client, _):
        monkeypatch.setattr(recorded, "to_bytes", dying)
        with pytest.raises(KeyboardInterrupt):
            await fill(client, store, path)
        monkeypatch.setattr(recorded, "to_bytes", real)
        again = await fill(client, store, path)
        assert again.repeated == 1500
        await all_stored(store, len(samples))
    assert stored(store) == (len(samples), len(samples))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
async def test_history_that_comes_behind_live_data_corrects_it(server, store, tmp_path, monkeypatch, suffix):
    """A file has everything; what the line has of it already is left out, and the rest comes late."""
    samples = measured(faulty(SECONDS))
    at = (samples.time - START) // SECOND
    lost = (
        (np.random.default_rng(3).random(len(samples)) < 0.2) & (at > 350) & (at < 470)
    )  # once the baseline is learned
    in_order = Store(str(tmp_path / "in-order"))
    keep(run(measured(faulty(SECONDS))), in_order.root)
    path = written(samples, tmp_path / f"history{suffix}")
    async with installation(server, store, monkeypatch, tuple(STEPS)) as (client, recorder):
        await live(client, samples.take(~lost))
        await all_stored(store, int((~lost).sum()))
        filled = await fill(client, store, path)
        assert filled.repeated == int((~lost).sum())
        await until(lambda: recorder.summary()["corrections"]["late"] >= lost.sum(), 60, "late samples found")
        told = recorder.summary()
        assert told["corrections"]["late"] == lost.sum()
        assert told["problem"] == ""
        assert told["corrections"]["windows"] > 30
    assert stored(store) == (len(samples), len(samples))
    assert_as_in_order(store, in_order)


async def test_machine_that_never_spoke_is_filled_beside_others(server, store, tmp_path, monkeypatch):
    """Its history is in order for it, whatever the others have sent by then."""
    samples = measured(faulty(SECONDS))
    silent = samples.asset == 2
    path = written(samples.take(silent), tmp_path / "history.csv")
    async with installation(server, store, monkeypatch, (Role.FEATURIZE,)) as (client, recorder):
        await live(client, samples.take(~silent))
        await all_stored(store, int((~silent).sum()))
        filled = await fill(client, store, path)
        assert (filled.rows, filled.repeated) == (int(silent.sum()), 0)
        await all_stored(store, len(samples))
        rows = "SELECT count(*) AS n FROM features WHERE asset = 'p-3'"
        await until(lambda: query(store.root, rows, LINE.tenant).to_pylist()[0]["n"] >= SECONDS // 10 - 1, seconds=60)
        assert recorder.summary()["corrections"]["late"] == 0


async def test_rows_of_unknown_machines_are_counted_and_left_out(server, store, tmp_path, monkeypatch):
    path = tmp_path / "history.csv"
    rows = [
        f"{START // SECOND + one},{asset},{signal},1"
        for one, (asset, signal) in enumerate([("p-1", "speed"), ("p-9", "speed"), ("p-1", "pressure")])
    ]
    path.write_text("\n".join(["time,asset,signal,value", *rows]))
    async with installation(server, store, monkeypatch) as (client, _):
        filled = await fill(client, store, path)
        assert (filled.rows, filled.unknown) == (3, 2)
        await all_stored(store, 1)


async def test_contract_judges_history_as_it_judges_what_is_live(server, store, tmp_path, monkeypatch):
    path = tmp_path / "history.csv"
    path.write_text(
        f"time,asset,signal,value,text\n{START // SECOND},p-1,speed,,fast\n{START // SECOND + 1},p-1,speed,,\n"
    )
    async with installation(server, store, monkeypatch) as (client, _):
        await fill(client, store, path)
        await all_stored(store, 2)
    rows = query(store.root, "SELECT text, quality FROM raw ORDER BY source_time", LINE.tenant).to_pylist()
    assert [row["text"] for row in rows] == ["fast", None]
    assert all(row["quality"] for row in rows)


async def test_nothing_stores_what_was_sent_before(server, store, tmp_path, monkeypatch):
    """Without the store worker nobody can tell what of the file is new; that is said instead of doubling it."""
    monkeypatch.setattr(recorded, "_STORED_SECONDS", 0.5)
    client = await jetstream.connect(server.url, server.credentials, "test")
    try:
        await live(client, measured(faulty(20)), blocks=1)
        with pytest.raises(RecordingError, match=r"not stored yet.*see that the historian runs"):
            await fill(client, store, written(measured(faulty(20)), tmp_path / "history.csv"))
    finally:
        await client.close()


async def test_two_files_at_once(server, store, tmp_path, monkeypatch):
    """The second one to write is refused in words."""
    monkeypatch.setattr(recorded_file, "PIECE_ROWS", 300)
    path = written(measured(faulty(SECONDS)), tmp_path / "history.csv")
    async with installation(server, store, monkeypatch) as (client, _):
        found = await asyncio.gather(*(fill(client, store, path) for _ in range(2)), return_exceptions=True)
        (refused,) = [one for one in found if isinstance(one, RecordingError)]
        assert "Another backfill is under way" in str(refused)
