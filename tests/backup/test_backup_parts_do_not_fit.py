"""The parts of a backup are copied one after the other, while all of them grow: in an order in which they fit."""

from __future__ import annotations

import json

import pytest

from tests.support.nats import Server
from wheeltapper_api.wire import Stage
from wheeltapper_cli import backup
from wheeltapper_cli.backup import Backup, uncovered
from wheeltapper_edge.command import SubstrateError
from wheeltapper_edge.snapshots import restore_stream, save_stream

LAST = {"TELEMETRY": 100, "FEATURES": 50, "SCORES": 50, "EVENTS": 3, "GAPS": 0, "KV_config": 2, "KV_status": 9}
TABLES = {"TELEMETRY": 90, "FEATURES": 50, "SCORES": 40, "EVENTS": 0}
PLACE = "northwater-riverside-analyse/checkpoints"


def made(**changes) -> Backup:
    told = {
        "tenants": ["northwater"],
        "made": "2026-03-01T00:00:00Z",
        "streams": {"northwater": LAST},
        "tables": {"northwater": TABLES},
        "checkpoints": {f"{PLACE}/featurize-riverside-pump-s0.checkpoint": 100},
    }
    return Backup.model_validate(told | changes)


def test_whole_backup_fits():
    assert uncovered(made()) == []


def test_table_that_is_ahead_of_its_stream_would_take_new_messages_for_old_ones():
    (said,) = uncovered(made(tables={"northwater": TABLES | {"SCORES": 51}}))
    assert said == "the table of SCORES of northwater has block 51, and the stream ends with 50"


@pytest.mark.parametrize(
    ("role", "position", "fits"),
    [
        ("featurize", 101, False),
        ("score", 51, False),
        ("score", 50, True),
        ("alert", 51, False),
        ("collect", 9**9, True),
    ],
)
def test_checkpoint_that_is_ahead_of_its_input_would_pass_over_it(role, position, fits):
    name = f"{PLACE}/{role}-riverside-pump-s0.checkpoint"
    assert (uncovered(made(checkpoints={name: position})) == []) == fits


async def test_what_refers_to_something_is_copied_before_it(tmp_path, monkeypatch):
    """Checkpoints and tables, then streams from the last to the first, then what the configs were."""
    order = []

    async def save(_client, stream, path):
        order.append(stream)
        path.write_bytes(b"")
        return {"config": {}, "state": {"last_seq": LAST[stream]}}

    class Client:
        async def close(self) -> None:
            pass

    async def connect(*_):
        return Client()

    monkeypatch.setattr(backup, "access_of_running", lambda _: {"northwater": ("nats://nowhere", tmp_path)})
    monkeypatch.setattr(backup, "_copy_checkpoints", lambda *_: order.append("checkpoints") or {})
    monkeypatch.setattr(backup, "copy_tenant", lambda *_: order.append("tables"))
    monkeypatch.setattr(backup, "_positions", lambda *_: TABLES)
    monkeypatch.setattr(backup, "save_stream", save)
    monkeypatch.setattr(backup.jetstream, "connect", connect)
    await backup._backup(tmp_path, tmp_path / "to")
    streams = ["EVENTS", "SCORES", "FEATURES", "TELEMETRY", "GAPS"]
    assert {stage.stream for stage in Stage} == set(streams), "every stream is copied"
    assert order == ["checkpoints", "tables", *streams, "KV_config", "KV_status"]


async def test_stream_comes_back_with_every_sequence_time_and_gap(tmp_path):
    """Messages that were deleted leave their gaps; what is published next gets the next number."""
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    one, other = (Server(folder) for folder in folders)
    try:
        for server in (one, other):
            server.start()
            await server.ready()
        await one.streams()
        source, target = await one.connect(), await other.connect()
        there, here = source.jetstream(), target.jetstream()
        for number in range(3000):
            await there.publish("telemetry.a.b.c.d", bytes(1000) + str(number).encode(), headers={"n": str(number)})
        for number in (1, 2, 1500, 2999):
            await there.delete_msg("TELEMETRY", number)
        told = await save_stream(source, "TELEMETRY", tmp_path / "saved")
        state = await restore_stream(target, json.loads(json.dumps(told)), tmp_path / "saved")
        assert (state["first_seq"], state["last_seq"], state["messages"]) == (3, 3000, 2996)
        for number in (3, 1499, 1501, 3000):
            assert await here.get_msg("TELEMETRY", number) == await there.get_msg("TELEMETRY", number)
        assert (await here.publish("telemetry.a.b.c.d", b"next")).seq == 3001
        with pytest.raises(SubstrateError, match="refuses to take the stream TELEMETRY back"):
            await restore_stream(target, told, tmp_path / "saved")
        with pytest.raises(SubstrateError, match="refuses to save the stream NONE: stream not found"):
            await save_stream(source, "NONE", tmp_path / "none")
        data = bytearray((tmp_path / "saved").read_bytes())
        data[len(data) // 2] ^= 1
        (tmp_path / "spoilt").write_bytes(data)
        await here.delete_stream("TELEMETRY")
        with pytest.raises(SubstrateError, match="restore failed"):
            await restore_stream(target, told, tmp_path / "spoilt")
        await source.close()
        await target.close()
    finally:
        one.kill()
        other.kill()
