"""The certificates of a cluster that lives for a day at most, and the files by which its programs speak to it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = dt.timedelta(days=30)


class Authority:
    """A certificate authority that signs for both sides of a connection."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("wheeltapper-test-cluster")
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_SIGNING, critical=True)
        self.certificate = _pem(builder.sign(self._key, hashes.SHA256()))
        (folder / "ca.crt").write_bytes(self.certificate)
        _write_key(folder / "ca.key", self._key)

    def issue(self, file: str, user: str, group: str = "", hosts: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
        """Write and return certificate and key of a user, and of a server where hosts are given."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(user, group), self._name, key.public_key())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        certificate = _pem(builder.sign(self._key, hashes.SHA256()))
        (self.folder / f"{file}.crt").write_bytes(certificate)
        return certificate, _write_key(self.folder / f"{file}.key", key)

    def kubeconfig(self, file: Path, server: str, user: str, group: str = "") -> None:
        """Write a file by which a user speaks to the API server at an address."""
        certificate, key = self.issue(file.stem, user, group)
        content = kubeconfig(server, self.certificate, certificate, key)
        file.write_text(json.dumps(content, indent=1))
        file.chmod(0o600)


def kubeconfig(server: str, authority: bytes, certificate: bytes, key: bytes) -> dict[str, Any]:
    """Content of a kubeconfig that needs no other file."""
    user = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
    cluster = {"server": server, "certificate-authority-data": _base64(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "tests", "user": user}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        "current-context": "tests",
    }


def service_account_key(folder: Path) -> None:
    """Write the pair of keys with which the API server signs the tokens of service accounts."""
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / "service-account.key", key)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "service-account.pub").write_bytes(public)


_SIGNING = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    # An hour back, for a machine whose clock is set right while the cluster starts.
    builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + _LIFE)
    return builder.serial_number(x509.random_serial_number())


def _name(user: str, group: str = "") -> x509.Name:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    return x509.Name([*([x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []), *names])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(encoding, layout, serialization.NoEncryption())
    file.touch(mode=0o600)
    file.write_bytes(pem)
    return pem


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
