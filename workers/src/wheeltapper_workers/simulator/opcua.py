"""Thin shell around the OPC UA server library: a server with flat variables that are written with their source time."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.common.callback import CallbackType, ServerItemCallback
from asyncua.common.node import Node
from asyncua.server.server import Server

from wheeltapper_workers.simulator.disturb import Sample
from wheeltapper_workers.simulator.errors import SimulatorError
from wheeltapper_workers.simulator.signals import NAMESPACE_INDEX

NAMESPACE: Final = "urn:wheeltapper:simulator"
_UNIX_EPOCH: Final = ua.DateTime(1970, 1, 1, tzinfo=UTC)


class Variables:
    """Variables of a running server, written by position.

    A write reaches every subscription at once (sampling interval 0), in the order written.
    """

    def __init__(self, server: Server, names: Sequence[str]) -> None:
        self._server = server
        self._ids = [_node_id(name) for name in names]
        self._types = [ua.VariantType.Double] * len(self._ids)
        self.subscribed: set[int] = set()
        """Positions of the variables somebody has subscribed to."""
        self.on_subscribe: Callable[[], None] | None = None
        self._positions = {node: position for position, node in enumerate(self._ids)}
        server.subscribe_server_callback(CallbackType.ItemSubscriptionCreated, self._note_subscription)

    @property
    def all_subscribed(self) -> bool:
        """Whether somebody has subscribed to every variable."""
        return len(self.subscribed) == len(self._ids)

    async def write(self, position: int, sample: Sample) -> None:
        """Serve one sample; `ServerTimestamp` is the present."""
        kind = ua.VariantType.String if isinstance(sample.value, str) else ua.VariantType.Double
        # An array of numbers is one of doubles: a waveform.
        if kind != self._types[position]:
            # The library refuses a value of another type than the last one. A value callback clears that memory, and
            # the write that follows at once replaces the callback.
            self._server.set_attribute_value_callback(self._ids[position], lambda *_: ua.DataValue())
            self._types[position] = kind
        value = ua.DataValue(
            ua.Variant(sample.value, kind),
            StatusCode=ua.StatusCode(ua.UInt32(sample.status)),
            SourceTimestamp=_UNIX_EPOCH + timedelta(microseconds=sample.source_ns // 1000),
            ServerTimestamp=ua.DateTime.now(UTC),
        )
        await self._server.write_attribute_value(self._ids[position], value)

    def _note_subscription(self, event: ServerItemCallback, _service: object) -> None:
        for item in event.request_params.ItemsToCreate:
            position = self._positions.get(item.ItemToMonitor.NodeId)
            if position is not None:
                self.subscribed.add(position)
        if self.on_subscribe is not None:
            self.on_subscribe()


@asynccontextmanager
async def serve(
    url: str, name: str, names: Sequence[str], first: Callable[[], Iterable[Sample]], queue_limit: int
) -> AsyncIterator[Variables]:
    """Run a server whose variables hold their first values before anybody can connect.

    Parameters
    ----------
    url : str
        Such as ``opc.tcp://127.0.0.1:4840``.
    name : str
        Server name shown to clients.
    names : sequence of str
        Node identifiers in namespace 2. ``Object.Variable`` puts the variable under an object, otherwise it stands
        alone.
    first : callable
        Gives the first sample of each variable; called at the last moment, as building the server takes a second.
    queue_limit : int
        Longest queue a subscriber may ask for per variable.

    Raises
    ------
    SimulatorError
        If the URL is no ``opc.tcp`` address or the port cannot be listened on.
    """
    _check_address(url)
    server = Server()
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    server.set_identity_tokens([ua.AnonymousIdentityToken])
    server.set_endpoint(url)
    server.set_server_name(name)
    server.iserver.max_monitored_item_queue_size = queue_limit
    await server.init()
    await server.register_namespace(NAMESPACE)
    hand_over_subscriptions(server)
    await _add_variables(server, names)
    variables = Variables(server, names)
    for position, sample in enumerate(first()):
        await variables.write(position, sample)
    await server.start()
    try:
        yield variables
    finally:
        await server.stop()


def hand_over_subscriptions(server: Server) -> None:
    """Let a subscription that another session takes over publish there, and repeat there what nobody acknowledged.

    The library moves where a subscription's publications go, and leaves it asking the old connection for permission.
    And it forgets what it has repeated, which may be lost once more.
    """
    service = server.iserver.subscription_service
    transfer = service.transfer_subscriptions

    def repeat(params: ua.RepublishParameters) -> ua.NotificationMessage:
        subscription = service.subscriptions.get(params.SubscriptionId)
        sent = subscription._not_acknowledged_results if subscription else {}
        result = sent.get(params.RetransmitSequenceNumber)
        return result.NotificationMessage if result else ua.NotificationMessage()

    async def complete(
        params: ua.TransferSubscriptionsParameters, session_id: ua.NodeId, callback: Any
    ) -> list[ua.TransferResult]:
        results = await transfer(params, session_id, callback)
        for identity in params.SubscriptionIds:
            if (subscription := service.subscriptions.get(int(identity))) is not None:
                subscription.pub_request_callback = callback.__self__.get_publish_request
        return results

    service.transfer_subscriptions = complete  # type: ignore[method-assign]  # on this one server
    service.republish = repeat  # type: ignore[method-assign]


async def wait_until(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event at most so long; True if it came."""
    if seconds <= 0:
        # Yields to the loop even when there is no time to wait, so the server's connections are served in between.
        await asyncio.sleep(0)
        return event.is_set()
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _add_variables(server: Server, names: Sequence[str]) -> None:
    objects: dict[str, Node] = {}
    for name in names:
        parent = server.nodes.objects
        owner, dot, variable = name.partition(".")
        if dot:
            if owner not in objects:
                objects[owner] = await parent.add_object(_node_id(owner), f"{NAMESPACE_INDEX}:{owner}")
            parent = objects[owner]
        browse_name = f"{NAMESPACE_INDEX}:{variable or owner}"
        await parent.add_variable(_node_id(name), browse_name, 0.0, ua.VariantType.Double)


def _node_id(name: str) -> ua.NodeId:
    return ua.NodeId(ua.String(name), ua.Int16(NAMESPACE_INDEX))


def _check_address(url: str) -> None:
    """Try the port before the library does: its own failure comes with a stack trace in the log."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme != "opc.tcp" or host is None or port is None:
        raise SimulatorError(f"{url!r} is not an OPC UA address. Write it as opc.tcp://host:port.")
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SimulatorError(
                f"Port {port} on {host} is in use: stop the program that listens there, or choose another port."
            ) from error
        raise SimulatorError(
            f"Port {port} on {host} cannot be listened on: {error.strerror}. Choose another."
        ) from error
