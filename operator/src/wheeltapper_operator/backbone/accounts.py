"""Accounts on their way to the servers of the backbone, over the system account; all I/O of this package."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import nats.errors
from nats.aio.client import Client

from wheeltapper_backbone.credentials import creds_options
from wheeltapper_backbone.tenant import BackboneError
from wheeltapper_operator.backbone.authority import Authority
from wheeltapper_operator.backbone.jwt import decode

_UPDATE: Final = "$SYS.REQ.CLAIMS.UPDATE"
_DELETE: Final = "$SYS.REQ.CLAIMS.DELETE"
_LOOKUP: Final = "$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP"
_ANSWER_S: Final = 5.0
_CONNECT_S: Final = 5


_ONCE: Final[dict[str, Any]] = {"allow_reconnect": False, "max_reconnect_attempts": 1}  # counts for the first one, too


async def connect(url: str, creds: str, **options: Any) -> Client:
    """Connect with the text of a ``.creds`` file; the caller closes.

    Without ``options``, those of ``Client.connect``, the connection is not made again once it is lost.

    Raises
    ------
    BackboneError
        If no server takes the connection.
    """
    client = Client()
    try:
        await client.connect(
            url,
            name="wheeltapper-operator",
            connect_timeout=_CONNECT_S,
            **({"error_cb": _ignore} | (options or _ONCE)),
            **creds_options(lambda: creds),
        )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        await client.close()  # else a connection that was only half made stays open
        raise BackboneError(f"The backbone at {url} takes no connection: {error or type(error).__name__}") from error
    except BaseException:
        await client.close()
        raise
    if not client.is_connected:  # a server that hangs up without a word is no error to the client library
        await client.close()
        raise BackboneError(f"The backbone at {url} takes no connection: it hung up")
    return client


async def ensure_account(
    client: Client, authority: Authority, tenant: str, storage_bytes: int, *, grow_only: bool = False
) -> bool:
    """Have the servers hold a tenant's account with its limits; says whether there was anything to change.

    With ``grow_only`` one that has more keeps it: its streams have to shrink first, for a server refuses to change one
    while all of them together have more than their account.

    It is issued anew with the time of now. Two with the same time could take each other's place where a server that was
    away compares its own with its neighbours', and one that was deleted does not come back with the very same claims.

    Raises
    ------
    BackboneError
        If the servers refuse it, or do not answer.
    """
    wanted = authority.account(tenant, storage_bytes)
    current = await _current(client, wanted.public_key)
    before = {} if current is None else decode(current)
    after = decode(wanted.jwt)
    if (before.get("nats"), before.get("iss")) == (after["nats"], after["iss"]):
        return False
    if grow_only and before.get("iss") == after["iss"] and _storage_of(before) >= storage_bytes:
        return False
    issued_s = max(int(time.time()), int(before.get("iat", 0)) + 1)
    await push_account(client, authority.account(tenant, storage_bytes, issued_s).jwt)
    return True


def _storage_of(claims: dict[str, Any]) -> int:
    return int(claims["nats"].get("limits", {}).get("disk_storage", 0))


async def has_account(client: Client, authority: Authority, tenant: str) -> bool:
    """Whether the servers know a tenant's account.

    Raises
    ------
    BackboneError
        If they do not answer.
    """
    return await _current(client, authority.account(tenant, 0).public_key) is not None


async def push_account(client: Client, jwt: str) -> None:
    """Tell the servers of an account, or of its new limits. No client of it is closed for that.

    Raises
    ------
    BackboneError
        If they refuse it, or do not answer.
    """
    await _tell(client, _UPDATE, jwt, f"the account {decode(jwt).get('name', '')}")


async def delete_account(client: Client, authority: Authority, tenant: str) -> None:
    """Have the servers forget a tenant's account; its users are disconnected. What its streams hold stays on disk.

    One that they do not know is no error.

    Raises
    ------
    BackboneError
        If they refuse, or do not answer.
    """
    account = authority.account(tenant, 0).public_key
    if await _current(client, account) is not None:
        await _tell(client, _DELETE, authority.deletion(account), f"that the account {tenant} goes")


async def _current(client: Client, account: str) -> str | None:
    """The account as the servers have it."""
    answer = await _request(client, _LOOKUP.format(account=account), b"", f"about the account {account}")
    return answer.decode() or None


async def _tell(client: Client, subject: str, jwt: str, what: str) -> None:
    answer: dict[str, Any] = json.loads(await _request(client, subject, jwt.encode(), f"about {what}"))
    if error := answer.get("error"):
        raise BackboneError(f"The backbone refuses {what}: {error.get('description', error)}")


async def _request(client: Client, subject: str, data: bytes, what: str) -> bytes:
    try:
        answer: bytes = (await client.request(subject, data, timeout=_ANSWER_S)).data
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise BackboneError(f"The backbone does not answer {what}: {error or type(error).__name__}") from error
    return answer


async def _ignore(_: Exception) -> None:
    """The caller sees the failure of its own call."""
