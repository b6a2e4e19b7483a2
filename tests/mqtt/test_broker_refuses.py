"""A broker that cannot be reached or does not let us in: clear words with the remedy, no password in them, no end."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from tests.mqtt.conftest import config, series
from tests.support.nats import free_port


class Nowhere:
    port = free_port()


async def test_nothing_answers(read):
    reader = read(config(Nowhere, series("flow")))
    await reader.until(lambda: "Start the broker" in reader.source.connection().message)
    assert "connection hall-2 of plant riverside" in reader.source.connection().message


def _passwords(folder):
    file = folder / "passwords"
    if shutil.which("mosquitto_passwd") is None and not os.environ.get("CI"):
        pytest.skip("mosquitto is not installed; apt-get install mosquitto")
    subprocess.run(["mosquitto_passwd", "-b", "-c", file, "reader", "s3cret"], check=True)
    file.chmod(0o644)
    return file


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_wrong_password_is_told_never_shown_and_mended(broker, read, tmp_path, folder, version, caplog):
    real = broker("allow_anonymous false", f"password_file {_passwords(folder)}")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "username").write_text("reader\n")
    (secret / "password").write_text("wr0ng\n")
    reader = read(config(real, series("flow"), version=version), secret=secret)
    await reader.until(lambda: "Check username and password" in reader.source.connection().message)
    assert "wr0ng" not in reader.source.connection().message + caplog.text
    (secret / "password").write_text("s3cret\n")
    await reader.connected()


async def test_a_topic_that_may_not_be_read_is_a_problem_of_its_signal_alone(broker, read, publisher):
    real = broker()
    reader = read(config(real, series("flow"), series("secret", signal="level")))
    await reader.connected()
    # This broker grants every subscription and only keeps the messages back; others answer like this.
    refusal = ReasonCode(PacketTypes.SUBACK, "Not authorized")
    reader.source._asked[999] = ["secret"]
    reader.source._on_subscribe(None, None, 999, [refusal], None)
    (problem,) = reader.source.problems()
    assert (problem.asset, problem.signal, problem.kind) == ("p-101", "level", "address")
    assert "Allow this user" in problem.message
    publisher(real).send("flow", "1")
    await reader.until(lambda: reader.values() == [1])


async def test_a_path_that_is_none_is_a_problem_of_its_signal_alone(broker, read, publisher):
    real = broker()
    reader = read(config(real, series("a", "flow..x"), series("flow", signal="level")))
    await reader.connected()
    assert "is no path" in reader.source.problems()[0].message
    publisher(real).send("flow", "1")
    await reader.until(lambda: reader.values(1) == [1])


async def test_a_second_collector_with_our_name_is_told(broker, read):
    real = broker()
    first = read(config(real, series("flow")))
    await first.connected()
    second = read(config(real, series("flow")))
    await first.until(lambda: "runs twice" in first.source.connection().message)
    await second.close()
    await first.connected()


class Authority:
    """Certificates for this machine's loopback."""

    def __init__(self, folder):
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign("Test authority", self.key.public_key(), 30, authority=True)
        (folder / "ca.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name, days):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key.public_key(), days)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / f"{name}.key").write_bytes(pem)
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        for suffix in ("key", "pem"):
            (self.folder / f"{name}.{suffix}").chmod(0o644)
        return [
            f"cafile {self.folder}/ca.pem",
            f"certfile {self.folder}/{name}.pem",
            f"keyfile {self.folder}/{name}.key",
        ]

    def _sign(self, name, key, days, authority=False):
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = subject if authority else self.certificate.subject
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        own = x509.SubjectKeyIdentifier.from_public_key(key)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        usage = x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)
        builder = (
            x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=60))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(names), False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), True)
            .add_extension(own, False)
            .add_extension(signer, False)
            .add_extension(usage, True)
        )
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture
def authority(folder):
    (folder / "tls").mkdir()
    return Authority(folder / "tls")


@pytest.fixture
def secret(tmp_path, authority):
    place = tmp_path / "secret"
    place.mkdir()
    (place / "ca").write_bytes((authority.folder / "ca.pem").read_bytes())
    return place


async def test_tls_with_a_client_certificate(broker, read, authority, secret, publisher):
    authority.issue("collector", 30)
    for name, file in (("certificate", "collector.pem"), ("privateKey", "collector.key")):
        (secret / name).write_bytes((authority.folder / file).read_bytes())
    real = broker(*authority.issue("broker", 30), "require_certificate true")
    reader = read(config(real, series("flow"), scheme="mqtts"), secret=secret)
    await reader.connected()


async def test_an_expired_certificate_is_told_and_not_accepted(broker, read, authority, secret):
    real = broker(*authority.issue("broker", -1))
    reader = read(config(real, series("flow"), scheme="mqtts"), secret=secret)
    await reader.until(lambda: "certificate has expired" in reader.source.connection().message)
    assert "Renew it" in reader.source.connection().message


async def test_an_unknown_issuer_is_not_accepted(broker, read, authority):
    real = broker(*authority.issue("broker", 30))
    reader = read(config(real, series("flow"), scheme="mqtts"))
    await reader.until(lambda: "secret as ca" in reader.source.connection().message)


async def test_a_port_without_tls_is_told(broker, read, secret):
    real = broker()
    reader = read(config(real, series("flow"), scheme="mqtts"), secret=secret)
    await reader.until(
        lambda: "TLS" in reader.source.connection().message or "certificate" in reader.source.connection().message
    )


async def test_a_message_of_100_mb_harms_nothing(broker, read, publisher):
    real = broker()
    reader, old = (
        read(config(real, series("flow"))),
        read(config(real, series("level"), version="3.1.1").model_copy(update={"name": "old"})),
    )
    await reader.connected()
    await old.connected()
    sender = publisher(real)
    huge = b"1" * 100_000_000
    sender.client.publish("flow", huge, qos=1).wait_for_publish(30)
    sender.client.publish("level", huge, qos=1).wait_for_publish(30)
    sender.send("flow", "2")
    sender.send("level", "2")
    await reader.until(lambda: 2 in reader.values(), seconds=40)
    await old.until(lambda: 2 in old.values(), seconds=40)
    assert reader.values() == [2]  # a broker of version 5 keeps it back
    assert "more than a message may have" in old.rows[0]["text"]
