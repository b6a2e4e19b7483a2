"""One session with an OPC UA server: the few services a collector needs, on the library's transport and security.

The library's own subscription acknowledges before anybody has the data and drops what its consumer is too slow for; its
reconnection serves that subscription. So the publish loop and the reconnection are the source's own, and only channel,
session and encodings are the library's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary
from asyncua.ua.uaerrors import BadMessageNotAvailable, UaError
from cryptography import x509

from wheeltapper_workers.sources.opcua_decode import Past, Publication, history, publication, republication
from wheeltapper_workers.sources.opcua_items import Item
from wheeltapper_workers.sources.opcua_words import SetupError

APPLICATION: Final = "Wheeltapper collector"
APPLICATION_URI: Final = "urn:wheeltapper:collector"
_HISTORY_S: Final = 30.0
_NOTIFICATIONS: Final = 5_000
"""Largest number of data changes in one publication: what becomes one block."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in seconds. With the defaults a dead server is noticed within 8 s."""

    answer_s: float = 4.0
    """Longest wait for an answer."""
    watch_s: float = 4.0
    """Between two looks whether the server is there."""
    keep_alive_s: float = 5.0
    """Longest silence of a subscription without data."""
    session_s: float = 300.0
    """How long the server keeps session and subscription for a collector that is gone."""
    retry_s: float = 30.0
    """Between two attempts at a node the server refused."""
    first_delay_s: float = 0.5
    last_delay_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Security:
    """Security and identity. Not shown by ``repr``, so never in a log."""

    policy: str = "None"
    mode: str = "None"
    secret: Path | None = None

    def read(self, name: str) -> bytes | None:
        """A file of the secret, or None.

        Raises
        ------
        SetupError
            If it is there and cannot be read.
        """
        if self.secret is None or not (path := self.secret / name).is_file():
            return None
        try:
            return path.read_bytes()
        except OSError as error:
            raise SetupError(f"{name} of its secret cannot be read: {error.strerror}. Check the secret.") from error

    def text(self, name: str) -> str | None:
        """A file of the secret as text, without the line end an editor may have left."""
        data = self.read(name)
        return None if data is None else data.decode("utf-8", "replace").rstrip("\r\n")


class Session:
    """A session and its one subscription."""

    def __init__(self, endpoint: str, security: Security, timing: Timing) -> None:
        self._client = Client(endpoint, timeout=timing.answer_s)
        self._client.name = self._client.description = APPLICATION
        self._client.application_uri = APPLICATION_URI
        self._client.session_timeout = int(timing.session_s * 1000)
        self._security, self._timing = security, timing
        self._username = security.text("username")
        self._password = security.text("password")
        self._user_certificate: x509.Certificate | None = None
        self.start_time: object = None
        """When the server was started: by it one tells whether it is still the same."""
        self.subscription = 0
        self.last_sequence: int | None = 0
        """Of the last publication that carried something; None where that is not known."""
        self.keep_alive_s = timing.keep_alive_s
        """Longest silence of the subscription the server agreed to."""
        self._namespaces: list[str] = []

    async def connect(self) -> None:
        """Open channel and session.

        Raises
        ------
        OSError, TimeoutError, asyncua.ua.uaerrors.UaError, SetupError
            If that fails; nothing is left open.
        """
        await self._set_security()
        await self._open_channel()
        try:
            created = await self._client.create_session()
            self._user_certificate = await self._certificate_user(created)
            await self._activate()
            self.start_time = await self._read(ObjectIds.Server_ServerStatus_StartTime)
            namespaces = await self._read(ObjectIds.Server_NamespaceArray)
            self._namespaces = namespaces if isinstance(namespaces, list) else []
        except BaseException:
            self.drop()
            raise

    async def resume(self) -> None:
        """Take the session up again on a new channel: the subscription went on, and what it had to say was kept.

        Raises
        ------
        OSError, TimeoutError, asyncua.ua.uaerrors.UaError
            If the server does not know the session any more, among other things.
        """
        self.drop()
        await self._open_channel()
        try:
            self._client.uaclient.session.rebind_authentication_token()
            await self._activate()
        except BaseException:
            self.drop()
            raise

    async def _open_channel(self) -> None:
        await self._client.connect_socket()
        try:
            await self._client.send_hello()
            await self._client.open_secure_channel()
        except BaseException:
            self.drop()
            raise

    async def _activate(self) -> None:
        await self._client.activate_session(
            username=self._username, password=self._password, certificate=self._user_certificate
        )

    async def _set_security(self) -> None:
        if self._security.policy == "None":
            return
        certificate, key = self._security.read("certificate"), self._security.read("privateKey")
        if certificate is None or key is None:
            raise SetupError(
                f"security policy {self._security.policy} needs certificate and privateKey. Name a secret with both in "
                "credentialsRef of the connection."
            )
        try:
            self._client.application_uri = _uri_of(_certificate(certificate))
            await self._client.set_security(
                getattr(security_policies, f"SecurityPolicy{self._security.policy}"),
                uacrypto.CertProperties(certificate, _format(certificate)),
                uacrypto.CertProperties(key, _format(key)),
                mode=getattr(ua.MessageSecurityMode, self._security.mode),
            )
        except (ValueError, TypeError) as error:
            # The cause is left out on purpose: it could quote the key.
            raise SetupError("certificate or privateKey is no valid PEM or DER file. Correct the secret.") from error

    async def _certificate_user(self, created: ua.CreateSessionResult) -> x509.Certificate | None:
        """The certificate as the user, where the server lets in neither a name we have nor anybody."""
        certificate, key = self._security.read("certificate"), self._security.read("privateKey")
        tokens = {policy.TokenType for endpoint in created.ServerEndpoints for policy in endpoint.UserIdentityTokens}
        anonymous = ua.UserTokenType.Anonymous in tokens or ua.UserTokenType.Certificate not in tokens
        if self._username or anonymous or certificate is None or key is None:
            return None
        self._client.user_private_key = await uacrypto.load_private_key(key, None, _format(key))
        return _certificate(certificate)

    async def probe(self) -> None:
        """See whether the server answers."""
        await self._read(ObjectIds.Server_ServerStatus_State)

    async def _read(self, node: int) -> Any:
        (value,) = await self._client.uaclient.read_attributes([ua.NodeId(ua.Int32(node))], AttributeIds.Value)
        return value.Value.Value if value.Value is not None else None

    @property
    def renew_after_s(self) -> float:
        """When the channel is to be renewed: at three quarters of its life (part 4, 5.5.2.1)."""
        return float(self._client.secure_channel_timeout) * 0.75 / 1000

    async def renew(self) -> None:
        """Renew the secure channel."""
        await self._client.open_secure_channel(renew=True)
        self._client.uaclient.revolve_security_token()

    async def subscribe(self, publishing_ns: int) -> None:
        """Create the subscription; its keep-alive and lifetime follow from the timing."""
        interval_s = publishing_ns / 1e9
        keep_alive = max(int(self._timing.keep_alive_s / interval_s), 1)
        request = ua.CreateSubscriptionRequest()
        request.Parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=publishing_ns / 1e6,
            RequestedLifetimeCount=max(int(self._timing.session_s / interval_s), 3 * keep_alive),
            RequestedMaxKeepAliveCount=keep_alive,
            MaxNotificationsPerPublish=_NOTIFICATIONS,
            PublishingEnabled=True,
            Priority=0,
        )
        response = struct_from_binary(ua.CreateSubscriptionResponse, await self._transport.send_request(request))
        granted = response.Parameters
        self.subscription, self.last_sequence = int(granted.SubscriptionId), 0
        self.keep_alive_s = granted.RevisedPublishingInterval * granted.RevisedMaxKeepAliveCount / 1000

    async def publish(self, acknowledged: Sequence[int]) -> Publication:
        """Ask for the next publication and acknowledge earlier ones; waits as long as it takes."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(SubscriptionId=self.subscription, SequenceNumber=one) for one in acknowledged
        ]
        data = await self._transport.send_request(request, timeout=0)
        _skip_header(data)
        return publication(data.read(len(data)))

    async def republish(self, sequence: int) -> Publication | None:
        """A publication that did not arrive, or None if the server does not have it."""
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = self.subscription
        request.Parameters.RetransmitSequenceNumber = sequence
        try:
            data = await self._transport.send_request(request)
        except BadMessageNotAvailable:
            return None
        _skip_header(data)
        found = republication(data.read(len(data)), self.subscription)
        return found if found.sequence == sequence and not found.empty else None

    async def take_over(self, subscription: int) -> tuple[int, ...]:
        """Make a subscription of an earlier session this one's (part 4, 5.13.7).

        Returns
        -------
        tuple
            Numbers of the publications that nobody has acknowledged, in their order.

        Raises
        ------
        OSError, TimeoutError, asyncua.ua.uaerrors.UaError
            If the server does not have it any more, or does not give it away.
        """
        request = ua.TransferSubscriptionsRequest()
        request.Parameters = ua.TransferSubscriptionsParameters(SubscriptionIds=[subscription], SendInitialValues=False)
        response = struct_from_binary(ua.TransferSubscriptionsResponse, await self._transport.send_request(request))
        (result,) = response.Parameters.Results
        result.StatusCode.check()
        self.subscription, self.last_sequence = subscription, None
        return tuple(sorted(result.AvailableSequenceNumbers))

    async def history(
        self, nodes: Sequence[ua.NodeId | None], since: datetime, until: datetime, continuations: Sequence[bytes | None]
    ) -> list[Past]:
        """Raw history of nodes between two times, both included; a node that cannot be resolved has none."""
        details = ua.ReadRawModifiedDetails(IsReadModified=False, StartTime=since, EndTime=until, ReturnBounds=False)
        request = ua.HistoryReadRequest()
        request.Parameters.HistoryReadDetails = details
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [
            ua.HistoryReadValueId(NodeId=self._resolved(node) or ua.NodeId(), ContinuationPoint=continuation)
            for node, continuation in zip(nodes, continuations, strict=True)
        ]
        data = await self._transport.send_request(request, timeout=_HISTORY_S)
        _skip_header(data)
        return history(data.read(len(data)))

    async def monitor(self, items: Sequence[Item], queues: Sequence[int]) -> list[tuple[int, int]]:
        """Create monitored items.

        Returns
        -------
        list
            Status code and the server's id of each.
        """
        params = ua.CreateMonitoredItemsParameters()
        params.SubscriptionId = self.subscription
        params.TimestampsToReturn = ua.TimestampsToReturn.Both
        nodes = [self._resolved(item.node) for item in items]
        params.ItemsToCreate = [
            _request(item, node, queue)
            for item, node, queue in zip(items, nodes, queues, strict=True)
            if node is not None
        ]
        results = iter(await self._client.uaclient.create_monitored_items(params) if params.ItemsToCreate else [])
        unknown = (int(StatusCodes.BadNodeIdUnknown), 0)
        return [
            unknown if node is None else (int((one := next(results)).StatusCode.value), int(one.MonitoredItemId))
            for node in nodes
        ]

    def _resolved(self, node: ua.NodeId | None) -> ua.NodeId | None:
        """Node id with the server's index for its namespace; None if the server has no such namespace."""
        uri = getattr(node, "NamespaceUri", None)
        if node is None or uri is None:
            return node
        if uri not in self._namespaces:
            return None
        return ua.NodeId(node.Identifier, ua.Int16(self._namespaces.index(uri)), node.NodeIdType)

    async def unmonitor(self, server_ids: Sequence[int]) -> None:
        """Delete monitored items."""
        params = ua.DeleteMonitoredItemsParameters()
        params.SubscriptionId = self.subscription
        params.MonitoredItemIds = list(server_ids)
        await self._client.uaclient.delete_monitored_items(params)

    def drop(self) -> None:
        """Let go of the socket without a word; the server keeps the session for a while."""
        self._client.disconnect_socket()

    async def close(self) -> None:
        """Say goodbye: the server deletes the subscription."""
        with contextlib.suppress(OSError, TimeoutError, UaError):
            await self._client.uaclient.close_session(True)
            await self._client.close_secure_channel()
        self.drop()

    @property
    def _transport(self) -> UASocketProtocol:
        transport = self._client.uaclient.protocol
        if transport is None:
            raise ConnectionError("the connection is closed")
        return transport


def _request(item: Item, node: ua.NodeId, queue: int) -> ua.MonitoredItemCreateRequest:
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor.NodeId = node
    request.ItemToMonitor.AttributeId = AttributeIds.Value
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters.ClientHandle = item.handle
    request.RequestedParameters.SamplingInterval = item.sampling_ns / 1e6
    request.RequestedParameters.QueueSize = queue
    request.RequestedParameters.DiscardOldest = True
    if item.filtered:
        # Without it a value that stays the same is not reported, and looks like a sensor that died.
        request.RequestedParameters.Filter = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
    return request


def _skip_header(data: Any) -> None:
    nodeid_from_binary(data)
    struct_from_binary(ua.ResponseHeader, data)


def _format(data: bytes) -> str:
    return "pem" if data.lstrip().startswith(b"-----BEGIN") else "der"


def _certificate(data: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(data) if _format(data) == "pem" else x509.load_der_x509_certificate(data)


def _uri_of(certificate: x509.Certificate) -> str:
    """Application URI of a certificate: servers refuse a session whose URI is another."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return APPLICATION_URI
    found = names.get_values_for_type(x509.UniformResourceIdentifier)
    return found[0] if found else APPLICATION_URI
