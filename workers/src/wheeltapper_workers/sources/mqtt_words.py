"""What went wrong with an MQTT broker, in words for people, each with the remedy. Never a credential in it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Final

from wheeltapper_api.config import CollectorConfig

_CREDENTIALS: Final = frozenset({"Bad user name or password", "Not authorized", "Bad authentication method"})


class RefusedError(Exception):
    """The broker refused the connection; its text is the reason code's name."""


def read(secret: Path | None, name: str) -> str | None:
    """A file of the secret as text, without the line end an editor may have left."""
    if secret is None or not (path := secret / name).is_file():
        return None
    return path.read_text(errors="replace").rstrip("\r\n")


def cannot_connect(error: BaseException, config: CollectorConfig) -> str:
    """Why a connection fails and what to do about it."""
    where = f"{config.endpoint} (connection {config.name} of plant {config.plant})"
    if isinstance(error, RefusedError):
        return _refusal(str(error), where)
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {where} is not accepted: {error.verify_message}. Renew it, or put the certificate "
            "of its issuer into the secret as ca."
        )
    for kind, text in (
        (ssl.SSLError, "No TLS with {where}: {error}. Check that this port speaks TLS, and our own certificate."),
        (socket.gaierror, "The name of {where} is not known. Check the url."),
        (ConnectionRefusedError, "Nothing answers at {where}. Start the broker or check the url."),
        (TimeoutError, "{where} does not answer. Check the network and the url, and whether this port speaks TLS."),
    ):
        if isinstance(error, kind):
            return text.format(where=where, error=error)
    tls = " It may speak no TLS on this port." if config.endpoint.startswith("mqtts:") else ""
    return f"Cannot reach {where}: {getattr(error, 'strerror', None) or error}. Check the network and the broker.{tls}"


def _refusal(reason: str, where: str) -> str:
    if reason in _CREDENTIALS:
        return f"The broker {where} refuses the login: {reason}. Check username and password in its secret."
    return f"The broker {where} refuses the connection: {reason}. See the broker's log."


def lost(config: CollectorConfig, reason: str, *, again: bool) -> str:
    """A connection that ended, for a reason the broker gave or for none, and perhaps again and again."""
    if again or reason == "Session taken over":
        return (
            f"The broker {config.endpoint} ends the connection as soon as it is made, as it does when another client "
            "has our name. See whether the collector runs twice."
        )
    because = f" ({reason})" if reason else ""
    return f"Lost the broker {config.endpoint}{because}; connecting again. What it keeps for us comes then."


def refused(topic: str, reason: str, config: CollectorConfig) -> str:
    """A subscription that the broker does not grant."""
    return f"the broker {config.endpoint} does not grant the topic {topic}: {reason}. Allow this user to read it."
