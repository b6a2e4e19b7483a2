"""The authority over the backbone's accounts: every key and every signed claim, derived from one random seed.

So one Secret is kept, made once and never changed, and the same tenant always has the same account. Pure but for
:meth:`Authority.create`, which asks the machine for random bytes and the time.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wheeltapper_backbone.credentials import creds_text
from wheeltapper_backbone.nkeys import SEED_BYTES, KeyPair, Role
from wheeltapper_operator.backbone.jwt import account_claims, deletion_claims, encode, operator_claims, user_claims
from wheeltapper_operator.names import ACCOUNTS_FOLDER, RESOLVER_FILE

_ROOT: Final = "root"
_ISSUED: Final = "issued"


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the backbone."""

    public_key: str
    jwt: str


@dataclass(frozen=True)
class Authority:
    """Signs for the backbone.

    Parameters
    ----------
    root
        Random bytes; whoever has them has every account.
    issued_s
        When they were made, seconds since 1970, which is in all that is signed, so that signing again gives the same.
    """

    root: bytes = field(repr=False)
    issued_s: int

    @classmethod
    def create(cls) -> Self:
        """A new one, which knows none of the accounts of any other."""
        return cls(secrets.token_bytes(SEED_BYTES), int(time.time()))

    @classmethod
    def from_secret(cls, data: Mapping[str, str]) -> Self:
        """The one that a Secret holds.

        Parameters
        ----------
        data
            ``data`` of the Secret as the API server gives it, in base64.

        Raises
        ------
        ValueError
            If a part is missing or damaged; it says which.
        """
        try:
            root = base64.b64decode(data[_ROOT], validate=True)
            issued_s = int(base64.b64decode(data[_ISSUED], validate=True))
        except KeyError as error:
            raise ValueError(f"The Secret has no key {error}") from error
        except (binascii.Error, ValueError):  # not chained: it would show the secret
            raise ValueError(f"The keys {_ROOT} and {_ISSUED} of the Secret are damaged") from None
        if len(root) != SEED_BYTES:
            raise ValueError(f"The key {_ROOT} of the Secret has {len(root)} bytes, not {SEED_BYTES}")
        return cls(root, issued_s)

    def to_secret(self) -> dict[str, str]:
        """``data`` of the Secret, in base64; with it a server of the backbone starts."""
        content = {
            _ROOT: self.root,
            _ISSUED: str(self.issued_s).encode(),
            RESOLVER_FILE: self.resolver_config(ACCOUNTS_FOLDER).encode(),
        }
        return {key: base64.b64encode(value).decode() for key, value in content.items()}

    def resolver_config(self, folder: str) -> str:
        """Part of a server's configuration by which it trusts this authority and nobody else.

        Parameters
        ----------
        folder
            Where the server keeps the accounts that it was told of.
        """
        system = self._system()
        config = {
            "operator": self._sign(operator_claims(system.public_key), self._operator, "wheeltapper"),
            "system_account": system.public_key,
            # Servers compare their accounts every 10 s: one that was away learns what it has missed.
            "resolver": {"type": "full", "dir": folder, "allow_delete": True, "interval": "10s"},
            "resolver_preload": {system.public_key: system.jwt},
        }
        # The server's language takes JSON, but only without the outermost braces where a file is included.
        return "".join(f"{key}: {json.dumps(value, indent=2)}\n" for key, value in config.items())

    def account(self, tenant: str, storage_bytes: int, issued_s: int = 0) -> Account:
        """Account of a tenant.

        Parameters
        ----------
        tenant
            Name of the tenant.
        storage_bytes
            What its streams may take on disk, all replicas together.
        issued_s
            When it gets these limits; left out, when the authority was made. Of two the servers keep the later.
        """
        return self._account(f"account/{tenant}", tenant, storage_bytes, max(issued_s, self.issued_s))

    def user(self, tenant: str, name: str) -> str:
        """Credentials of a user of a tenant's account, as the text of a ``.creds`` file."""
        return self._user(f"user/{tenant}/{name}", self._key(Role.ACCOUNT, f"account/{tenant}"), f"{tenant}/{name}")

    def system_user(self) -> str:
        """Credentials of a user of the system account, who may change accounts."""
        return self._user("user/system", self._key(Role.ACCOUNT, "system"), "wheeltapper-operator")

    def deletion(self, account: str) -> str:
        """What tells the servers to forget an account."""
        return self._sign(deletion_claims(account), self._operator, "wheeltapper")

    @property
    def _operator(self) -> KeyPair:
        return self._key(Role.OPERATOR, "operator")

    def _system(self) -> Account:
        return self._account("system", "SYS", 0, self.issued_s)

    def _account(self, info: str, name: str, storage_bytes: int, issued_s: int) -> Account:
        public = self._key(Role.ACCOUNT, info).public
        return Account(public, encode(account_claims(storage_bytes), public, name, self._operator, issued_s))

    def _user(self, info: str, account: KeyPair, name: str) -> str:
        user = self._key(Role.USER, info)
        return creds_text(encode(user_claims(), user.public, name, account, self.issued_s), user)

    def _sign(self, claims: dict[str, object], key: KeyPair, name: str) -> str:
        return encode(claims, key.public, name, key, self.issued_s)

    def _key(self, role: Role, info: str) -> KeyPair:
        derived = HKDF(SHA256(), SEED_BYTES, salt=b"wheeltapper-backbone", info=info.encode()).derive(self.root)
        return KeyPair(role, derived)
