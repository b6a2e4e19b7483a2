"""Publishes measurements to an MQTT broker, as the gateway of a plant does: one topic a signal, JSON with its own time.

The connection runs in a thread of the MQTT library, which also comes back by itself. What the broker has not
acknowledged is kept and sent again, up to a bound; beyond it measurements are lost, and the log says so.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np
from paho.mqtt.client import Client, MQTTMessageInfo, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from wheeltapper_workers.simulator.disturb import GOOD, Sample, Series
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.signals import camel_case
from wheeltapper_workers.sources.mqtt_words import read

KEPT: Final = 60_000
"""Messages kept while the broker is away; MQTT has numbers for 65,535."""
_QOS: Final = 1
_LEAVE_S: Final = 2.0
_WARN_EVERY_S: Final = 60.0

_log = logging.getLogger(__name__)


def topic(area: str, asset: str, signal: str) -> str:
    """Topic of a signal, such as ``hall-2/P201/vibration-de``."""
    return f"{area}/{camel_case(asset)}/{signal}"


def payload(sample: Sample) -> bytes:
    """A sample as JSON: ``{"time": "2026-05-04T10:00:00.000Z", "value": 1.25}``.

    MQTT knows no status and JSON no NaN: both are null. A burst is an array.
    """
    value: float | str | list[float] | None = sample.value
    if sample.status != GOOD or (isinstance(value, float) and math.isnan(value)):
        value = None
    moment = f"{np.datetime64(sample.source_ns // 10**6, 'ms')}Z"
    return json.dumps({"time": moment, "value": value}, separators=(",", ":")).encode()


class Publisher:
    """A connection to a broker that publishes with QoS 1; use it as a context.

    Parameters
    ----------
    url : str
        ``mqtt://host:port`` or ``mqtts://host:port``.
    credentials : Path or None
        Folder with the files ``username`` and ``password``, as the collector's secret.
    name : str
        Name of the client, the same in every run, so that the broker knows it again.
    topics : mapping
        Topics of each series.

    Raises
    ------
    SimulatorError
        If the URL is no MQTT address. A broker that does not answer or refuses is told in the log, and tried again.
    """

    def __init__(self, url: str, credentials: Path | None, name: str, topics: Mapping[Series, Sequence[str]]) -> None:
        self._url, self._topics = url, topics
        self._host, self._port, secure = _address(url)
        self._client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTv311, clean_session=False)
        # With a limit the library looks through all that waits at every acknowledgement.
        self._client.max_inflight_messages_set(0)
        self._client.max_queued_messages_set(KEPT)
        self._client.reconnect_delay_set(1, 10)
        self._client.on_connect, self._client.on_connect_fail = self._connected, self._unreachable
        username = read(credentials, "username")
        if username:
            self._client.username_pw_set(username, read(credentials, "password"))
        if secure:
            self._client.tls_set()
        self._last: MQTTMessageInfo | None = None
        self._told = ""
        self._warned_s = -math.inf

    def __enter__(self) -> Publisher:
        self._client.connect_async(self._host, self._port, keepalive=15)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._last is not None and self._client.is_connected():
            with contextlib.suppress(RuntimeError):  # it went away this moment
                self._last.wait_for_publish(_LEAVE_S)
        self._client.disconnect()
        self._client.loop_stop()

    async def serve(self, samples: Iterable[tuple[Series, Sample]]) -> None:
        """Publish those of the samples that have topics, in their order."""
        for series, sample in samples:
            for each in self._topics.get(series, ()):
                sent = self._client.publish(each, payload(sample), _QOS)
                if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                    self._warn()
                    return
                self._last = sent

    def _connected(self, _client: Client, _data: object, _flags: object, reason: ReasonCode, _more: object) -> None:
        if reason.is_failure:
            self._tell(
                f"The broker {self._url} refuses the simulated plant: {reason.getName()}. Check the credentials."
            )
        else:
            self._tell(f"Simulated plant publishes to {self._url}")

    def _unreachable(self, _client: Client, _data: object) -> None:
        self._tell(f"The broker {self._url} does not answer; trying again. Start it or check the address.")

    def _tell(self, text: str) -> None:
        """Say what is new; a state that lasts is told once."""
        if text != self._told:
            self._told = text
            _log.info("%s", text)

    def _warn(self) -> None:
        now = time.monotonic()
        if now - self._warned_s > _WARN_EVERY_S:
            self._warned_s = now
            _log.warning("The broker %s takes no more: %d messages wait, newer ones are lost.", self._url, KEPT)


def _address(url: str) -> tuple[str, int, bool]:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in {"mqtt", "mqtts"} or host is None:
        raise SimulatorError(f"{url!r} is not an MQTT address. Write it as mqtt://host:port.")
    secure = parts.scheme == "mqtts"
    return host, port or (8883 if secure else 1883), secure
