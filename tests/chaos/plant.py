"""The plant under test: serves and publishes known samples, and keeps the truth. It is never attacked.

``python -m tests.chaos.plant SETTINGS`` says ``{"ready": true}`` when it can be connected to. At the first line of its
standard input it measures no more, waits until the broker has everything, writes the truth as Parquet, and says how
many samples there were; at the second one it ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from asyncua import Server, ua
from asyncua.server.history import HistoryDict
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from wheeltapper_workers.simulator.opcua import hand_over_subscriptions

SIGNALS: Final = ("vibration", "flow", "state", "burst")
LIMIT: Final = 7.0
BURST: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = 10**6


@dataclass(frozen=True)
class Settings:
    """What the plant is told."""

    seed: int
    opcua: str
    broker: int
    """Port."""
    assets: int
    """Half of them speak OPC UA, half MQTT."""
    period_ms: int
    history: bool
    """Whether the OPC UA server keeps a history."""
    truth: str

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def text(self) -> str:
        return json.dumps(asdict(self))

    def asset(self, number: int) -> str:
        return f"m-{number}"

    def speaks_mqtt(self, number: int) -> bool:
        return number % 2 == 1


class Machine:
    """Values of one machine by step: noise, stretches of high vibration, states now and then, bursts."""

    def __init__(self, settings: Settings, number: int) -> None:
        self._random = np.random.default_rng([settings.seed, number])
        self._period_s = settings.period_ms / 1000
        self._high, self._until = False, self._random.uniform(5, 25)
        self._state, self._state_until = 0, 0.0

    def step(self, number: int) -> dict[str, float | list[float]]:
        """What it measures; a signal that has nothing to say is left out."""
        now = number * self._period_s
        if now >= self._until:
            self._high = not self._high
            self._until = now + self._random.uniform(12, 25)
        level = 12.0 if self._high else 2.0
        found: dict[str, float | list[float]] = {
            "vibration": level + float(self._random.normal(0, 0.4)),
            "flow": 100.0 + float(self._random.normal(0, 3)),
        }
        if now >= self._state_until:
            self._state = 2 if self._state != 2 else 1
            found["state"] = float(self._state)
            self._state_until = now + self._random.uniform(3, 15)
        if number % max(1, round(3 / self._period_s)) == 0:
            found["burst"] = self._random.normal(0, 1, BURST).tolist()
        return found


class OpcUa:
    """Half of the machines, on a real server."""

    def __init__(self, settings: Settings) -> None:
        self._server, self._history = Server(), HistoryDict() if settings.history else None
        self._settings = settings
        self._nodes: dict[tuple[int, str], ua.NodeId] = {}

    async def start(self) -> None:
        server, settings = self._server, self._settings
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        server.set_endpoint(settings.opcua)
        server.iserver.max_monitored_item_queue_size = 10_000
        await server.init()
        hand_over_subscriptions(server)
        await server.register_namespace("urn:plant")
        if self._history is not None:
            server.iserver.history_manager.storage = self._history
        for number in range(settings.assets):
            for signal in SIGNALS if not settings.speaks_mqtt(number) else ():
                node = ua.NodeId(f"{settings.asset(number)}.{signal}", 2)
                first: Any = [0.0] * BURST if signal == "burst" else 0.0
                await server.nodes.objects.add_variable(node, f"2:{number}-{signal}", first, ua.VariantType.Double)
                self._nodes[number, signal] = node
                if self._history is not None:
                    await self._history.new_historized_node(node, None, 0)

    async def serve(self) -> None:
        """Let clients in; the first values are there."""
        await self._server.start()

    async def write(self, number: int, signal: str, value: Any, time_ns: int) -> None:
        moment = _EPOCH + timedelta(microseconds=time_ns // 1000)
        variant = ua.Variant(value, ua.VariantType.Double)
        data = ua.DataValue(variant, SourceTimestamp=moment, ServerTimestamp=moment)
        node = self._nodes[number, signal]
        if self._history is not None:
            await self._history.save_node_value(node, data)
        await self._server.write_attribute_value(node, data)

    async def stop(self) -> None:
        await self._server.stop()


class Mqtt:
    """The other half, published to a real broker."""

    def __init__(self, settings: Settings) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, "plant", protocol=MQTTv5)
        self._client.max_inflight_messages_set(1000)
        self._sent = 0
        self._settings = settings
        self._client.connect("127.0.0.1", settings.broker)
        self._client.loop_start()

    def write(self, number: int, signal: str, value: Any, time_ns: int) -> None:
        topic, payload = f"{self._settings.asset(number)}/{signal}", json.dumps({"v": value, "t": time_ns // _MS})
        self._last = self._client.publish(topic, payload, qos=1)

    def stop(self) -> None:
        self._last.wait_for_publish(30)
        deadline = time.monotonic() + 30
        while self._client._out_messages and time.monotonic() < deadline:
            time.sleep(0.05)
        self._client.disconnect()
        self._client.loop_stop()


async def run(settings: Settings, end: threading.Event) -> int:
    """Serve until told to end; returns the number of samples."""
    opcua, mqtt = OpcUa(settings), Mqtt(settings)
    await opcua.start()
    machines = [Machine(settings, number) for number in range(settings.assets)]
    truth: list[tuple[str, str, int, float, list[float] | None]] = []
    period_ns = settings.period_ms * _MS
    start_ns = (time.time_ns() // period_ns + 1) * period_ns
    step = 0
    while not end.is_set():
        time_ns = start_ns + step * period_ns
        await asyncio.sleep(max(0.0, (time_ns - time.time_ns()) / 1e9))
        for number, machine in enumerate(machines):
            for signal, value in machine.step(step).items():
                if settings.speaks_mqtt(number):
                    mqtt.write(number, signal, value, time_ns)
                else:
                    await opcua.write(number, signal, value, time_ns)
                burst = value if isinstance(value, list) else None
                truth.append((settings.asset(number), signal, time_ns, np.nan if burst else float(value), burst))
        if step == 0:
            await opcua.serve()
            print(json.dumps({"ready": True}), flush=True)
        step += 1
    mqtt.stop()
    columns = list(zip(*truth, strict=True))
    kinds = (pa.string(), pa.string(), pa.int64(), pa.float64(), pa.list_(pa.float64()))
    names = ("asset", "signal", "time_ns", "value", "burst")
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    pq.write_table(pa.table(arrays, names=list(names)), Path(settings.truth))
    print(json.dumps({"samples": len(truth)}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # the last samples are still to be fetched
    await opcua.stop()
    return len(truth)


def main() -> None:
    """Run until standard input says so."""
    end = threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        end.set()

    threading.Thread(target=wait, daemon=True).start()
    asyncio.run(run(Settings.of(sys.argv[1]), end))


if __name__ == "__main__":
    main()
