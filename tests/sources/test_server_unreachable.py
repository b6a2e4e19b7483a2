"""A server that is not there, refuses, or goes away silently: told with the remedy, tried again without end."""

from __future__ import annotations

import asyncio
import socket

import pytest
from asyncua import Client, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

from wheeltapper_workers.sources.opcua_session import Security

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_source_waits_for_a_server_that_starts_later(own_plant, read, collector, series):
    server = own_plant
    server.values = {"Flow": 1.0}
    reader = read(collector(series(), endpoint=server.url))
    await reader.until(lambda: "refused" in reader.source.connection().message)
    state = reader.source.connection()
    assert state.message == (
        f"Cannot reach {server.url}: connection refused. Start the server, or correct the endpoint of "
        "connection main of plant riverside."
    )
    assert not state.connected
    await server.start()
    await reader.until(lambda: reader.values() == [1.0])
    assert reader.source.connection().connected
    assert reader.source.connection().message == ""


async def test_unknown_host_and_security_that_is_not_offered_are_told_apart(plant, read, collector, series):
    server = await plant(Flow=1.0)
    nowhere = read(collector(series(), endpoint="opc.tcp://nowhere.invalid:4840"))
    unsafe = read(collector(series(), endpoint=server.url, security_policy="Basic256Sha256", security_mode="Sign"))
    await nowhere.until(lambda: "Cannot reach" in nowhere.source.connection().message)
    await unsafe.until(lambda: "needs certificate and privateKey" in unsafe.source.connection().message)


class OnlyOperator(UserManager):
    def get_user(self, *_, username=None, password=None, **_others):
        return User(role=UserRole.Admin) if (username, password) == ("operator", "s3cret") else None


async def test_wrong_password_is_told_and_never_shown(plant, read, collector, series, tmp_path, caplog, monkeypatch):
    server = await plant(Flow=1.0)
    monkeypatch.setattr(server.server.iserver, "user_manager", OnlyOperator())
    (tmp_path / "username").write_text("operator\n")
    (tmp_path / "password").write_text("wr0ng\n")
    reader = read(collector(series(), endpoint=server.url), secret=tmp_path)
    await reader.until(lambda: "refuses the credentials" in reader.source.connection().message)
    assert "BadUserAccessDenied" in reader.source.connection().message
    (tmp_path / "password").write_text("s3cret\n")
    await reader.until(lambda: reader.values() == [1.0])
    assert "wr0ng" not in caplog.text + reader.source.connection().message + repr(Security(secret=tmp_path))
    assert "s3cret" not in caplog.text


async def test_encrypted_session_delivers(own_plant, read, collector, series, tmp_path):
    maker = Client(own_plant.url)
    maker.application_uri = "urn:wheeltapper:test"
    for name in ("", "server-"):
        await maker.setup_self_signed_certificate(tmp_path / f"{name}privateKey", tmp_path / f"{name}certificate")

    async def secured(server):
        await server.load_certificate(tmp_path / "server-certificate", "der")
        await server.load_private_key(tmp_path / "server-privateKey", None, "pem")
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])

    own_plant.values = {"Flow": 1.0}
    await own_plant.start(secured)
    options = {"security_policy": "Basic256Sha256", "security_mode": "SignAndEncrypt"}
    weak = read(collector(series(), endpoint=own_plant.url))
    reader = read(collector(series(), endpoint=own_plant.url, **options), secret=tmp_path)
    await reader.until(lambda: reader.values() == [1.0])
    await weak.until(lambda: "Cannot" not in weak.source.connection().message)
    await weak.until(lambda: weak.source.connection().message)


class Wire:
    """Passes bytes between a collector and a server until it is cut; then it is open and silent."""

    def __init__(self, port):
        self.target, self.silent, self.tasks = port, False, []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return self

    @property
    def url(self):
        return f"opc.tcp://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _join(self, reader, writer):
        back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        silent = [False]
        self.cuts = [*getattr(self, "cuts", []), silent]
        self.tasks += [
            asyncio.create_task(self._copy(reader, forth, silent)),
            asyncio.create_task(self._copy(back, writer, silent)),
        ]

    async def _copy(self, reader, writer, silent):
        try:
            while data := await reader.read(65536):
                if not silent[0]:
                    writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def cut(self):
        for silent in self.cuts:
            silent[0] = True

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_connection_that_falls_silent_is_noticed_and_made_anew(plant, read, collector, series):
    server = await plant(Flow=1.0)
    async with Wire(server.port) as wire:
        reader = read(collector(series(), endpoint=wire.url))
        await reader.until(lambda: reader.values() == [1.0])
        wire.cut()
        await server.write("Flow", 2.0)
        await reader.until(lambda: not reader.source.connection().connected)
        assert "it does not answer" in reader.source.connection().message
        await reader.until(lambda: reader.source.connection().connects == 2)
        await reader.until(lambda: reader.values()[-1] == 2.0)
        await reader.source.close()


async def test_port_of_another_program_is_no_crash(read, collector, series):
    async def chatter(reader, writer):
        writer.write(b"220 mail ready\r\n" * 9)
        await reader.read(100)
        writer.close()

    other = await asyncio.start_server(chatter, "127.0.0.1", 0, family=socket.AF_INET)
    async with other:
        port = other.sockets[0].getsockname()[1]
        reader = read(collector(series(), endpoint=f"opc.tcp://127.0.0.1:{port}"))
        await reader.until(lambda: "Cannot reach" in reader.source.connection().message)
        await reader.source.close()


async def test_source_that_was_never_started_can_be_closed(read, collector, series):
    reader = read(collector(series()))
    with pytest.raises(TimeoutError):
        await reader.until(lambda: bool(reader.rows), 0.05)
