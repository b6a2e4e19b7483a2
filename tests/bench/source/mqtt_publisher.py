"""Publishes a schedule with QoS 1: ``python -m tests.bench.source.mqtt_publisher SCHEDULE OPTIONS``.

All packets are made before the first is sent, so that the sender costs next to nothing while others are measured. One
message a sample, as JSON with value and time. Options: ``port`` of the broker. Commands as for the OPC UA source, with
``prefix``, the first level of the topics; packets are made at ``prepare``.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from typing import Any, Final

from tests.bench.source.schedule import Schedule

_CONNECT: Final = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05bench"
_PUBLISH_QOS_1: Final = 0x32
_PUBACK_BYTES: Final = 4
_WINDOW: Final = 4_000
"""Messages without the broker's acknowledgement at most."""
_IDS: Final = 60_000
_MS: Final = 10**6


def packets(schedule: Schedule, rows: int, prefix: str) -> list[bytes]:
    """PUBLISH packets (MQTT 3.1.1, 3.3), one a row."""
    values, times = schedule.values(0, rows).tolist(), (schedule.times_ns(0, rows) // _MS).tolist()
    topics = [
        f"{prefix}/M{asset}/S{signal}".encode()
        for asset in range(schedule.assets)
        for signal in range(schedule.signals)
    ]
    made = []
    for row in range(rows):
        topic, payload = topics[row % schedule.series], f'{{"v":{values[row]!r},"t":{times[row]}}}'.encode()
        body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", row % _IDS + 1) + payload
        assert len(body) < 128  # one byte of length
        made.append(bytes((_PUBLISH_QOS_1, len(body))) + body)
    return made


class Publisher:
    """A connection that publishes; a thread counts the acknowledgements."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(_CONNECT)
        assert self._socket.recv(_PUBACK_BYTES)[:1] == b"\x20"
        self._acknowledged = 0
        self._more = threading.Condition()
        threading.Thread(target=self._count, daemon=True).start()

    def send(self, made: list[bytes], schedule: Schedule, *, paced: bool) -> None:
        """Send the packets, and wait until the broker has all of them."""
        base, sent, step = self._acknowledged // _PUBACK_BYTES, 0, 500
        while sent < len(made):
            due = min(len(made), schedule.rows_until(time.time_ns())) if paced else len(made)
            if due == sent:
                time.sleep(0.005)
                continue
            end = min(sent + step, due)
            self._wait(base + end - _WINDOW)
            self._socket.sendall(b"".join(made[sent:end]))
            sent = end
        self._wait(base + sent)

    def _wait(self, count: int) -> None:
        with self._more:
            self._more.wait_for(lambda: self._acknowledged >= count * _PUBACK_BYTES)

    def _count(self) -> None:
        while data := self._socket.recv(65_536):
            with self._more:
                self._acknowledged += len(data)
                self._more.notify()


def _tell(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


def main() -> None:
    """Follow commands until the end of standard input."""
    publisher = Publisher(json.loads(sys.argv[2])["port"])
    made: list[bytes] = []
    for line in sys.stdin:
        command = json.loads(line)
        schedule = Schedule.of(command["schedule"])
        if "prepare" in command:
            made = packets(schedule, command["prepare"], command["prefix"])
            _tell({"prepared": len(made)})
        else:
            publisher.send(made, schedule, paced="pace" in command)
            _tell({"sent": len(made), "timeNs": time.time_ns()})


if __name__ == "__main__":
    main()
