from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import threading
import time

import paho.mqtt.client as paho
import pytest

from tests.support.mosquitto import Broker
from wheeltapper_api.config import CollectorConfig, SeriesConfig
from wheeltapper_api.wire import Line
from wheeltapper_workers.sources.mqtt import MqttSource, Timing

SECOND = 10**9
LINE = Line(tenant="northwater", plant="riverside", asset_class="pump")
QUICK = Timing(keep_alive_s=5, answer_s=3, first_delay_s=0.02, last_delay_s=0.1, misc_s=0.2)


@pytest.fixture
def folder(tmp_path):
    """A folder that the broker's own user may write, where it runs as another."""
    place = tmp_path / "broker"
    place.mkdir()
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam("mosquitto")
            os.chown(place, user.pw_uid, user.pw_gid)
            for parent in place.parents:
                if parent.stat().st_mode & 0o055 != 0o055 and parent.stat().st_uid == os.geteuid():
                    parent.chmod(parent.stat().st_mode | 0o055)
    return place


@pytest.fixture
def broker(folder):
    started = []

    def start(*lines, **options):
        broker = Broker(folder, *lines, **options)
        broker.start()
        started.append(broker)
        return broker

    yield start
    for one in started:
        one.kill()


def series(topic, path=None, asset="p-101", signal="flow", kind="gauge", **fields):
    fields = {"line": LINE, "interval_ns": SECOND, "stale_after_ns": 60 * SECOND} | fields
    return SeriesConfig(asset=asset, signal=signal, kind=kind, address=topic, path=path, **fields)


def config(broker, *chosen, scheme="mqtt", **options):
    return CollectorConfig(
        tenant="northwater",
        plant="riverside",
        name="hall-2",
        protocol="mqtt",
        endpoint=f"{scheme}://localhost:{broker.port}",
        options=options,
        max_ahead_ns=60 * SECOND,
        max_behind_ns=90 * 86_400 * SECOND,
        series=list(chosen),
    )


class Reader:
    """A source, and what came out of it; what is held is not acknowledged."""

    def __init__(self, collector, **options):
        self.source = MqttSource(collector, timing=QUICK, **options)
        self.rows, self.held, self.hold, self.broken = [], [], False, []
        self.task = asyncio.create_task(self._read())

    async def _read(self):
        async for delivery in self.source.deliveries():
            batch = delivery.batch
            self.broken.append(delivery.broken)
            for row in range(len(batch)):
                self.rows.append(
                    {
                        "series": int(batch.series[row]),
                        "value": float(batch.value[row]),
                        "time": int(batch.source_time_ns[row]),
                        "quality": int(batch.quality[row]),
                        "again": bool(batch.resent[row]),
                        "text": batch.text.get(row),
                        "burst": batch.bursts[row].tolist() if row in batch.bursts else None,
                    }
                )
            if self.hold:
                self.held.append(delivery)
            else:
                delivery.done()

    def values(self, number=0):
        return [row["value"] for row in self.rows if row["series"] == number]

    async def until(self, condition, seconds=15, what="the condition"):
        deadline = time.monotonic() + seconds
        while not condition():
            assert not self.task.done(), self.task.exception()
            assert time.monotonic() < deadline, f"{what}: {self.source.connection()} {self.rows[-3:]}"
            await asyncio.sleep(0.02)

    async def connected(self):
        await self.until(lambda: self.source.connection().connected, what="a connection")

    async def close(self):
        await self.source.close()
        self.task.cancel()
        await asyncio.wait([self.task])


@pytest.fixture
async def read():
    readers = []

    def start(collector, **options):
        readers.append(Reader(collector, **options))
        return readers[-1]

    yield start
    for reader in readers:
        await reader.close()


class Publisher:
    """Publishes with QoS 1 and waits until the broker has it."""

    def __init__(self, broker):
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        connected = threading.Event()
        self.client.on_connect = lambda *_: connected.set()
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert connected.wait(5)

    def send(self, topic, *payloads, retain=False):
        sent = [self.client.publish(topic, payload, qos=1, retain=retain) for payload in payloads]
        for one in sent:
            one.wait_for_publish(20)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def publisher():
    made = []

    def make(broker):
        made.append(Publisher(broker))
        return made[-1]

    yield make
    for one in made:
        one.close()
