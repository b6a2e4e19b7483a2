"""Every access is written down, refusals among them, and nobody can change afterwards what was."""

from __future__ import annotations

import json

import pytest
from nats.js.errors import APIError

from tests.gateway.conftest import NAMESPACE
from tests.support.nats import Server
from wheeltapper_cli.audit_log import AUDIT, AuditLog, Check, digest

WHO = f"system:serviceaccount:{NAMESPACE}:reader"


def newest(gateway, reader, number):
    """Newest records before those of looking at them."""
    found = gateway.ask(reader, "audit", "list", options={"last": str(number + 1), "output": "json"})
    assert found.code == 0, found.error
    return json.loads(found.out)[:-1]


def test_who_asked_what_and_how_it_ended(gateway, reader):
    gateway.ask(reader, "query", options={"sql": "SELECT 1 AS one", "output": "json"})
    asked, ended = newest(gateway, reader, 2)
    assert asked["asked"] == {"command": ["query"], "options": {"sql": "SELECT 1 AS one", "output": "json"}}
    assert (asked["user"], asked["event"]) == (WHO, "asked")
    assert asked["uid"]
    assert f"system:serviceaccounts:{NAMESPACE}" in asked["groups"]
    assert (ended["event"], ended["exitCode"], ended["request"]) == ("ended", 0, asked["request"])
    assert ended["sentBytes"] > 10


def test_refusals_are_written_down_too(gateway, reader, token):
    gateway.ask(token("nobody"), "query", options={"sql": "SELECT 2"})
    gateway.ask("nonsense", "query")
    forbidden, unknown = newest(gateway, reader, 2)
    assert forbidden["event"] == unknown["event"] == "refused"
    assert forbidden["user"] == f"system:serviceaccount:{NAMESPACE}:nobody"
    assert forbidden["asked"]["options"] == {"sql": "SELECT 2"}
    assert forbidden["outcome"].startswith("403 ")
    assert "user" not in unknown
    assert unknown["outcome"].startswith("401 ")


def test_what_is_long_is_bound_by_its_digest(gateway, reader):
    sql, text = f"SELECT '{'x' * 20_000}'", "severity: []"
    gateway.ask(reader, "query", options={"sql": sql})
    gateway.ask(reader, "replay", options={"twin": "p-2"}, files={"policy": {"name": "p.yaml", "text": text}})
    records = newest(gateway, reader, 4)
    written = records[0]["asked"]["options"]["sql"]
    assert len(written) < 5000
    assert digest(sql.encode()) in written
    assert records[2]["asked"]["files"] == {"policy": f"p.yaml {digest(text.encode())}"}


def test_nobody_escapes_the_log_by_asking_for_too_much(gateway, reader):
    assert gateway.ask(reader, "query", options={f"option-{n}": "x" * 9000 for n in range(100)}).status == 400
    (refused,) = newest(gateway, reader, 1)
    assert refused["asked"]["options"]["digest"].startswith("sha256:")


def test_whoever_knocks_cannot_fill_the_log(make, reader):
    gateway = make(A_MINUTE="3")
    for _ in range(10):
        gateway.ask("nonsense", "query")
    records = newest(gateway, reader, 4)
    assert [record["event"] for record in records[-3:]] == ["refused"] * 3
    gateway.ask(reader, "nothing")
    assert newest(gateway, reader, 1)[0]["unrecorded"] == 7


def test_log_is_checked_by_a_command(gateway, reader):
    gateway.ask(reader, "get", "alerts")
    found = gateway.ask(reader, "audit", "verify", options={"output": "json"})
    told = json.loads(found.out)
    assert (found.code, told["sound"], told["first"]) == (0, True, 1)
    noted = {"contains": told["head"]}
    assert gateway.ask(reader, "audit", "verify", options=noted).code == 0
    assert gateway.ask(reader, "audit", "verify", options={"contains": "sha256:0"}).code == 1
    text = gateway.ask(reader, "audit", "list", options={"last": "3"}, columns=200).out.decode()
    assert "audit verify contains=sha256:0" in text
    assert "exit code 1" in text
    assert "not ended yet" in text, "the listing itself"


async def test_messages_cannot_be_removed(gateway, nats):
    client = await nats.connect()
    try:
        jetstream = client.jetstream()
        with pytest.raises(APIError):
            await jetstream.delete_msg(AUDIT.name, 1)
        with pytest.raises(APIError):
            await jetstream.purge_stream(AUDIT.name)
    finally:
        await client.close()


def test_without_its_log_nothing_is_answered(make, nats, reader):
    gateway = make()
    nats.kill()
    try:
        found = gateway.ask(reader, "query", options={"sql": "SELECT 1"})
        assert (found.status, found.out) == (503, b"")
        assert "The audit log cannot be written" in found.message
    finally:
        nats.start()
    assert gateway.ask(reader, "get", "alerts").status in {200, 503}


async def chain(folder, number=5):
    """Records as they are stored."""
    server = Server(folder)
    server.start()
    try:
        await server.ready()
        client = await server.connect()
        try:
            logs = [AuditLog(client), AuditLog(client)]
            for log in logs:
                await log.open()
            for index in range(number):  # two writers in turns, as when one gateway takes over from another
                await logs[index % 2].write(request=str(index), event="asked", user="somebody")
            jetstream = client.jetstream()
            return [(n, (await jetstream.get_msg(AUDIT.name, n)).data) for n in range(1, number + 1)]
        finally:
            await client.close()
    finally:
        server.kill()


def checked(records, contains=None):
    check = Check(contains)
    for number, data in records:
        check.add(number, data)
    return check.result()


async def test_tampering_is_seen(tmp_path):
    records = await chain(tmp_path)
    assert checked(records).sound
    assert checked(records[2:]).sound, "the oldest have gone at the bound of the stream"
    changed = [(n, data.replace(b"somebody", b"nobody") if n == 3 else data) for n, data in records]
    assert checked(changed).broken == ["Record 4 does not follow from the one before it: one of the two was changed"]
    assert "Between the records 2 and 4" in checked(records[:2] + records[3:]).broken[0]
    renumbered = [(n, data) for n, (_, data) in enumerate(records[:2] + records[3:], 1)]
    assert "does not follow" in checked(renumbered).broken[0]
    noted = digest(records[-1][1])
    assert checked(records, noted).sound
    assert checked(records[:-1], noted).broken == [f"There is no record {noted}"]
    assert "is no record" in checked([(1, b"x")]).broken[0]
    assert "made anew" in checked([(1, records[1][1])]).broken[0]
    assert checked([]).sound
