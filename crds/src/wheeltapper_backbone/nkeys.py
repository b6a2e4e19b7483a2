"""The keys of NATS: Ed25519, written in base32 with a letter for what they are of, and a checksum.

The layout is that of https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth and
of the server's own library. `cryptography` signs: a second library with the same curve would have to be watched, too.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED_BYTES: Final = 32
_SEED_PREFIX: Final = 18 << 3
_CHECKSUM_BYTES: Final = 2


class Role(IntEnum):
    """What a key is of; in base32 the number is the first letter."""

    ACCOUNT = 0 << 3
    OPERATOR = 14 << 3
    USER = 20 << 3


@dataclass(frozen=True)
class KeyPair:
    """A key that signs.

    Raises
    ------
    ValueError
        If the seed does not have :data:`SEED_BYTES`.
    """

    role: Role
    raw_seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw_seed) != SEED_BYTES:
            raise ValueError(f"A seed has {SEED_BYTES} bytes, not {len(self.raw_seed)}")

    @property
    def public(self) -> str:
        """The public key, which names an operator, an account or a user."""
        return _encode(bytes([self.role]) + self._private.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The secret half as text."""
        # Five bits a letter: S, then the letter of the role, which is spread over both bytes.
        return _encode(bytes([_SEED_PREFIX | self.role >> 5, (self.role & 31) << 3]) + self.raw_seed)

    def sign(self, data: bytes) -> bytes:
        """Signature; the same for the same data."""
        return self._private.sign(data)

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.raw_seed)


def from_seed(text: str) -> KeyPair:
    """Key of a seed.

    Raises
    ------
    ValueError
        If the text is no seed, or was cut or altered. The text is not in the message.
    """
    key = _decode(text)
    if key is None:  # raised here, so that what failed to decode, the secret, is not shown as the cause
        raise ValueError("This is no seed of a NATS key")
    return key


def _decode(text: str) -> KeyPair | None:
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
        body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        key = KeyPair(Role((body[0] & 7) << 5 | body[1] >> 3), body[2:])
    except (ValueError, IndexError):
        return None
    return key if checksum == _checksum(body) and body[0] & 0xF8 == _SEED_PREFIX else None


def _encode(body: bytes) -> str:
    return base64.b32encode(body + _checksum(body)).decode().rstrip("=")


def _checksum(body: bytes) -> bytes:
    return binascii.crc_hqx(body, 0).to_bytes(_CHECKSUM_BYTES, "little")
