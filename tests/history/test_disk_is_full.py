"""The tables' disk is full: the rows wait, the words say so, and once there is room each is stored once."""

from __future__ import annotations

import pytest

from tests.history.conftest import STORE, telemetry
from tests.support.disks import fill, small_disk
from wheeltapper_workers.history.historian import Historian, StoreError
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
