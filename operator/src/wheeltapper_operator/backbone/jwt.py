"""The signed claims by which a NATS server knows operator, accounts and users; version 2 of their layout.

Each says only what differs from nothing allowed: a limit that is left out is zero, and -1 is none. The fields are those
of https://pkg.go.dev/github.com/nats-io/jwt/v2.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Final

from wheeltapper_backbone.nkeys import KeyPair

_NO_LIMIT: Final = -1
_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}
_NATS_LIMITS: Final = {"subs": _NO_LIMIT, "data": _NO_LIMIT, "payload": _NO_LIMIT}
_CONNECTIONS: Final = 1000
"""Of a tenant: some hundreds of workers, and people beside them."""
_SUBSCRIPTIONS: Final = 100_000


def operator_claims(system_account: str) -> dict[str, Any]:
    """Claims of the operator."""
    return {"type": "operator", "version": 2, "system_account": system_account}


def account_claims(storage_bytes: int) -> dict[str, Any]:
    """Claims of an account.

    Parameters
    ----------
    storage_bytes : int
        What its streams may take on disk, all replicas together; none may be without a bound. An account with 0 keeps
        no streams.
    """
    limits: dict[str, Any] = _NATS_LIMITS | {"subs": _SUBSCRIPTIONS, "conn": _CONNECTIONS}
    if storage_bytes:
        limits |= {"disk_storage": storage_bytes, "streams": _NO_LIMIT, "consumer": _NO_LIMIT}
        limits |= {"max_ack_pending": _NO_LIMIT, "max_bytes_required": True}
    return {"type": "account", "version": 2, "limits": limits}


def user_claims() -> dict[str, Any]:
    """Claims of a user who may do everything within the account."""
    return {"type": "user", "version": 2, **_NATS_LIMITS}


def deletion_claims(account: str) -> dict[str, Any]:
    """Claims by which an operator tells the servers to forget an account."""
    return {"type": "generic", "version": 2, "accounts": [account]}


def encode(claims: dict[str, Any], subject: str, name: str, issuer: KeyPair, issued_s: int) -> str:
    """Signed claims; the same bytes for the same arguments.

    Parameters
    ----------
    claims : dict
        What they say.
    subject, name : str
        Public key of whom they are about, and a name for people.
    issuer : KeyPair
        Who signs.
    issued_s : int
        Seconds since 1970. Of two about one subject the servers keep the later among themselves.
    """
    body = {"iat": issued_s, "iss": issuer.public, "name": name, "nats": claims, "sub": subject}
    body["jti"] = base64.b32encode(hashlib.sha256(_json(body)).digest()).decode().rstrip("=")
    signed = f"{_base64(_json(_HEADER))}.{_base64(_json(body))}"
    return f"{signed}.{_base64(issuer.sign(signed.encode()))}"


def decode(text: str) -> dict[str, Any]:
    """What signed claims say; the signature is for the servers to check.

    Raises
    ------
    ValueError
        If the text is none.
    """
    try:
        _, body, _ = text.split(".")
        document = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except ValueError as error:
        raise ValueError("These are no signed claims") from error
    if not isinstance(document, dict):
        raise ValueError("These are no signed claims")  # noqa: TRY004 - of a text, not of an argument's type
    return document


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
