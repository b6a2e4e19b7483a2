"""The tables' disk is full: the rows wait, the words say so, and once there is room each is stored once."""

from __future__ import annotations

import time

import pytest

from tests.history.conftest import STORE, telemetry
from tests.support.disks import fill, small_disk
from tests.support.seaweed import Seaweed
from wheeltapper_workers.history.historian import Historian, StoreError
from wheeltapper_workers.history.place import open_place
from wheeltapper_workers.history.query import query


def test_rows_wait_for_room_and_are_stored_once(tmp_path):
    messages = telemetry(2400)
    with small_disk(tmp_path / "disk", 8) as disk:
        root = str(disk / "tables")
        historian = Historian(root, STORE)
        for message in messages[:100]:
            message.add_to(historian)
        historian.commit()
        ballast = fill(disk)
        for message in messages[100:]:
            message.add_to(historian)
        waiting = historian.buffered_rows
        for _ in range(3):
            with pytest.raises(StoreError, match=r"(?s)Cannot write under .*raw.*rows wait.*[Nn]o space left"):
                historian.commit()
        assert historian.buffered_rows == waiting
        ballast.unlink()
        assert historian.commit() == {"TELEMETRY": len(messages)}
        counted = query(root, "SELECT count(*) AS n, count(DISTINCT (asset, signal, source_time)) AS u FROM raw")
        assert counted.to_pylist() == [{"n": 2400 * 6, "u": 2400 * 6}]


def test_object_store_without_room(tmp_path):
    messages = telemetry(300)
    with small_disk(tmp_path / "disk", 120) as disk:
        server = Seaweed(disk / "seaweed")
        try:
            server.start()
            store = open_place("", server.place("full"), server.secrets(tmp_path / "secrets"))
            historian = Historian(store.root, STORE, storage_options=store.options)
            messages[0].add_to(historian)
            historian.commit()
            ballast = fill(disk)
            for message in messages[1:]:
                message.add_to(historian)
            with pytest.raises(StoreError, match="such as a full disk"):
                historian.commit()
            ballast.unlink()
            assert committed(historian) == {"TELEMETRY": len(messages)}
            counted = query(store.root, "SELECT count(*) AS n FROM raw", storage_options=store.options)
            assert counted.to_pylist() == [{"n": 300 * 6}]
        finally:
            server.kill()


def committed(historian):
    """Positions of the first commit that comes through; the server takes a while to notice that it has room."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return historian.commit()
        except StoreError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
