"""A tenant reads another's data, outgrows its storage, or a stranger signs: a real server refuses each of them."""

from __future__ import annotations

import asyncio

import nats.errors
import pytest
from nats.js.errors import APIError, NotFoundError

from tests.support.accounts import AccountServer
from tests.support.nats import free_port
from tests.support.plans import tenant_plan
from tests.support.waiting import until
from wheeltapper_backbone.credentials import FILE, creds_text
from wheeltapper_backbone.nkeys import KeyPair, Role
from wheeltapper_backbone.tenant import BackboneError, ensure_streams
from wheeltapper_operator.backbone.accounts import connect, delete_account, ensure_account, push_account
from wheeltapper_operator.backbone.authority import Authority
from wheeltapper_operator.backbone.jwt import account_claims, decode, encode, user_claims
from wheeltapper_workers.runtime import jetstream

MIB = 2**20
MORE = {"name": "MORE", "subjects": ["more"]}
REFUSED = r"takes no connection: .*Authorization"


class Backbone:
    """A server, and who is connected to it."""

    def __init__(self, server: AccountServer) -> None:
        self.server, self.authority, self.clients = server, server.authority, []

    async def system(self):
        return await self._kept(connect(self.server.url, self.authority.system_user()))

    async def tenant(self, name: str, storage_bytes: int = 8 * MIB):
        """Connection of a tenant whose account the server has."""
        await ensure_account(await self.system(), self.authority, name, storage_bytes)
        return await self._kept(connect(self.server.url, self.authority.user(name, "worker")))

    async def _kept(self, connecting):
        client = await connecting
        self.clients.append(client)
        return client


@pytest.fixture
async def backbone(tmp_path):
    server = AccountServer(tmp_path / "one", Authority.create())
    backbone = Backbone(server)
    try:
        server.start()
        await server.ready()
        yield backbone
    finally:
        for client in backbone.clients:
            await client.close()
        server.stop()


async def stored(client) -> int:
    return (await client.jetstream().stream_info("TELEMETRY")).state.messages


async def test_tenant_sees_its_own_streams_alone(backbone):
    north, south = await backbone.tenant("north"), await backbone.tenant("south")
    heard = []

    async def hear(message):
        heard.append(message.data)

    await south.subscribe(">", cb=hear)
    await south.flush()
    await ensure_streams(north, tenant_plan("north").streams, tenant_plan("north").buckets)
    await north.jetstream().publish("telemetry.x", b"secret")
    with pytest.raises(NotFoundError):
        await south.jetstream().stream_info("TELEMETRY")
    assert await south.jetstream().streams_info() == []
    await ensure_streams(south, tenant_plan("south").streams, [])
    await south.jetstream().publish("telemetry.x", b"own")
    await until(lambda: b"own" in heard)
    assert await stored(south) == 1
    assert b"secret" not in heard


async def test_streams_take_no_more_than_the_storage(backbone):
    client = await backbone.tenant("north", 4 * MIB)
    with pytest.raises(
        BackboneError, match=r"the stream TELEMETRY.*; give the backbone more storage, or lower spec.limits.storage"
    ):
        await ensure_streams(client, tenant_plan(max_bytes=5 * MIB).streams, [])
    await ensure_streams(client, tenant_plan(max_bytes=3 * MIB).streams, [])


async def test_a_stream_without_a_bound_is_refused(backbone):
    client = await backbone.tenant("north")
    with pytest.raises(APIError, match="max bytes"):
        await client.jetstream().add_stream(name="ENDLESS", subjects=["endless"])


async def test_new_limits_close_no_client(backbone):
    client = await backbone.tenant("north", 4 * MIB)
    system = await backbone.system()
    assert not await ensure_account(system, backbone.authority, "north", 4 * MIB), "there was nothing to change"
    plan = tenant_plan(max_bytes=6 * MIB)
    with pytest.raises(BackboneError):
        await ensure_streams(client, plan.streams, [])
    assert await ensure_account(system, backbone.authority, "north", 8 * MIB)
    await ensure_streams(client, plan.streams, [])  # over the connection that was there before
    await client.jetstream().publish("telemetry.x", b"1")
    # And a third time: the servers keep the later, so it has to be later than the one before.
    assert await ensure_account(system, backbone.authority, "north", 9 * MIB)
    assert (await client.jetstream().account_info()).limits.max_storage == 9 * MIB


def two_streams(max_bytes):
    (first,) = tenant_plan(max_bytes=max_bytes).streams
    return [first, first.model_copy(update={"name": "SECOND", "subjects": ["second.>"]})]


async def test_less_storage_is_taken_from_the_streams_before_the_account(backbone):
    """With less than its streams have together, an account may change none of them, not even to have less."""
    client = await backbone.tenant("north", 16 * MIB)
    await ensure_streams(client, two_streams(8 * MIB), [])
    system = await backbone.system()
    assert not await ensure_account(system, backbone.authority, "north", 4 * MIB, grow_only=True)
    await ensure_streams(client, two_streams(2 * MIB), [])
    assert await ensure_account(system, backbone.authority, "north", 4 * MIB)
    assert (await client.jetstream().account_info()).limits.max_storage == 4 * MIB


async def test_reader_of_a_worker_works_within_the_limits(backbone, tmp_path):
    """Its consumers are in memory, of which an account has none."""
    client = await backbone.tenant("north")
    await ensure_streams(client, tenant_plan().streams, tenant_plan().buckets)
    (tmp_path / FILE).write_text(backbone.authority.user("north", "worker"))
    worker = await jetstream.connect(backbone.server.url, tmp_path, "worker")
    backbone.clients.append(worker)
    await worker.jetstream().publish("telemetry.x", b"1")
    reader = jetstream.StreamReader(worker, "TELEMETRY", ["telemetry.>"], 0)
    assert [message.data for message in await reader.read(10)] == [b"1"]
    await reader.close()


async def test_restarted_server_knows_accounts_and_data(backbone, tmp_path):
    client = await backbone.tenant("north")
    await ensure_streams(client, tenant_plan().streams, [])
    await client.jetstream().publish("telemetry.x", b"1")
    (tmp_path / FILE).write_text(backbone.authority.user("north", "worker"))
    worker = await jetstream.connect(backbone.server.url, tmp_path, "worker")
    backbone.clients.append(worker)
    backbone.server.stop()
    await until(lambda: not worker.is_connected)
    backbone.server.start()
    await backbone.server.ready()
    await until(lambda: worker.is_connected, 30, "the worker's own way back")
    assert await stored(worker) == 1


async def test_forged_account_counts_for_nothing(backbone):
    """A server keeps what the system account gives it, and looks at who has signed when the account is used."""
    real, system = await backbone.tenant("north", 4 * MIB), await backbone.system()
    stranger, account, user = (KeyPair(role, bytes([role]) * 32) for role in (Role.OPERATOR, Role.ACCOUNT, Role.USER))
    for public in (backbone.authority.account("north", 0).public_key, account.public):
        await push_account(system, encode(account_claims(2**40), public, "north", stranger, 2**33))
    assert (await real.jetstream().account_info()).limits.max_storage == 4 * MIB
    with pytest.raises(BackboneError, match=REFUSED):
        await connect(backbone.server.url, creds_text(encode(user_claims(), user.public, "x", account, 1), user))
    # It is seen and made right, and the right one is the later.
    assert await ensure_account(system, backbone.authority, "north", 5 * MIB)
    assert (await real.jetstream().account_info()).limits.max_storage == 5 * MIB


async def test_forged_user_is_refused(backbone):
    await backbone.tenant("north")
    user = KeyPair(Role.USER, b"u" * 32)
    for issuer in (KeyPair(Role.ACCOUNT, b"a" * 32), KeyPair(Role.OPERATOR, b"o" * 32)):
        forged = creds_text(encode(user_claims(), user.public, "north/worker", issuer, 1), user)
        with pytest.raises(BackboneError, match=REFUSED):
            await connect(backbone.server.url, forged)
    # A true claim is worth nothing without the key that it is about.
    true = backbone.authority.user("north", "worker")
    stolen = creds_text(next(line for line in true.splitlines() if line.startswith("ey")), user)
    with pytest.raises(BackboneError, match=REFUSED):
        await connect(backbone.server.url, stolen)


async def test_tenant_may_not_change_accounts(backbone):
    client = await backbone.tenant("north")
    jwt = backbone.authority.account("north", 2**40).jwt
    with pytest.raises(BackboneError, match="does not answer about the account north"):
        await push_account(client, jwt)
    with pytest.raises(nats.errors.Error):
        await client.request("$SYS.REQ.SERVER.PING.VARZ", b"", timeout=1)


async def test_other_authority_is_a_stranger(backbone):
    with pytest.raises(BackboneError, match="takes no connection"):
        await connect(backbone.server.url, Authority.create().system_user())


async def test_deleted_account_lets_nobody_in(backbone):
    client, other = await backbone.tenant("north"), await backbone.tenant("south")
    system = await backbone.system()
    await ensure_streams(client, tenant_plan().streams, [])
    await client.jetstream().publish("telemetry.x", b"1")
    await delete_account(system, backbone.authority, "north")
    await until(lambda: not client.is_connected, 20, "the end of its connection")
    with pytest.raises(BackboneError, match="takes no connection"):
        await connect(backbone.server.url, backbone.authority.user("north", "worker"))
    await delete_account(system, backbone.authority, "north")  # a second time is no error
    await delete_account(system, backbone.authority, "nobody")
    await other.flush()
    # A tenant that comes back finds what was there.
    back = await backbone.tenant("north", 9 * MIB)
    assert await stored(back) == 1


@pytest.fixture
async def three(tmp_path):
    """Three servers that form a cluster; running ones are ready."""
    authority = Authority.create()
    cluster = {name: free_port() for name in ("one", "two", "three")}
    servers = [AccountServer(tmp_path / name, authority, cluster) for name in cluster]
    try:
        for server in servers:
            server.start()
        await asyncio.gather(*(server.ready() for server in servers))
        yield servers
    finally:
        for server in servers:
            server.stop()


async def test_server_that_was_away_does_not_bring_back_old_limits(three):
    """Of two accounts issued at the same time servers that compare theirs would keep either."""
    authority = three[0].authority
    system = await connect(three[0].url, authority.system_user())
    await ensure_account(system, authority, "north", 4 * MIB)
    await until_all_have(three, authority, 4 * MIB)
    three[2].stop()
    await ensure_account(system, authority, "north", 8 * MIB)
    three[2].start()
    await three[2].ready()
    await until_all_have(three, authority, 8 * MIB)
    await system.close()


async def test_what_one_server_took_the_others_have(three):
    """Three replicas of each stream and bucket; they count three times against the account's storage."""
    authority, plan = three[0].authority, tenant_plan()
    system = await connect(three[0].url, authority.system_user())
    await ensure_account(system, authority, "north", 3 * 2 * MIB)
    await system.close()
    client = await connect(three[0].url, authority.user("north", "worker"))
    for _ in range(2):  # the second time nothing differs
        await insist(lambda: ensure_streams(client, plan.streams, plan.buckets, replicas=3))
    await client.jetstream().publish("telemetry.x", b"1")
    with pytest.raises(BackboneError, match="the stream MORE"):
        await ensure_streams(client, [plan.streams[0].model_copy(update=MORE)], [], replicas=3)
    await client.close()
    three[0].stop()
    client = await connect(three[1].url, authority.user("north", "worker"))
    await insist(lambda: client.jetstream().publish("telemetry.x", b"2"))
    assert await stored(client) == 2
    await client.close()


async def insist(call):
    """Until the servers have chosen who leads."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        try:
            return await call()
        except (BackboneError, nats.errors.Error, TimeoutError):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.2)


async def until_all_have(servers, authority, storage_bytes):
    for server in servers:
        deadline = asyncio.get_running_loop().time() + 60
        while await limit_at(server, authority) != storage_bytes:
            assert asyncio.get_running_loop().time() < deadline, server.url
            await asyncio.sleep(0.2)


async def limit_at(server, authority) -> int:
    """What a server itself has on its disk."""
    files = list(server.accounts.rglob(f"{authority.account('north', 0).public_key}.jwt"))
    return decode(files[0].read_text())["nats"]["limits"]["disk_storage"] if files else 0
