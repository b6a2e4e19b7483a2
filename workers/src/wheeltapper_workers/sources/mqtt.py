"""MQTT source: a persistent session whose messages are acknowledged when they are safe.

A message gets its PUBACK only after the stream has it. Until then the broker keeps it, through every failure of ours;
it sends no more than the agreed number before it has heard of the first ones, so a consumer that stands still stops the
flow. The protocol runs on the event loop, in the way paho has for loops of others.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from wheeltapper_api.config import CollectorConfig, SeriesConfig
from wheeltapper_workers.contracts.problems import SeriesProblem
from wheeltapper_workers.contracts.raw import raw_batch
from wheeltapper_workers.sources import mqtt_words as words
from wheeltapper_workers.sources.base import NOTHING_KEPT, ConnectionState, Delivery, History, Kept, without_secret
from wheeltapper_workers.sources.jobs import ended
from wheeltapper_workers.sources.mqtt_items import Items, Message

BATCH: Final = 4_096
"""Messages of a delivery at most."""
RECEIVE_MAXIMUM: Final = 16_384
"""Messages without their PUBACK at most; so many are held in memory."""
SESSION_S: Final = 7 * 86_400
"""How long a broker keeps the session of a collector that is away."""
MAX_PAYLOAD: Final = 4 * 2**20
_READS: Final = 512
_QOS: Final = 1
_SHORT_S: Final = 5.0
_MOST_SHORT: Final = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    keep_alive_s: int = 15
    answer_s: float = 10.0
    first_delay_s: float = 0.5
    last_delay_s: float = 30.0
    misc_s: float = 1.0


class _TlsSocket(ssl.SSLSocket):
    """Closed when its handshake fails; the MQTT library leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class MqttSource:
    """A connection to an MQTT broker.

    Parameters
    ----------
    config
        The connection and its series. Options: ``version`` (``5`` or ``3.1.1``), ``max_payload`` in bytes.
    secret
        Folder with the files ``username`` and ``password``, or ``certificate`` and ``privateKey``; and ``ca``, the
        certificates that the broker's is checked with where the system's are not meant.
    now
        Clock for the time of receipt, in nanoseconds since 1970 (UTC).
    kept
        What an earlier run left: whether the broker should know the session.
    """

    def __init__(
        self,
        config: CollectorConfig,
        *,
        secret: Path | None = None,
        timing: Timing | None = None,
        now: Callable[[], int] = time.time_ns,
        kept: Kept = NOTHING_KEPT,
    ) -> None:
        self._kept, self._known, self._broken = kept, bool(kept.memory), ""
        self._config, self._secret, self._timing, self._now = config, secret, timing or Timing(), now
        self._items = Items(config.series, now())
        self._v5 = config.options.get("version", "5") == "5"
        self._max_payload = int(config.options.get("max_payload", MAX_PAYLOAD))
        self._state = ConnectionState(False, now(), f"Connecting to {config.endpoint}.")
        self._waiting: list[Message] = []
        self._arrived = asyncio.Event()
        self._down = asyncio.Event()
        self._up: asyncio.Future[None] | None = None
        self._asked: dict[int, list[str]] = {}
        self._client: Client | None = None
        self._run_number = 0
        self._open = 0
        self._listen: Callable[[], None] = lambda: None
        self._ended = ""
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to connect; never fails, and goes on until it works."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"mqtt {self._config.name}")

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Deliveries in the order of their receipt; ends when the source is closed."""
        self.start()
        while True:
            await self._arrived.wait()
            if self._closed:
                return
            taken, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting:
                self._arrived.clear()
            if taken:
                self._open += len(taken)
                broken, self._broken = self._broken, ""
                batch, done = functools.partial(self._items.batch, taken), functools.partial(self._acknowledge, taken)
                yield Delivery(batch, done, broken)

    def connection(self) -> ConnectionState:
        """State of the connection."""
        return self._state

    def problems(self) -> list[SeriesProblem]:
        """Topics that cannot be read."""
        return self._items.problems()

    def status_name(self, code: int) -> str:
        """MQTT messages have no status."""
        return str(code)

    async def reconfigure(self, series: Sequence[SeriesConfig]) -> None:
        """Read these series from now on; subscriptions that stay are not touched."""
        before = set(self._items.topics)
        self._items.want(series, self._now())
        if self._client is not None and self._state.connected:
            gone, fresh = sorted(before - set(self._items.topics)), sorted(set(self._items.topics) - before)
            if gone:
                self._client.unsubscribe(gone)
            self._subscribe(self._client, fresh)

    async def history(self, series: npt.NDArray[np.int32], _since: npt.NDArray[np.int64], _until: int, /) -> History:
        """Nothing: a broker keeps what it has not delivered, and no history."""
        return History(raw_batch([], [], [], []), np.zeros(len(series), np.bool_))

    async def close(self, *, keep: bool = False) -> None:  # noqa: ARG002 - a broker keeps the session in any case
        """Leave the broker, which keeps the session. What is not done by now is not acknowledged."""
        self._closed = True
        self._arrived.set()
        if self._task is not None:
            await ended(self._task)

    def _acknowledge(self, messages: Sequence[Message]) -> None:
        """PUBACK. What came over a connection that broke is sent again by the broker, and acknowledged then."""
        self._open -= len(messages)
        if self._client is None:
            return
        for message in messages:
            if message.qos and message.run == self._run_number:
                self._client.ack(message.mid, message.qos)
        self._listen()

    async def _run(self) -> None:
        attempt = 0
        while True:
            client = None
            try:
                client = await self._connect()
                since = time.monotonic()
                await self._serve(client)
                # A connection that ends at once, and again at once, is another client's that has our name.
                attempt = 0 if time.monotonic() - since > _SHORT_S else attempt
                why = words.lost(self._config, self._ended, again=attempt >= _MOST_SHORT)
            except (OSError, ValueError, TimeoutError, words.RefusedError) as error:
                why = words.cannot_connect(error, self._config) + without_secret(self._secret)
            finally:
                self._leave(client)
            self._state = ConnectionState(False, self._now(), why, self._state.connects)
            delay = min(self._timing.first_delay_s * 2 ** min(attempt, 16), self._timing.last_delay_s)
            attempt += 1
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, hides nothing

    async def _connect(self) -> Client:
        client = self._make_client()
        self._down, self._up = asyncio.Event(), asyncio.get_running_loop().create_future()
        self._run_number += 1
        self._ended = ""
        url = urlsplit(self._config.endpoint)
        port = url.port or (8883 if url.scheme == "mqtts" else 1883)
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
            properties.SessionExpiryInterval = SESSION_S
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            properties.MaximumPacketSize = self._max_payload
        arguments: dict[str, Any] = {"clean_start": False, "properties": properties} if self._v5 else {}
        # Name look-up, TCP and TLS take their time and block.
        connecting = functools.partial(
            client.connect, url.hostname or "", port, keepalive=self._timing.keep_alive_s, **arguments
        )
        trying = asyncio.ensure_future(asyncio.to_thread(connecting))
        try:
            await asyncio.wait_for(asyncio.shield(trying), self._timing.answer_s)
            self._attach(client)
            await asyncio.wait_for(self._up, self._timing.answer_s)
        except BaseException:
            # A thread cannot be stopped: what it still opens is closed when it has.
            trying.add_done_callback(functools.partial(_close, client))
            raise
        self._client = client
        self._state = ConnectionState(True, self._now(), "", self._state.connects + 1)
        self._subscribe(client, self._items.topics)
        return client

    def _make_client(self) -> Client:
        config = self._config
        # The same for every run of this collector, so that the broker finds its session; and no other's.
        identity = hashlib.sha256(f"{config.tenant}/{config.plant}/{config.name}".encode()).hexdigest()[:12]
        options: dict[str, Any] = {"protocol": MQTTv5} if self._v5 else {"protocol": MQTTv311, "clean_session": False}
        client = Client(CallbackAPIVersion.VERSION2, f"wheeltapper-{identity}", manual_ack=True, **options)
        client.connect_timeout = self._timing.answer_s
        client.on_connect, client.on_message = self._on_connect, self._on_message
        client.on_subscribe, client.on_disconnect = self._on_subscribe, self._on_disconnect
        username, password = (words.read(self._secret, name) for name in ("username", "password"))
        if username:
            client.username_pw_set(username, password)
        if urlsplit(config.endpoint).scheme == "mqtts":
            client.tls_set_context(self._tls())
        return client

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=words.read(self._secret, "ca"))
        context.sslsocket_class = _TlsSocket
        certificate, key = (self._secret / name if self._secret else None for name in ("certificate", "privateKey"))
        if certificate is not None and key is not None and certificate.is_file():
            context.load_cert_chain(certificate, key)
        return context

    def _attach(self, client: Client) -> None:
        """Have the event loop watch the connection's socket."""
        loop, sock = asyncio.get_running_loop(), client.socket()
        if sock is None:
            raise ConnectionResetError("the broker closed the connection at once")

        def watch(*_: object) -> None:
            loop.add_writer(sock, client.loop_write)

        def ignore(*_: object) -> None:
            if sock.fileno() != -1:
                loop.remove_writer(sock)

        def forget(*_: object) -> None:
            if sock.fileno() != -1:
                loop.remove_reader(sock)
                loop.remove_writer(sock)

        def listen() -> None:
            """A broker may have no limit of its own: what is not done yet is limited here, by not reading on."""
            if sock.fileno() != -1:
                if self._full:
                    loop.remove_reader(sock)
                else:
                    loop.add_reader(sock, self._read, client, sock)

        client.on_socket_register_write, client.on_socket_unregister_write = watch, ignore
        client.on_socket_close = forget
        self._listen = listen
        listen()
        if client.want_write():
            client.loop_write()
        self._read(client, sock)

    def _read(self, client: Client, sock: Any) -> None:
        """Take in what is there, a bounded part at a time; a TLS connection may hold more than its socket shows."""
        for _ in range(_READS):
            if self._full:
                self._listen()
                return
            before = len(self._waiting)
            if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._down.set()
                return
            if len(self._waiting) == before:
                break
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            asyncio.get_running_loop().call_soon(self._read, client, sock)

    @property
    def _full(self) -> bool:
        return len(self._waiting) + self._open >= RECEIVE_MAXIMUM

    async def _serve(self, client: Client) -> None:
        """Keep the connection alive until it ends."""
        while not self._down.is_set():
            if client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            try:
                await asyncio.wait_for(self._down.wait(), self._timing.misc_s)
            except TimeoutError:
                continue

    def _leave(self, client: Client | None) -> None:
        self._client, self._listen = None, lambda: None
        if client is not None:
            _close(client)

    def _subscribe(self, client: Client, topics: Sequence[str]) -> None:
        """Subscribe; a session that has the subscription already is not sent its retained messages again."""
        for first in range(0, len(topics), 100):
            some = list(topics[first : first + 100])
            options = SubscribeOptions(qos=_QOS, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            asked: list[tuple[str, Any]] = [(topic, options if self._v5 else _QOS) for topic in some]
            _, mid = client.subscribe(asked)
            if mid is not None:
                self._asked[mid] = some

    def _on_connect(self, _client: Client, _data: object, flags: ConnectFlags, reason: ReasonCode, _: object) -> None:
        if self._up is None or self._up.done():
            return
        if reason.is_failure:
            self._up.set_exception(words.RefusedError(reason.getName()))
            return
        if self._known and not flags.session_present:
            self._broken = "The broker had forgotten the session"
        if not self._known:
            self._known = True
            self._kept.keep({"session": True})
        self._up.set_result(None)

    def _on_subscribe(self, _client: Client, _data: object, mid: int, reasons: list[ReasonCode], _more: object) -> None:
        for topic, reason in zip(self._asked.pop(mid, []), reasons, strict=False):
            self._items.refused(
                topic, words.refused(topic, reason.getName(), self._config) if reason.is_failure else ""
            )

    def _on_disconnect(self, _client: Client, _data: object, _flags: object, reason: ReasonCode, _more: object) -> None:
        # The first word is the broker's; what follows is only the end of the connection.
        self._ended = self._ended or (reason.getName() if reason.is_failure else "")
        self._down.set()
        if self._up is not None and not self._up.done():
            self._up.set_exception(words.RefusedError(reason.getName()))

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        payload = bytes(message.payload)
        if len(payload) > self._max_payload:
            payload = b"%d bytes, more than a message may have" % len(payload)
        topic, run = message.topic, self._run_number
        self._waiting.append(Message(topic, payload, self._now(), message.dup, message.mid, message.qos, run))
        self._arrived.set()


def _close(client: Client, done: asyncio.Future[Any] | None = None) -> None:
    if done is not None and not done.cancelled():
        done.exception()  # seen; the one who waited was told
    client.disconnect()
    client.loop_write()
    sock = client.socket()
    if sock is not None and sock.fileno() != -1:
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.remove_writer(sock)
        sock.close()
