"""A collector's config, and a real OPC UA server that can be started, stopped and started again on its port."""

from __future__ import annotations

import asyncio
import logging
import socket
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import pytest_asyncio
from asyncua import Server, ua

from wheeltapper_api.config import CollectorConfig, SeriesConfig
from wheeltapper_api.wire import Line
from wheeltapper_workers.simulator.opcua import hand_over_subscriptions
from wheeltapper_workers.sources.opcua import OpcUaSource
from wheeltapper_workers.sources.opcua_session import Timing

SECOND = 10**9
LINE = Line(tenant="northwater", plant="riverside", asset_class="pump")
QUICK = Timing(
    answer_s=0.5, watch_s=0.2, keep_alive_s=0.5, retry_s=0.1, first_delay_s=0.02, last_delay_s=0.1, session_s=20
)


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)


@pytest.fixture
def series():
    def make(asset="p-101", signal="flow", kind="gauge", address="ns=2;s=Flow", **fields):
        fields = {"line": LINE, "interval_ns": SECOND, "stale_after_ns": 60 * SECOND} | fields
        return SeriesConfig(asset=asset, signal=signal, kind=kind, address=address, **fields)

    return make


@pytest.fixture
def collector():
    def make(*chosen, endpoint="opc.tcp://127.0.0.1:1", **options):
        return CollectorConfig(
            tenant="northwater",
            plant="riverside",
            name="main",
            protocol="opcua",
            endpoint=endpoint,
            options={"publishing_interval_ns": 20_000_000} | options,
            max_ahead_ns=60 * SECOND,
            max_behind_ns=90 * 86_400 * SECOND,
            series=list(chosen),
        )

    return make


class PlantServer:
    """Flat variables in namespace 2 of a real server."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"opc.tcp://127.0.0.1:{self.port}"
        self.values = {}
        self.server = None
        self.nodes = {}

    async def start(self, prepare=None):
        self.server = Server()
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        self.server.set_endpoint(self.url)
        await self.server.init()
        if prepare is not None:
            await prepare(self.server)
        hand_over_subscriptions(self.server)
        await self.server.register_namespace("urn:plant")
        for name, value in self.values.items():
            await self.add(name, value)
        await self.server.start()

    async def clear(self):
        await self.server.delete_nodes(list(self.nodes.values()))
        self.nodes.clear()

    async def add(self, name, value):
        node = await self.server.nodes.objects.add_variable(ua.NodeId(name, 2), f"2:{name}", value)
        self.nodes[name] = node
        await self.write(name, value)

    async def write(self, name, value, *, status=0, time=None, server_time=True):
        now = datetime.now(UTC)
        data = ua.DataValue(
            ua.Variant(value),
            ua.StatusCode(status),
            SourceTimestamp=now if time is None else (time or None),
            ServerTimestamp=now if server_time else None,
        )
        await self.server.write_attribute_value(self.nodes[name].nodeid, data)

    async def write_text(self, name, value):
        self.server.set_attribute_value_callback(self.nodes[name].nodeid, lambda *_: ua.DataValue())
        await self.write(name, value)

    @property
    def subscriptions(self):
        return self.server.iserver.subscription_service.subscriptions

    @property
    def unacknowledged(self):
        return sum(len(one._not_acknowledged_results) for one in self.subscriptions.values())

    @property
    def waiting(self):
        """Whether the server holds samples for which nobody has asked."""
        return any(one._publish_cycles_count for one in self.subscriptions.values())

    @property
    def monitored(self):
        return {
            item.read_value_id.NodeId.Identifier: number
            for one in self.subscriptions.values()
            for number, item in one.monitored_item_srv._monitored_items.items()
        }

    def cut(self):
        """Break every connection without a word."""
        for transport in list(self.server.iserver.asyncio_transports):
            transport.abort()

    async def stop(self):
        if self.server is not None:
            server, self.server = self.server, None
            await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_server():
    server = PlantServer()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def plant(_shared_server):
    """Variables on a server that all tests share: a start takes two seconds."""

    async def make(**values):
        for name, value in values.items():
            await _shared_server.add(name, value)
        return _shared_server

    yield make
    await _shared_server.clear()
    assert not _shared_server.subscriptions


@pytest_asyncio.fixture(loop_scope="session")
async def own_plant():
    """A server of the test's own, not yet started."""
    server = PlantServer()
    yield server
    await server.stop()


async def _nothing():
    pass


class Reader:
    """Consumes a source in the background and remembers every row."""

    def __init__(self, source):
        self.source, self.rows, self.open = source, [], []
        self.hold = False
        self.task = asyncio.create_task(self._read())

    async def _read(self):
        async for delivery in self.source.deliveries():
            batch = delivery.batch
            for row in range(len(batch)):
                self.rows.append(
                    {
                        "series": int(batch.series[row]),
                        "time": int(batch.source_time_ns[row]),
                        "value": float(batch.value[row]),
                        "quality": int(batch.quality[row]),
                        "status": int(batch.status[row]),
                        "resent": bool(batch.resent[row]),
                        "text": batch.text.get(row),
                        "burst": batch.bursts[row].tolist() if row in batch.bursts else None,
                    }
                )
            if self.hold:
                self.open.append(delivery)
            else:
                delivery.done()

    def values(self, series=0):
        return [row["value"] for row in self.rows if row["series"] == series]

    async def kill(self):
        """End it as a kill would: the server hears nothing, and nothing is tidied up."""
        session = self.source._link.session
        session.close = _nothing
        session.drop()
        for task in (self.task, self.source._task):
            task.cancel()
            await asyncio.wait([task])

    async def until(self, condition, seconds=10.0):
        async with asyncio.timeout(seconds):
            while not condition():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.005)


@pytest_asyncio.fixture(loop_scope="session")
async def read():
    readers = []

    def make(config, **arguments):
        reader = Reader(OpcUaSource(config, **{"timing": QUICK} | arguments))
        readers.append(reader)
        return reader

    yield make
    for reader in readers:
        if not reader.task.cancelled():
            await reader.source.close()
            await reader.task


@pytest.fixture
def clock_at():
    def make(year):
        return datetime(year, 1, 1, tzinfo=UTC) + timedelta(0)

    return make


@pytest.fixture
def random():
    return np.random.default_rng(7)
