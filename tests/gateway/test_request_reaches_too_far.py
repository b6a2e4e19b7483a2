"""Whoever may ask a question may ask it of the tables alone: no file, no other command, no option that opens one."""

from __future__ import annotations

import json

import click
import pytest

from wheeltapper_cli.gateway.commands import NotAcceptedError, arguments
from wheeltapper_cli.gateway.frames import Request
from wheeltapper_cli.gateway.offered import described
from wheeltapper_cli.served import Served

MENU = described()


def test_commands_that_are_run_are_these():
    """A command is added to a gateway on purpose: whoever adds one looks at what it lets people do."""
    assert MENU.keys() == {
        "audit list",
        "audit verify",
        "evidence export",
        "evidence holds",
        "export",
        "gaps",
        "get alerts",
        "get twins",
        "get workers",
        "query",
        "replay",
        "trace",
    }


@pytest.mark.parametrize(
    "command",
    [["up"], ["demo"], ["retention"], ["backup"], ["restore"], ["sim", "run"], ["evidence", "hold"], ["evidence"],
     ["get"], ["get twins"], ["validate"], ["query", "up"], ["--help"], ["-c"], [""], ["get", "twins", "--help"],
     ["../bin/sh"]],
    ids=" ".join,
)  # fmt: skip
def test_other_commands_are_refused(gateway, reader, command):
    found = gateway.ask(reader, *command)
    assert (found.status, found.out) == (400, b""), found


@pytest.mark.parametrize(
    "options",
    [{"state": "/"}, {"tenant": "other"}, {"namespace": "x"}, {"kubeconfig": "/x"}, {"help": True}, {"--state": "/"},
     {"sql": "SELECT 1", "limit": "3"}],
    ids=str,
)  # fmt: skip
def test_options_that_are_not_listed_are_refused(gateway, reader, options):
    found = gateway.ask(reader, "query", options=options)
    assert found.status == 400
    assert "takes no" in found.message


def test_value_is_never_an_option(gateway, reader):
    found = gateway.ask(reader, "query", options={"sql": "--state=/"})
    assert found.code == 2
    assert "Give one statement that reads" in found.error
    for value in ("--help", "-h", "--version"):
        assert gateway.ask(reader, "trace", options={"alert": value}).code == 2


def test_values_stand_where_nothing_takes_them_for_options():
    request = Request(command=["replay"], options={"alert": "--state=/", "twin": "--x", "output": "json"})
    assert arguments(MENU, request) == ["replay", "--output=json", "--twin=--x", "--", "--state=/"]


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        (["get", "alerts"], {"everything": "yes"}, "takes no value"),
        (["get", "alerts"], {"everything": False}, "takes no value"),
        (["query"], {"sql": True}, "takes one text"),
        (["query"], {"sql": ["a", "b"]}, "takes one text"),
        (["query"], {"sql": "SELECT '\0'"}, "takes one text"),
        (["export"], {"tables": "raw", "target": "x"}, "takes a list"),
    ],
)
def test_values_of_another_kind_are_refused(command, options, said):
    with pytest.raises(NotAcceptedError, match=said):
        arguments(MENU, Request(command=command, options=options))


@pytest.mark.parametrize("name", ["/etc/x", "../x", "..", ".", "", "a/b", "x" * 300, "a\0b"])
def test_what_is_written_is_named_without_a_folder(name):
    with pytest.raises(NotAcceptedError):
        arguments(MENU, Request(command=["export"], options={"target": name}))


def test_files_of_the_gateway_are_not_read(gateway, reader):
    found = gateway.ask(reader, "replay", options={"twin": "p-2", "model": "/etc/passwd"})
    assert found.status == 400
    assert "has to come with the request" in found.message
    for name in ("../x", "/etc/passwd", "a/b", ".."):
        told = {"model": {"name": name, "text": "x"}}
        assert gateway.ask(reader, "replay", options={"twin": "p-2"}, files=told).status == 400
    assert gateway.ask(reader, "query", files={"sql": {"name": "x", "text": "x"}}).status == 400


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM '/var/run/secrets/kubernetes.io/serviceaccount/token'",
        "SELECT * FROM glob('/**')",
        "COPY (SELECT 1) TO 'stolen.csv'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SELECT getenv('HOME')",
        "SELECT 1; SELECT 2",
    ],
)
def test_sql_reads_the_tables_alone(gateway, reader, sql):
    found = gateway.ask(reader, "query", options={"sql": sql})
    assert (found.code, found.out) == (2, b""), found


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"command": []}', b'{"command": ["query"], "shell": true}', b"\xff", b"[" * 100_000,
     b'{"command": "query"}', b'{"command": ["query"], "columns": 1000000}'],
)  # fmt: skip
def test_what_is_no_request_is_refused(gateway, reader, body):
    found = gateway.send(reader, body)
    assert (found.status, found.out) == (400, b"")


def test_nothing_is_sent_that_was_not_written(gateway, reader):
    """What came with a request does not go back."""
    text = {"model": {"name": "model.yaml", "text": "kind: FailureModel"}}
    options = {"twin": "p-2", "start": "2026-01-01", "end": "2026-01-02"}
    found = gateway.ask(reader, "replay", options=options, files=text)
    assert found.code == 2
    assert "model.yaml" in found.error
    assert found.files == {}


def test_commands_leave_nothing_behind(gateway, reader):
    found = gateway.ask(reader, "export", options={"target": "out.csv", "tables": ["raw"], "output": "json"})
    assert found.code == 0, found.error
    assert sorted(found.files) == ["out.csv", "out.datapackage.json"]
    assert json.loads(found.out)[0]["sizeBytes"] == len(found.files["out.csv"])
    assert list(gateway.scratch.glob("command-*")) == []


def test_command_that_opens_files_cannot_be_served_by_mistake():
    with pytest.raises(TypeError, match="say whether it reads or writes path"):
        Served("new", resource="tables", params=[click.Option(["--path"], type=click.Path())])
