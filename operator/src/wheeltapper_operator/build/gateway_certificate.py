"""The certificate of a tenant's gateway: made of a secret, so that making it again gives the same one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from wheeltapper_operator.build.gateway import NAME

_VALID: Final = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Pair:
    """Certificate and key in PEM, as a Secret of the type ``kubernetes.io/tls`` has them."""

    certificate: str
    key: str


def certificate(seed: bytes, namespace: str, issued: datetime) -> Pair:
    """Certificate of the gateway in a namespace, signed by itself: clients know it by the Service's annotation.

    Parameters
    ----------
    seed
        32 secret bytes of this gateway alone.
    issued
        From when on it is valid; the same time gives the same bytes, since Ed25519 signs without chance.
    """
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{NAME}.{namespace}"[:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    signs = {"digital_signature": True}
    others = (
        "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(int.from_bytes(identifier.digest[:16]))
        .not_valid_before(issued)
        .not_valid_after(issued + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{NAME}.{namespace}.svc")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**signs, **dict.fromkeys(others, False)), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, None)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(made.public_bytes(Encoding.PEM).decode(), private.decode())
