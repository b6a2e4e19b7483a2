"""A bare subscriber of paho, counting: ``python -m tests.bench.source.paho_subscriber PORT TOPIC ROWS``."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion


class Counter:
    """Counts messages and their bytes."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.count = self.size = 0
        self.began_s = self.began_cpu_s = 0.0

    def on_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        """One message."""
        if not self.count:
            self.began_s, self.began_cpu_s = time.perf_counter(), time.process_time()
        self.count += 1
        self.size += len(message.payload)
        if self.count == self._rows:
            seconds, cpu = time.perf_counter() - self.began_s, time.process_time() - self.began_cpu_s
            _tell({"count": self.count, "bytes": self.size, "seconds": seconds, "cpuSeconds": cpu})
            client.disconnect()


def _tell(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


def main(port: int, topic: str, rows: int) -> None:
    """Subscribe with QoS 1 and count."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="counter", protocol=MQTTv5)
    client.on_message = Counter(rows).on_message
    client.on_connect = lambda *_: client.subscribe(topic, qos=1)
    client.on_subscribe = lambda *_: _tell({"subscribed": True})
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
