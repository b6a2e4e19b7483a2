"""A key that comes out differently once locks a tenant out of its data; one that is damaged has to be told as such."""

from __future__ import annotations

import base64
import json
import re

import pytest

from wheeltapper_backbone.credentials import FILE, connect_options, creds_options
from wheeltapper_backbone.nkeys import KeyPair, Role, from_seed
from wheeltapper_operator.backbone.authority import Authority
from wheeltapper_operator.backbone.jwt import decode

FIXED = Authority(bytes(range(32)), 1_700_000_000)
ACCOUNT = "ABQKL6A6CYZM4RHZTUF3ZONWOLNFBFEQ5HO3K7ZZCADYEVZEFUD5KUSL"
USER = "UDSSVNQ4AVZKM7BU52DYKZ7H4MUPKAUO7Q3I76BEZLYTO2FQSKZ32IGI"


def test_same_seed_gives_the_same_for_good():
    """These two are in running installations: a change here takes every tenant's data from it."""
    assert FIXED.account("northwater", 0).public_key == ACCOUNT
    assert FIXED.account("southwater", 0).public_key != ACCOUNT
    assert FIXED.resolver_config("/data") == FIXED.resolver_config("/data")
    user = FIXED.user("northwater", "worker")
    assert user == FIXED.user("northwater", "worker")
    assert decode(re.search(r"^ey\S+", user, re.MULTILINE)[0])["sub"] == USER


def test_no_two_names_share_a_key():
    keys = [FIXED.account("a", 0).public_key, FIXED.account("a/b", 0).public_key]
    keys += [decode(re.search(r"^ey\S+", text, re.MULTILINE)[0])["sub"] for text in
             (FIXED.user("a", "b"), FIXED.user("a", "c"), FIXED.user("b", "b"), FIXED.system_user())]  # fmt: skip
    assert len(set(keys)) == len(keys)


def test_secret_brings_the_authority_back():
    made = Authority.create()
    assert Authority.from_secret(made.to_secret()) == made
    assert made != Authority.create()
    assert made.root.hex() not in repr(made)
    assert repr(made.root) not in repr(made)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"root": None}, "no key 'root'"),
        ({"issued": None}, "no key 'issued'"),
        ({"root": "?"}, "root and issued of the Secret are damaged"),
        ({"issued": base64.b64encode(b"soon").decode()}, "root and issued of the Secret are damaged"),
        ({"root": base64.b64encode(b"short").decode()}, "has 5 bytes, not 32"),
    ],
)
def test_damaged_secret_is_told(change, words):
    secret = Authority.create().to_secret() | change
    with pytest.raises(ValueError, match=words):
        Authority.from_secret({key: value for key, value in secret.items() if value is not None})


def test_configuration_of_a_server_holds_no_secret():
    config = FIXED.resolver_config("/data/accounts")
    for seed in (KeyPair(role, FIXED.root).seed for role in Role):
        assert seed not in config
    assert FIXED.root.hex() not in config
    assert '"dir": "/data/accounts"' in config


@pytest.mark.parametrize("role", list(Role))
def test_key_keeps_its_role_in_writing(role):
    key = KeyPair(role, bytes(range(32)))
    assert key.public[0] == {Role.ACCOUNT: "A", Role.OPERATOR: "O", Role.USER: "U"}[role]
    assert key.seed[:2] == f"S{key.public[0]}"
    assert from_seed(key.seed) == key
    assert len(key.public) == 56
    assert key.seed not in repr(key)


SEED = KeyPair(Role.USER, bytes(range(32))).seed


@pytest.mark.parametrize(
    "text",
    ["", "not base32!", SEED[:-1], f"X{SEED[1:]}", f"{SEED[:20]}AAAA{SEED[24:]}", KeyPair(Role.USER, b"x" * 32).public],
)
def test_damaged_seed_is_told_and_not_shown(text):
    with pytest.raises(ValueError, match=r"^This is no seed of a NATS key$"):
        from_seed(text)


def test_signature_is_over_header_and_claims():
    jwt = FIXED.account("northwater", 10).jwt
    header, body, _ = jwt.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"typ": "JWT", "alg": "ed25519-nkey"}
    claims = decode(jwt)
    assert claims["nats"]["limits"]["disk_storage"] == 10
    assert claims["iat"] == FIXED.issued_s
    assert FIXED.account("northwater", 10).jwt == jwt
    assert decode(FIXED.account("northwater", 10, FIXED.issued_s + 1).jwt)["jti"] != claims["jti"]
    with pytest.raises(ValueError, match="no signed claims"):
        decode(body)


def test_credentials_are_read_anew_for_every_connection(tmp_path):
    (tmp_path / FILE).write_text(FIXED.user("northwater", "worker"))
    options = connect_options(tmp_path)
    before = options["user_jwt_cb"]()
    (tmp_path / FILE).write_text(FIXED.user("southwater", "worker"))
    assert options["user_jwt_cb"]() != before


def test_folder_without_credentials_is_told_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match="username"):
        connect_options(tmp_path)
    (tmp_path / FILE).write_text("nothing")
    with pytest.raises(ValueError, match="no part USER NKEY SEED"):
        connect_options(tmp_path)


def test_passwords_still_count(tmp_path):
    (tmp_path / "username").write_text("northwater\n")
    (tmp_path / "password").write_text("only-for-this-test\n")
    options = connect_options(tmp_path)
    assert (options["user"](), options["password"]()) == ("northwater", "only-for-this-test")


def test_error_of_a_seed_does_not_show_it():
    text = FIXED.user("northwater", "worker").replace("SU", "SX")
    with pytest.raises(ValueError, match="seed") as told:
        creds_options(lambda: text)
    assert told.value.__cause__ is None
