"""What tests of several folders share: the cluster, and where tables are: a folder, and a real object store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.cluster.fixtures import cluster, helm, pytest_collection_modifyitems, tell
from tests.support.nats import Server
from tests.support.seaweed import Seaweed
from tests.support.tables import Tables
from wheeltapper_workers.history.place import open_place
from wheeltapper_workers.history.tables import Store

__all__ = ["cluster", "helm", "pytest_collection_modifyitems", "tell"]
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory) -> Iterator[Seaweed]:
    """One object store for all tests that only need some; each takes a prefix of its own."""
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def server(tmp_path):
    """A NATS server with the streams of a line, for one test."""
    server = Server(tmp_path)
    try:
        server.start()
        await server.ready()
        await server.streams()
        yield server
    finally:
        server.kill()


@pytest.fixture(params=["folder", "s3"])
def tables(request, tmp_path) -> Tables:
    """Empty tables, once in a folder and once in the object store."""
    if request.param == "folder":
        return Tables(Store(str(tmp_path / "tables")))
    server = request.getfixturevalue("seaweed")
    place, secrets = server.place(f"test-{next(_NUMBERS)}"), server.secrets(tmp_path / "secrets")
    return Tables(open_place("", place, secrets), place)
