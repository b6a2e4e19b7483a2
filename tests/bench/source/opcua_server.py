"""An OPC UA server of one subscription that serves a schedule: ``python -m tests.bench.source.opcua_server DOCUMENT``.

Sessions are the library's encodings; the data changes are made by arrays, so the server takes a few percent of a core
where a collector takes a whole one. Sampling and queues are as the standard has them: every sample is sent once, in
order, when there is a publish request to answer; without one it waits here.

Each line of standard input is a command, and each line of standard output an answer, both JSON:
``{"flood": rows, "schedule": {...}}`` sends rows as fast as they are asked for, ``{"pace": rows, ...}`` when their time
comes; the answer tells when all were sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.ua.ua_binary import (
    header_from_binary,
    nodeid_from_binary,
    struct_from_binary,
    struct_to_binary,
    uatcp_to_binary,
)

from tests.bench.source import notification
from tests.bench.source.schedule import Schedule

MOST_CHANGES: Final = 5_000
"""Data changes in a publication, unless the client asks for fewer."""
_KEEP_ALIVE_S: Final = 2.0
_STARTED: Final = datetime.now(UTC)
_NODE: Final = re.compile(r"M(\d+)\.S(\d+)")


class Plant:
    """What all connections share: the schedule and how much of it was sent."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.rows = self.sent = 0
        self.paced = False
        self.most_waiting = 0
        self.work = asyncio.Event()
        self.sent_ns = 0

    def begin(self, schedule: Schedule, rows: int, *, paced: bool) -> None:
        """Serve this from now on."""
        self.schedule, self.rows, self.sent, self.paced = schedule, rows, 0, paced
        self.most_waiting = 0
        self.work.set()

    def due(self) -> int:
        """Rows that may be sent."""
        return min(self.rows, self.schedule.rows_until(time.time_ns())) if self.paced else self.rows


class Connection:
    """One client."""

    def __init__(self, plant: Plant, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._plant, self._reader, self._writer = plant, reader, writer
        self._limits = TransportLimits()
        self._secure = SecureConnection(SecurityPolicyNone(), self._limits)
        self._requests: deque[tuple[int, int, int]] = deque()
        self._asked = asyncio.Event()
        self._handles = np.full(plant.schedule.series, -1, np.int64)
        self._sequence = 1
        self._most = MOST_CHANGES
        self._interval_s = 0.1
        self._publisher: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until the client goes."""
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await self._reader.readexactly(8)
                    body = await self._reader.readexactly(int.from_bytes(head[4:8], "little") - 8)
                    buffer = Buffer(head + body)
                    self._take(header_from_binary(buffer), buffer)
        finally:
            if self._publisher is not None:
                self._publisher.cancel()
            self._writer.close()

    def get_new_channel_id(self) -> int:
        """What the library asks of a server."""
        return 7

    def _take(self, header: Any, buffer: Buffer) -> None:
        message = self._secure.receive_from_header_and_body(header, buffer)
        if isinstance(message, ua.Hello):
            acknowledge = self._limits.create_acknowledge_and_set_limits(message)
            self._writer.write(uatcp_to_binary(ua.MessageType.Acknowledge, acknowledge))
        elif header.MessageType == ua.MessageType.SecureOpen:
            request = struct_from_binary(ua.OpenSecureChannelRequest, message.body())
            response = ua.OpenSecureChannelResponse(Parameters=self._secure.open(request.Parameters, self))
            self._answer(request.RequestHeader, message.SequenceHeader(), response, ua.MessageType.SecureOpen)
        elif header.MessageType == ua.MessageType.SecureClose:
            self._writer.close()
        elif message is not None:
            self._serve(message.SequenceHeader(), message.body())

    def _serve(self, sequence: Any, body: Buffer) -> None:
        kind = nodeid_from_binary(body).Identifier
        header = struct_from_binary(ua.RequestHeader, body)
        if kind == ua.ObjectIds.PublishRequest_Encoding_DefaultBinary:
            asked = struct_from_binary(ua.PublishParameters, body)
            acknowledged = len(asked.SubscriptionAcknowledgements)
            self._requests.append((sequence.RequestId, header.RequestHandle, acknowledged))
            self._asked.set()
            return
        make = self._services().get(kind)
        response = make(body) if make else ua.ServiceFault()
        if make is None:
            response.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadServiceUnsupported))
        self._answer(header, sequence, response)

    def _answer(self, header: Any, sequence: Any, response: Any, kind: Any = ua.MessageType.SecureMessage) -> None:
        response.ResponseHeader.RequestHandle = header.RequestHandle
        response.ResponseHeader.Timestamp = datetime.now(UTC)
        self._send(struct_to_binary(response), sequence.RequestId, kind)

    def _send(self, body: bytes, request: int, kind: Any = ua.MessageType.SecureMessage) -> None:
        self._writer.write(self._secure.message_to_binary(body, message_type=kind, request_id=request))

    def _services(self) -> dict[int, Any]:
        ids = ua.ObjectIds
        return {
            ids.CreateSessionRequest_Encoding_DefaultBinary: self._create_session,
            ids.ActivateSessionRequest_Encoding_DefaultBinary: lambda _: ua.ActivateSessionResponse(),
            ids.CloseSessionRequest_Encoding_DefaultBinary: lambda _: ua.CloseSessionResponse(),
            ids.ReadRequest_Encoding_DefaultBinary: self._read,
            ids.CreateSubscriptionRequest_Encoding_DefaultBinary: self._subscribe,
            ids.CreateMonitoredItemsRequest_Encoding_DefaultBinary: self._monitor,
            ids.DeleteSubscriptionsRequest_Encoding_DefaultBinary: self._unsubscribe,
        }

    def _create_session(self, body: Buffer) -> Any:
        asked = struct_from_binary(ua.CreateSessionParameters, body)
        endpoint = ua.EndpointDescription(
            EndpointUrl=asked.EndpointUrl,
            SecurityMode=ua.MessageSecurityMode.None_,
            SecurityPolicyUri=SecurityPolicyNone.URI,
            UserIdentityTokens=[ua.UserTokenPolicy(PolicyId="anonymous", TokenType=ua.UserTokenType.Anonymous)],
        )
        return ua.CreateSessionResponse(
            Parameters=ua.CreateSessionResult(
                SessionId=ua.NodeId(1),
                AuthenticationToken=ua.NodeId(2),
                RevisedSessionTimeout=asked.RequestedSessionTimeout,
                ServerEndpoints=[endpoint],
            )
        )

    def _read(self, body: Buffer) -> Any:
        asked = struct_from_binary(ua.ReadParameters, body)
        known = {
            ua.ObjectIds.Server_ServerStatus_State: ua.Variant(0, ua.VariantType.Int32),
            ua.ObjectIds.Server_ServerStatus_StartTime: ua.Variant(_STARTED, ua.VariantType.DateTime),
            ua.ObjectIds.Server_NamespaceArray: ua.Variant(
                ["http://opcfoundation.org/UA/", "urn:server", "urn:plant"], ua.VariantType.String
            ),
        }
        nodes = [one.NodeId.Identifier for one in asked.NodesToRead]
        return ua.ReadResponse(Results=[ua.DataValue(known.get(node, ua.Variant())) for node in nodes])

    def _subscribe(self, body: Buffer) -> Any:
        asked = struct_from_binary(ua.CreateSubscriptionParameters, body)
        self._most = min(asked.MaxNotificationsPerPublish or MOST_CHANGES, MOST_CHANGES)
        self._interval_s = asked.RequestedPublishingInterval / 1000
        return ua.CreateSubscriptionResponse(
            Parameters=ua.CreateSubscriptionResult(
                SubscriptionId=1,
                RevisedPublishingInterval=asked.RequestedPublishingInterval,
                RevisedLifetimeCount=asked.RequestedLifetimeCount,
                RevisedMaxKeepAliveCount=asked.RequestedMaxKeepAliveCount,
            )
        )

    def _monitor(self, body: Buffer) -> Any:
        asked = struct_from_binary(ua.CreateMonitoredItemsParameters, body)
        for item in asked.ItemsToCreate:
            asset, signal = map(int, _NODE.fullmatch(item.ItemToMonitor.NodeId.Identifier).groups())  # type: ignore[union-attr]  # our own names
            self._handles[asset * self._plant.schedule.signals + signal] = item.RequestedParameters.ClientHandle
        if (self._handles >= 0).all() and self._publisher is None:
            self._publisher = asyncio.create_task(self._publish())
            _tell({"monitored": len(self._handles)})
        results = [ua.MonitoredItemCreateResult(MonitoredItemId=at + 1) for at in range(len(asked.ItemsToCreate))]
        return ua.CreateMonitoredItemsResponse(Results=results)

    def _unsubscribe(self, body: Buffer) -> Any:
        asked = struct_from_binary(ua.DeleteSubscriptionsParameters, body)
        return ua.DeleteSubscriptionsResponse(Results=[ua.StatusCode() for _ in asked.SubscriptionIds])

    async def _publish(self) -> None:
        plant = self._plant
        heard = time.monotonic()
        next_s = time.monotonic()
        while True:
            if plant.sent < plant.rows:
                plant.most_waiting = max(plant.most_waiting, plant.due() - plant.sent)
                while self._requests and plant.sent < plant.due():
                    self._change()
                    heard = time.monotonic()
                    await self._writer.drain()
            elif self._requests and time.monotonic() - heard > _KEEP_ALIVE_S:
                self._respond(b"")
                heard = time.monotonic()
            if plant.sent < plant.rows and not plant.paced:
                self._asked.clear()
                await self._asked.wait()
                continue
            next_s = max(next_s + self._interval_s, time.monotonic())
            await asyncio.sleep(next_s - time.monotonic())

    def _change(self) -> None:
        plant = self._plant
        end = min(plant.sent + self._most, plant.due())
        series = np.arange(plant.sent, end) % plant.schedule.series
        values, times = plant.schedule.values(plant.sent, end), plant.schedule.times_ns(plant.sent, end)
        self._respond(notification.items(self._handles[series], values, times))
        self._sequence += 1
        plant.sent = end
        if plant.sent == plant.rows:
            _tell({"sent": plant.rows, "mostWaiting": plant.most_waiting, "timeNs": time.time_ns()})

    def _respond(self, changes: bytes) -> None:
        request, handle, acknowledged = self._requests.popleft()
        self._send(notification.response(handle, 1, self._sequence, changes, acknowledged), request)


def _tell(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


async def _serve(document: dict[str, Any]) -> None:
    plant = Plant(Schedule.of(document))
    server = await asyncio.start_server(lambda r, w: Connection(plant, r, w).run(), "127.0.0.1", 0, limit=2**20)
    _tell({"port": server.sockets[0].getsockname()[1]})
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():  # the end of the parent ends this too
        command = json.loads(line)
        paced = "pace" in command
        plant.begin(Schedule.of(command["schedule"]), command["pace" if paced else "flood"], paced=paced)


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
