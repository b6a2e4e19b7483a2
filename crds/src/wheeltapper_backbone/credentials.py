"""How a client says who it is: from the folder in which a Secret is mounted, or from the text of a ``.creds`` file."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from wheeltapper_backbone.nkeys import KeyPair, from_seed

FILE: Final = "user.creds"
"""Key of the Secret, and so the file's name."""
_PARTS: Final = re.compile(r"^-{3,}BEGIN ([A-Z ]+)-{3,}\s+(\S+)\s+-{3,}END", re.MULTILINE)
_JWT, _SEED = "NATS USER JWT", "USER NKEY SEED"


def creds_text(jwt: str, user: KeyPair) -> str:
    """Content of a ``.creds`` file as every NATS client reads it."""
    blocks = ((_JWT, jwt), (_SEED, user.seed))
    return "\n".join(f"-----BEGIN {name}-----\n{value}\n------END {name}------\n" for name, value in blocks)


def connect_options(folder: Path) -> dict[str, Any]:
    """Options for ``Client.connect`` from a folder with the file ``user.creds``, else ``username`` and ``password``.

    The files are read again with every connection, so that a Secret that has changed is used without a new start.

    Raises
    ------
    OSError
        If the folder holds neither.
    """
    file = folder / FILE
    if file.exists():
        return creds_options(file.read_text)

    def read(name: str) -> str:
        return (folder / name).read_text().strip()

    read("username"), read("password")  # what is missing is told now, not in the midst of a connection
    return {"user": lambda: read("username"), "password": lambda: read("password")}


def creds_options(read: Callable[[], str]) -> dict[str, Any]:
    """Options for ``Client.connect`` from the text of a ``.creds`` file.

    Raises
    ------
    ValueError
        If the text is none.
    """

    def sign(nonce: str) -> bytes:
        return base64.b64encode(from_seed(_part(read(), _SEED)).sign(nonce.encode()))

    def jwt() -> bytes:
        return _part(read(), _JWT).encode()

    sign(""), jwt()  # as above
    # The client asks these two only where it is given a user as well; who that is nobody asks.
    return {"user": "-", "user_jwt_cb": jwt, "signature_cb": sign}


def _part(text: str, name: str) -> str:
    for found, value in _PARTS.findall(text):
        if found == name:
            return str(value)
    raise ValueError(f"The credentials have no part {name}")
