"""Real OPC UA clients, and a real MQTT broker with a listener, on loopback for the simulator."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC

import paho.mqtt.client as paho
import pytest
from asyncua import Client, ua

from tests.support.mosquitto import Broker


@pytest.fixture
def url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"opc.tcp://127.0.0.1:{listener.getsockname()[1]}"


async def eventually(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("what was waited for did not happen")
        await asyncio.sleep(0.01)


class Subscriber:
    """Collects (node, value, status, source time in s) of every change, in the order received."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, object, int, float]] = []

    def datachange_notification(self, node, val, data) -> None:
        value = data.monitored_item.Value
        at = value.SourceTimestamp
        stamp = at.replace(tzinfo=at.tzinfo or UTC).timestamp()
        self.changes.append((node.nodeid.Identifier, val, value.StatusCode.value, stamp))

    def of(self, name: str) -> list[tuple[object, int, float]]:
        return [change[1:] for change in self.changes if change[0] == name]


@asynccontextmanager
async def subscribed(url: str, names: list[str]) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber()
    async with Client(url) as client:
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=50, RequestedLifetimeCount=1000, RequestedMaxKeepAliveCount=100
        )
        subscription = await client.create_subscription(parameters, subscriber, queue_maxsize=100_000)
        # Equal values in a row are changes too: a collector wants every source time.
        every = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
        items = []
        for index, name in enumerate(names):
            node = ua.ReadValueId(NodeId=ua.NodeId(name, 2), AttributeId=ua.AttributeIds.Value)
            wanted = ua.MonitoringParameters(
                ClientHandle=index + 1, SamplingInterval=0, Filter=every, QueueSize=100_000
            )
            items.append(ua.MonitoredItemCreateRequest(node, ua.MonitoringMode.Reporting, wanted))
        for result in await subscription.create_monitored_items(items):
            assert not isinstance(result, ua.StatusCode), result
        yield subscriber
        await subscription.delete()


@pytest.fixture
def subscribe() -> Callable[[str, list[str]], object]:
    return subscribed


@pytest.fixture
def wait() -> Callable[..., Awaitable[None]]:
    return eventually


@asynccontextmanager
async def background(
    work: Callable[[asyncio.Event, Callable[[], None]], Awaitable[object]],
) -> AsyncIterator[asyncio.Task]:
    """Run something that takes a stop event and a ready callback; stop it and pass on its error at the end."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.ensure_future(work(stop, ready.set))
    waiting = asyncio.ensure_future(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if not task.done():
            yield task
    finally:
        stop.set()
        await task


@pytest.fixture
def running() -> Callable[..., object]:
    return background


class Listener:
    """Keeps what comes from a broker, by topic."""

    def __init__(self, broker):
        self.heard: dict[str, list[dict]] = {}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self.ready = False
        self.client.on_subscribe = lambda *_: setattr(self, "ready", True)
        self.client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self.client.on_message = lambda _c, _d, m: self.heard.setdefault(m.topic, []).append(json.loads(m.payload))
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    real = Broker(tmp_path / "broker", persistence=False)
    real.start()
    yield real
    real.kill()


@pytest.fixture
async def listener(broker):
    one = Listener(broker)
    await eventually(lambda: one.ready)
    yield one
    one.close()
