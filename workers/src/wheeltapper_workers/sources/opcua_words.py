"""What went wrong with an OPC UA server, in words for people, each with the remedy. Never a credential in it."""

from __future__ import annotations

import errno
import socket
from typing import Final

import numpy as np
import numpy.typing as npt
from asyncua.ua import status_codes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from wheeltapper_api.config import SeriesConfig
from wheeltapper_api.wire import Quality

_CREDENTIALS: Final = frozenset(
    {"BadUserAccessDenied", "BadIdentityTokenRejected", "BadIdentityTokenInvalid", "BadUserSignatureInvalid"}
)
_SECURITY: Final = frozenset(
    {"BadSecurityPolicyRejected", "BadSecurityModeRejected", "BadSecurityModeInsufficient", "BadRequestTypeInvalid"}
)
_FULL: Final = frozenset({"BadTooManySessions", "BadMaxConnectionsReached", "BadTcpNotEnoughResources"})
_NODE: Final = {
    "BadNodeIdUnknown": "does not exist on",
    "BadNodeIdInvalid": "is no valid node id for",
    "BadAttributeIdInvalid": "has no value on",
    "BadNotReadable": "cannot be read on",
    "BadUserAccessDenied": "may not be read by this user on",
}


class SetupError(Exception):
    """A connection that cannot work as it is configured. Its text is for people."""


def status_name(code: int) -> str:
    """Symbolic name of a status code, such as ``BadNodeIdUnknown``."""
    known: tuple[str, str] | None = status_codes.code_to_name_doc.get(code & 0xFFFF0000)
    return known[0] if known else f"0x{code:08X}"


def quality_of(status: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint16]:
    """Flags of status codes: the severity is in the two highest bits (part 4, 7.39)."""
    severity = status >> 30
    flags = np.where(severity >= 2, int(Quality.BAD), np.where(severity == 1, int(Quality.UNCERTAIN), 0))
    return flags.astype(np.uint16)


def lost_before(status: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Whether the overflow bit is set: InfoType DataValue (bits 10, 11) and bit 7 (part 4, 7.39.1)."""
    overflow: npt.NDArray[np.bool_] = status & np.uint32(0xC80) == np.uint32(0x480)
    return overflow


def cannot_connect(error: BaseException, endpoint: str, name: str, plant: str) -> str:
    """Why a connection fails and what to do about it."""
    where = f"connection {name} of plant {plant}"
    if isinstance(error, SetupError):
        return f"Cannot use {endpoint}: {error}"
    if isinstance(error, UaError):
        return _refused(error, endpoint, where)
    if isinstance(error, socket.gaierror):
        return (
            f"Cannot reach {endpoint}: the host name is unknown. Correct the endpoint of {where}, or the name service."
        )
    if isinstance(error, TimeoutError) or getattr(error, "errno", None) == errno.ETIMEDOUT:
        return (
            f"Cannot reach {endpoint}: no answer. Check that the server runs and that the network and its firewalls "
            f"let this worker through, or correct the endpoint of {where}."
        )
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return f"Cannot reach {endpoint}: connection refused. Start the server, or correct the endpoint of {where}."
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"Cannot reach {endpoint}: {reason}. Check the server and the endpoint of {where}."


def _refused(error: UaError, endpoint: str, where: str) -> str:
    code = type(error).__name__ if isinstance(error, UaStatusCodeError) else ""
    if code in _CREDENTIALS:
        return (
            f"{endpoint} refuses the credentials ({code}). Correct the secret that credentialsRef of {where} names, "
            "or let this user in on the server."
        )
    if code in _SECURITY or "No matching endpoints" in str(error):
        return (
            f"{endpoint} does not offer the security asked for. Set security of {where} to a policy and mode that the "
            "server offers."
        )
    if code.startswith("BadCertificate") or code == "BadSecurityChecksFailed":
        return (
            f"{endpoint} does not accept the certificate ({code}). Trust the certificate of {where} on the server, "
            "or renew it."
        )
    if code in _FULL:
        return f"{endpoint} has no room for another session ({code}). Close sessions there, or raise its limit."
    return f"{endpoint} refuses: {code or error}. Check the server's log and {where}."


def lost_connection(error: BaseException, endpoint: str) -> str:
    """Why a connection that worked does not work any more."""
    reason = type(error).__name__ if isinstance(error, UaStatusCodeError) else str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        reason = "it does not answer"
    return f"Lost {endpoint}: {reason}. Connecting again; nothing to do if the server was restarted."


def bad_address(series: SeriesConfig, endpoint: str, code: int) -> str:
    """Why a node cannot be read."""
    name = status_name(code)
    what = _NODE.get(name, "is refused by")
    return (
        f"{series.asset}/{series.signal}: node {series.address} {what} {endpoint} ({name}); "
        f"correct spec.signals[].node of twin {series.asset}."
    )


def malformed_address(series: SeriesConfig, reason: str) -> str:
    """Why a node id cannot even be asked for."""
    return (
        f"{series.asset}/{series.signal}: {series.address!r} is no node id ({reason}); write spec.signals[].node of "
        f"twin {series.asset} as ns=2;s=Name, ns=2;i=1234 or nsu=urn:namespace;s=Name."
    )
