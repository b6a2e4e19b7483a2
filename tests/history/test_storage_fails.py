"""Storage that is away, full or closed: nothing is lost, the status says why, and it goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import http.server
import ipaddress
import logging
import os
import threading
from contextlib import asynccontextmanager, contextmanager

import pyarrow.fs as pafs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.history.conftest import STORE, Stored, event, telemetry
from tests.support.lines import LINE
from tests.support.lossy import Lossy
from tests.support.seaweed import KEYS, Seaweed
from tests.support.waiting import until
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import recorder as module
from wheeltapper_workers.history.historian import Historian, StoreError
from wheeltapper_workers.history.place import PlaceError, open_place
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.recorder import Recorder
from wheeltapper_workers.history.store_words import said
from wheeltapper_workers.history.tables import Store
from wheeltapper_workers.runtime import jetstream

ROWS = "SELECT count(*) AS n, count(DISTINCT (asset, signal, source_time)) AS u FROM raw"


@pytest.fixture
def own(tmp_path):
    """An object store that a test may stop."""
    server = Seaweed(tmp_path / "seaweed")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def backbone(server):
    return server


@asynccontextmanager
async def recording(backbone, root, config, secrets):
    """A recorder that runs, as a worker runs it."""
    client = await jetstream.connect(backbone.url, backbone.credentials, "test")
    recorder = Recorder(client, root, config, secrets)
    await recorder.start()
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def publish(backbone, messages):
    client = await backbone.connect()
    for message in messages:
        await client.jetstream().publish(LINE.subject(Stage.TELEMETRY, "w"), message.payload, headers=message.headers)
    await client.close()


def config(place=None):
    return STORE.model_copy(update={"place": place, "commit_every_ns": 10**8})


def stored(store):
    found = query(store.root, ROWS, LINE.tenant, storage_options=store.options).to_pylist()
    return found[0]["n"], found[0]["u"]


async def test_endpoint_that_goes_away_and_comes_back(own, backbone, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.2)
    secrets = own.secrets(tmp_path / "secrets")
    place = own.place("tables")
    own.kill()
    messages = telemetry(60)
    async with recording(backbone, "", config(place), secrets) as recorder:
        await publish(backbone, messages[:3])
        await until(lambda: "cannot be reached" in recorder.summary()["problem"], what="a word of the missing server")
        own.start()
        await until(lambda: recorder.summary()["commits"] > 0, what="the first commit")
        assert recorder.summary()["problem"] == ""
        own.kill()
        await publish(backbone, messages[3:])
        await until(lambda: "cannot be reached" in recorder.summary()["problem"], what="a word of the lost server")
        assert recorder.summary()["waitingRows"] == 180
        own.start()
        await until(lambda: recorder.summary()["waitingRows"] == 0, what="the rows in the tables")
    assert stored(open_place("", place, secrets)) == (360, 360)
    assert not any(secret in caplog.text for secret in KEYS.values())
    assert "spec.storage.endpoint" in caplog.text


async def test_stop_for_which_there_is_no_time_stores_the_alerts_first(backbone, tmp_path, monkeypatch):
    """The process is killed while it still writes what is large."""
    patient = config().model_copy(update={"commit_every_ns": 3600 * 10**9})
    root = tmp_path / "tables"
    commit = Historian._commit_stage

    def killed(historian, stage, written):
        if stage is Stage.TELEMETRY:
            raise KeyboardInterrupt
        commit(historian, stage, written)

    async with recording(backbone, str(root), patient, tmp_path) as recorder:
        await publish(backbone, telemetry(40))
        client = await backbone.connect()
        await client.jetstream().publish(LINE.subject(Stage.EVENTS, "alert"), event(1, "aaa1").payload)
        await client.close()
        await until(lambda: recorder.summary()["waitingRows"] == 241, what="all of it in memory")
        monkeypatch.setattr(Historian, "_commit_stage", killed)
        recorder._historian.commit, real = (lambda *stages: _until_killed(real, *stages)), recorder._historian.commit
        await recorder.stop()
        assert Historian(str(root), patient).positions()["EVENTS"] == 1
        monkeypatch.undo()


def _until_killed(commit, *stages):
    """A kill cannot be played within a thread; what it leaves behind can."""
    with contextlib.suppress(KeyboardInterrupt):
        commit(*stages)
    return {}


async def test_permission_that_is_lost_and_given_back(own, backbone, tmp_path, monkeypatch):
    """A key is replaced in the Secret; nobody starts anything again."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.2)
    secrets, place = own.secrets(tmp_path / "secrets"), own.place("tables")
    async with recording(backbone, "", config(place), secrets) as recorder:
        await publish(backbone, telemetry(20))
        await until(lambda: recorder.summary()["commits"] > 0)
        own.secrets(tmp_path / "secrets", writer="no-longer-the-secret")
        recorder._historian.use(open_place("", place, secrets))
        await publish(backbone, telemetry(40)[2:])
        await until(lambda: "secret key is not that" in recorder.summary()["problem"], what="a word of the key")
        assert "credentialsRef" in recorder.summary()["problem"]
        own.secrets(tmp_path / "secrets")
        await until(lambda: recorder.summary()["waitingRows"] == 0, what="the rows in the tables")
        assert recorder.summary()["problem"] == ""
    assert stored(open_place("", place, secrets)) == (240, 240)


async def test_secret_that_is_not_there_yet(seaweed, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.2)
    place = seaweed.place("late-secret")
    async with recording(backbone, "", config(place), tmp_path / "secrets") as recorder:
        await publish(backbone, telemetry(20))
        await until(lambda: "has no accessKeyId" in recorder.summary()["problem"])
        seaweed.secrets(tmp_path / "secrets")
        await until(lambda: recorder.summary()["commits"] > 0)
    assert stored(open_place("", place, tmp_path / "secrets")) == (120, 120)


async def test_tables_that_move_begin_with_all_the_streams_have(seaweed, backbone, tmp_path):
    secrets = seaweed.secrets(tmp_path / "secrets")
    place = seaweed.place("moved-to")
    async with recording(backbone, str(tmp_path / "tables"), config(), secrets) as recorder:
        await publish(backbone, telemetry(20))
        await until(lambda: recorder.summary()["commits"] > 0)
        moved = config(place)
        await recorder.configure(type("Document", (), {"store": moved})())
        await until(lambda: recorder._historian._store.root == place.url, what="the new place")
        await until(lambda: recorder._historian.positions()["TELEMETRY"] == 2, what="the rows in the new place")
    assert stored(open_place("", place, secrets)) == (120, 120)
    assert stored(Store(str(tmp_path / "tables"))) == (120, 120)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "s3://no-such-bucket/tables", "secret": "owner"}, "bucket is not there.*spec.storage.url"),
        ({"secret": "reader"}, "access is denied.*write"),
        ({"secret": "stranger"}, "access key is not known"),
        ({"endpoint": "http://nowhere.invalid:9"}, "name is not known"),
        ({"endpoint": "https"}, "speaks no TLS"),
    ],
)
def test_refusal_is_said_with_its_remedy(seaweed, tmp_path, change, words):
    secrets = seaweed.secrets(tmp_path / "secrets", stranger="x")
    if change.get("endpoint") == "https":
        change = {"endpoint": seaweed.endpoint.replace("http:", "https:")}
    store = open_place("", seaweed.place("refused").model_copy(update=change), secrets)
    historian = Historian(store.root, STORE, storage_options=store.options)
    telemetry(10)[0].add_to(historian)
    with pytest.raises(StoreError, match=f"(?s)raw .60 rows wait.*{words}") as caught:
        historian.commit()
    assert historian.buffered_rows == 60
    assert "\x1b" not in str(caught.value)
    assert not any(secret in str(caught.value) + repr(store) for secret in KEYS.values())


class Skewed(http.server.BaseHTTPRequestHandler):
    """Answers as S3 does when the clocks differ by more than a quarter of an hour."""

    def do_GET(self):
        body = b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Say nothing."""


@contextmanager
def served(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_wrong_clock_is_said(seaweed, tmp_path):
    with served(Skewed) as endpoint:
        place = seaweed.place("x").model_copy(update={"endpoint": endpoint})
        store = open_place("", place, seaweed.secrets(tmp_path / "secrets"))
        with pytest.raises(OSError, match="RequestTimeTooSkewed") as caught:
            store.open(LINE.tenant, "raw")
    assert "Set the clock" in said(caught.value)


def test_secret_without_a_key_is_named(seaweed, tmp_path):
    secrets = seaweed.secrets(tmp_path / "secrets")
    (secrets / "writer" / "secretAccessKey").unlink()
    with pytest.raises(PlaceError, match="The Secret writer has no secretAccessKey"):
        open_place("", seaweed.place(), secrets)


def certificate(name, key, issuer=None, issuer_key=None, address="127.0.0.1"):
    """A certificate of an authority, or one for an address that the authority signs."""
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key or key, hashes.SHA256())


def certificates(folder):
    """Files with the certificate of an authority, and with certificate and key of a server."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = certificate("plant authority", authority_key)
    own = certificate("127.0.0.1", key, authority, authority_key)
    files = [folder / name for name in ("ca.crt", "server.crt", "server.key")]
    for file, one in zip(files, (authority, own), strict=False):
        file.write_bytes(one.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files[2].write_bytes(key.private_bytes(*form))
    return files


def test_certificate_of_an_authority_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", os.environ.get("SSL_CERT_FILE", ""))  # put back afterwards
    monkeypatch.delenv("SSL_CERT_FILE")
    authority, *own = certificates(tmp_path)
    server = Seaweed(tmp_path / "seaweed", authority, *own)
    try:
        server.start()
        secrets = server.secrets(tmp_path / "secrets")
        with pytest.raises(OSError, match="certificate") as caught:
            open_place("", server.place("tls"), secrets).open(LINE.tenant, "raw")
        assert "Put its issuer's as ca" in said(caught.value)
        (secrets / "writer" / "ca").write_text(authority.read_text())
        store = open_place("", server.place("tls"), secrets)
        historian = Historian(store.root, STORE, storage_options=store.options)
        telemetry(10)[0].add_to(historian)
        assert historian.commit() == {"TELEMETRY": 1}
        Stored(Stage.TELEMETRY, 2, 5, b"no block").add_to(historian)
        historian.commit()
        assert len(store.files(LINE.tenant, "quarantine").get_file_info(pafs.FileSelector(""))) == 2
        assert stored(store) == (60, 60)
    finally:
        server.kill()


@pytest.mark.parametrize("which", [b"_delta_log/", b".parquet"])
def test_answer_that_is_lost_on_the_network(seaweed, tmp_path, which):
    """The server has made the commit and cannot say so: it is known again, and nothing is committed twice."""
    left = [3]

    def loses(data):
        left[0] -= data.startswith(b"PUT ") and which in data.split(b"\r\n")[0]
        return left[0] == 0 and data.startswith(b"PUT ")

    secrets = seaweed.secrets(tmp_path / "secrets")
    wire = Lossy(int(seaweed.endpoint.rpartition(":")[2]), loses)
    try:
        place = seaweed.place(f"lossy-{which.strip(b'_./').decode()}")
        store = open_place("", place.model_copy(update={"endpoint": f"http://127.0.0.1:{wire.port}"}), secrets)
        historian = Historian(store.root, STORE, storage_options=store.options)
        for message in telemetry(80):
            message.add_to(historian)
            for _ in range(3):
                with contextlib.suppress(StoreError):
                    historian.commit()
            left[0] -= left[0] == 0
        assert wire.lost == 1
        assert historian.buffered_rows == 0
    finally:
        wire.close()
    assert stored(open_place("", place, secrets)) == (480, 480)
