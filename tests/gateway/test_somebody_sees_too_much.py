"""Who may what is decided by the API server; whoever it does not let in gets nothing, and is told what is missing."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.gateway.conftest import NAMESPACE, OTHER, SUBRESOURCES, allow, seeing
from tests.support.waiting import wait
from wheeltapper_cli import served
from wheeltapper_cli.gateway.access import AUDIENCE
from wheeltapper_cli.gateway.frames import PATH

QUERY = {"sql": "SELECT count(*) AS n FROM raw", "output": "json"}


def test_who_may_is_answered(gateway, reader):
    found = gateway.ask(reader, "query", options=QUERY)
    assert (found.status, found.code, found.error) == (200, 0, "")
    assert json.loads(found.out)[0]["n"] > 1000


def test_token_for_gateways_alone_is_taken(gateway, token):
    assert gateway.ask(token("reader", NAMESPACE, f"--audience={AUDIENCE}"), "get", "alerts").code == 0


def test_token_for_something_else_is_not(gateway, token):
    found = gateway.ask(token("reader", NAMESPACE, "--audience=vault"), "get", "alerts")
    assert found.status == 401


@pytest.mark.parametrize("given", ["", "nonsense", "a.b.c", "x" * 20_000])
def test_without_a_token_nothing_is_answered(gateway, given):
    found = gateway.ask(given, "query", options=QUERY)
    assert (found.status, found.out) == (401, b"")


def test_other_ways_to_log_in_are_none(gateway, reader):
    for header in (f"Basic {reader}", reader, "Bearer", "Bearer  "):
        connection = gateway.connect()
        connection.request("POST", PATH, b"{}", {"Authorization": header})
        assert connection.getresponse().status == 401
        connection.close()


@pytest.mark.parametrize(("person", "namespace"), [("nobody", NAMESPACE), ("reader", OTHER)])
def test_who_has_no_right_here_is_told_which_one(gateway, token, person, namespace):
    found = gateway.ask(token(person, namespace), "query", options=QUERY)
    assert (found.status, found.out) == (403, b"")
    assert f"system:serviceaccount:{namespace}:{person} may not get assettwins.wheeltapper.dev/tables" in found.message


def test_rights_are_for_each_kind_of_thing(gateway, token):
    held = token("alerts-only")
    assert gateway.ask(held, "get", "alerts").code == 0
    for command in (["query"], ["get", "twins"], ["get", "workers"], ["evidence", "export"], ["audit", "list"]):
        assert gateway.ask(held, *command).status == 403, command


def test_right_that_is_taken_away_ends_soon(gateway, tenancy, token):
    tenancy.kubectl("create", "serviceaccount", "guest", f"--namespace={NAMESPACE}")
    held = token("guest")
    assert gateway.ask(held, "get", "alerts").status == 403
    allow(tenancy, "guest", seeing("alerts"))
    wait(lambda: gateway.ask(held, "get", "alerts").status == 200, 30, "the right")
    tenancy.kubectl("delete", "rolebinding", "guest", f"--namespace={NAMESPACE}")
    wait(lambda: gateway.ask(held, "get", "alerts").status == 403, 30, "the end of the right")


def test_what_it_says_to_do_is_right(gateway, tenancy, token):
    """The commands of the refusal, done as they stand there, give the right."""
    tenancy.kubectl("apply", "--server-side", "--filename=crds/assettwins.wheeltapper.dev.yaml")
    tenancy.kubectl("create", "serviceaccount", "advised", f"--namespace={NAMESPACE}")
    held = token("advised")
    said = gateway.ask(held, "get", "workers").message
    for command in re.findall(r"^  kubectl (.*)$", said, re.MULTILINE):
        tenancy.kubectl(*command.split())
    wait(lambda: gateway.ask(held, "get", "workers").status == 200, 30, "the right")


def test_log_has_no_token(gateway, reader, make):
    gateway.ask(reader, "get", "alerts")
    with gateway.tls() as raw:  # broken in the very line that has it
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {reader}\0\r\n\r\n".encode())
        assert b" 400 " in raw.recv(4096).splitlines()[0]
    assert reader[:200] not in gateway.log.read_text()
    assert reader[-40:] not in gateway.log.read_text()


def test_what_is_not_encrypted_is_not_answered(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in raw.recv(4096)


def test_all_kinds_of_things_are_asked_for():
    """Each is asked for by some command, and each command's is known here."""
    modules = Path(served.__file__).parent.rglob("*.py")
    assert {name for file in modules for name in re.findall(r'resource="([a-z]+)"', file.read_text())} == set(
        SUBRESOURCES
    )
