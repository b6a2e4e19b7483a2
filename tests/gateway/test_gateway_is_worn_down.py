"""No one person, by mistake or on purpose, takes the gateway from the others or makes it fall over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time

import pytest

from tests.support.waiting import wait
from wheeltapper_cli.gateway import running
from wheeltapper_cli.gateway.frames import PATH
from wheeltapper_cli.gateway.limits import Rate

ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000) b"
LARGE = "SELECT repeat('x', 1000000) AS x FROM range(60)"


@pytest.fixture(scope="module")
def strict(make):
    """A gateway with limits that a test reaches quickly."""
    return make(SECONDS="20", IDLE_SECONDS="4", WRITTEN_MIB="1", COMMANDS="1", WAITING="3")


def begin(gateway, token, *command, **more):
    """Ask, and leave the answer where it is."""
    connection = gateway.connect()
    body = json.dumps({"command": command, **more}).encode()
    connection.request("POST", PATH, body, {"Authorization": f"Bearer {token}"})
    return connection


def half_a_request(gateway, token):
    raw = gateway.tls()
    raw.sendall(
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 50\r\n\r\n".encode()
    )
    return raw


def test_command_that_does_not_end_is_ended(strict, reader):
    found = strict.ask(reader, "query", options={"sql": ENDLESS})
    assert found.code == 1
    assert "it took longer than 20 s" in found.error
    wait(lambda: not strict.children(), 20, "the end of its process")


def test_command_of_somebody_who_left_is_ended(strict, reader):
    connection = begin(strict, reader, "query", options={"sql": ENDLESS})
    wait(strict.children, 20, "its process")
    connection.close()
    wait(lambda: not strict.children(), 10, "the end of its process")


def test_others_wait_for_their_turn_and_are_told_when_it_does_not_come(strict, reader):
    connection = begin(strict, reader, "query", options={"sql": ENDLESS})
    wait(strict.children, 20, "its process")
    found = strict.ask(reader, "get", "alerts")
    assert found.status == 503
    assert "busy" in found.message
    connection.close()
    wait(lambda: strict.ask(reader, "get", "alerts").code == 0, 60, "the others' turn")


def test_only_so_many_are_let_in(strict, reader):
    inside = [half_a_request(strict, reader) for _ in range(3)]
    try:
        wait(lambda: strict.ask(reader, "get", "alerts").status == 503, 3, "a full house")
    finally:
        for raw in inside:
            raw.close()
    wait(lambda: strict.ask(reader, "get", "alerts").status == 200, 60, "room")


def test_request_that_does_not_come_is_not_waited_for(strict, reader):
    with half_a_request(strict, reader) as raw:
        assert b" 408 " in raw.recv(4096).splitlines()[0]


def test_line_that_says_nothing_is_closed(strict):
    for said in (b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
        with strict.tls(seconds=60) as raw:
            raw.sendall(said)
            assert raw.recv(4096) == b""


def test_request_that_is_too_large_is_not_kept(gateway, reader):
    before = gateway.memory()
    with gateway.tls() as raw:
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {reader}\r\nContent-Length: {10**12}\r\n\r\n"
        raw.sendall(head.encode())
        with contextlib.suppress(OSError):  # closed, when nobody listens any more
            for _ in range(200):
                raw.sendall(b"x" * 2**20)
    assert gateway.memory() - before < 32 * 2**20
    found = gateway.ask(reader, "query", options={"sql": "x" * 2**20})
    assert found.status == 413


def test_answer_is_never_held_in_memory(gateway, reader):
    gateway.ask(reader, "get", "alerts")
    before = gateway.memory()
    found = gateway.ask(reader, "query", options={"sql": LARGE, "output": "json"})
    assert found.code == 0, found.error[-2000:]
    assert len(found.out) > 60 * 10**6
    assert gateway.memory() - before < 16 * 2**20


def test_answer_that_nobody_takes_is_given_up(strict, reader):
    connection = begin(strict, reader, "query", options={"sql": LARGE, "output": "json"})
    wait(strict.children, 20, "its process")
    wait(lambda: not strict.children(), 60, "its end")
    listed = strict.ask(reader, "audit", "list", options={"last": "2", "output": "json"})
    connection.close()
    assert listed.code == 0, listed
    assert json.loads(listed.out)[0]["outcome"] == "nothing was taken for 4 s"


def test_memory_is_the_commands_own(make, reader):
    gateway = make(MEMORY_MIB="500")
    found = gateway.ask(reader, "query", options={"sql": LARGE, "output": "json"})
    assert found.code not in {0, None}
    assert "memory" in found.error
    assert gateway.ask(reader, "get", "alerts").code == 0


def test_file_that_is_too_large_is_not_written(make, reader):
    gateway = make(WRITTEN_MIB="0")
    found = gateway.ask(reader, "export", options={"target": "all"})
    assert (found.code, found.files) == (1, {})
    assert "File too large" in found.error


async def test_files_count_together(tmp_path):
    (tmp_path / "folder").mkdir()
    watching = asyncio.create_task(running._watch(tmp_path, 1000))
    (tmp_path / "folder" / "a").write_bytes(bytes(600))
    await asyncio.sleep(0)
    (tmp_path / "folder" / "b").write_bytes(bytes(600))
    with pytest.raises(running._TooMuchError, match="ask for less"):
        await asyncio.wait_for(watching, 20)


def test_one_person_has_a_rate(make, reader, token):
    gateway = make(A_MINUTE="5")
    found = [gateway.ask(reader, "nothing").status for _ in range(6)]
    assert found == [400] * 5 + [429]
    assert gateway.ask(token("alerts-only"), "get", "alerts").status == 200


def test_rate_refills_and_forgets():
    now = 0.0
    rate = Rate(60, lambda: now)
    assert sum(rate.takes("a") for _ in range(100)) == 60
    now = 2.0
    assert [rate.takes("a") for _ in range(3)] == [True, True, False]
    for number in range(5000):
        rate.takes(str(number))
    assert len(rate._left) <= 1001


def test_gateway_that_is_told_to_stop_ends_what_it_runs(make, reader):
    gateway = make()
    connection = begin(gateway, reader, "query", options={"sql": ENDLESS})
    (child,) = wait(gateway.children, 20, "its process")
    began = time.monotonic()
    gateway.stop()
    assert time.monotonic() - began < 25
    connection.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
