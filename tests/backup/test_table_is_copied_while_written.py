"""Tables are copied while a historian writes, merges and removes: the copy is one snapshot, with its position."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from tests.replay.conftest import keep, live, store_config
from tests.support.lines import LINE
from tests.support.tables import Tables
from wheeltapper_api.wire import Stage
from wheeltapper_cli.main import cli
from wheeltapper_workers.history import copying, historian
from wheeltapper_workers.history.copying import copy_tenant, put_tenant
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.place import open_place
from wheeltapper_workers.history.tables import TABLES, Store

__all__ = ["live"]


def opened(root: Path) -> Historian:
    return Historian(str(root), store_config([]))


def test_tables_in_an_object_store_are_refused(seaweed, tmp_path):
    """Before anything is started or written; a folder of them is no excuse, as where they were moved."""
    place, secrets = seaweed.place("backed-up"), seaweed.secrets(tmp_path / "secrets")
    Tables(open_place("", place, secrets), place).remembered(tmp_path, LINE.tenant)
    (tmp_path / "tables" / LINE.tenant).mkdir(parents=True)
    found = CliRunner().invoke(cli, ["backup", "--state", str(tmp_path), "--to", str(tmp_path / "backup")])
    assert found.exit_code == 2, found.output
    assert f"The tables of northwater are in {place.url}, which a backup does not copy" in found.stderr
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("checkpoint", [False, True])
def test_copy_and_back(live, tmp_path, checkpoint):
    keep(live, str(tmp_path / "tables"), every=3)
    store = Store(str(tmp_path / "tables"))
    if checkpoint:
        DeltaTable(store.path(LINE.tenant, "raw")).create_checkpoint()
        keep(live, str(tmp_path / "tables"))
    copy_tenant(store, LINE.tenant, tmp_path / "copy")
    put_tenant(tmp_path / "copy", Store(str(tmp_path / "back")), LINE.tenant)
    for table in TABLES:
        before, after = (Store(str(tmp_path / name)).dataset(LINE.tenant, table) for name in ("tables", "back"))
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            assert repr(after.to_table().to_pylist()) == repr(before.to_table().to_pylist()), table  # NaN is NaN
    assert opened(tmp_path / "back").positions() == opened(tmp_path / "tables").positions()


def test_commits_and_merging_meanwhile(live, tmp_path, monkeypatch):
    """Between two files of the copy the rest is committed and everything merged: rows and position still agree."""
    messages = live.streams.messages
    half = {stage: found[: len(found) // 2] for stage, found in messages.items()}
    keep(live, str(tmp_path / "tables"), every=5, messages=half)
    store = Store(str(tmp_path / "tables"))
    positions = opened(tmp_path / "tables").positions()
    copy, done = copying._copy, []

    def copy_and_write(files, path, target):
        if not done and path.endswith(".parquet"):
            done.append(path)
            monkeypatch.setattr(historian, "COMPACT_FILES", 1)
            keep(live, str(tmp_path / "tables"), every=5).compact()
        copy(files, path, target)

    monkeypatch.setattr(copying, "_copy", copy_and_write)
    copy_tenant(store, LINE.tenant, tmp_path / "copy")
    assert done
    found = opened(tmp_path / "copy").positions()
    assert found["TELEMETRY"] == positions["TELEMETRY"], "it was under way, and is as it was"
    rows = Store(str(tmp_path / "copy")).dataset(LINE.tenant, "raw").to_table()
    published = {message.sequence for message in half[Stage.TELEMETRY] if message.payload}
    assert set(rows["block_sequence"].to_pylist()) == published
    assert found["SCORES"] > positions["SCORES"], "its turn came later"
