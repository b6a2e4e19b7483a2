"""Removing what no table needs any more: merged files, and those that a killed writer left behind.

A file that nobody refers to may be about to be committed by a writer that is only paused, and be it for days. So before
anything is removed, a commit takes up the names under which writers commit: whoever took a snapshot before that is
refused, and what it wrote can never become part of the table. Files younger than :data:`KEPT_HOURS` stay all the same,
for writers that came after that commit, and for readers of an older snapshot.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, Transaction

from wheeltapper_workers.history.tables import PARTITIONS, Store

KEPT_HOURS: Final = 24


def sweep(store: Store, tenant: str, name: str, writers: Iterable[str], kept_hours: int = KEPT_HOURS) -> int:
    """Remove what a table does not need; returns how many files that were.

    Parameters
    ----------
    writers
        Names under which others commit files to the table.

    Raises
    ------
    CommitFailedError
        If somebody else commits meanwhile; nothing is removed then.
    """
    table = store.open(tenant, name)
    if table is None:
        return 0
    _fence(table, writers)
    table = store.open(tenant, name)
    if table is None:
        return 0
    removed = table.vacuum(retention_hours=kept_hours, dry_run=False, enforce_retention_duration=False, full=True)
    return len(removed) + _unfinished(store.files(tenant, name), kept_hours)


def _fence(table: DeltaTable, writers: Iterable[str]) -> None:
    """Commit nothing, under the writers' names and with the versions that they have."""
    versions = [Transaction(writer, table.transaction_version(writer) or 0) for writer in writers]
    table.create_write_transaction(
        [],
        "append",
        table.schema(),
        partition_by=list(PARTITIONS),
        commit_properties=CommitProperties(app_transactions=versions, max_commit_retries=0),
    )


def _unfinished(files: pafs.FileSystem, kept_hours: int) -> int:
    """Remove files that were still being written when their writer was killed; only folders have such."""
    if not isinstance(files.base_fs, pafs.LocalFileSystem):
        return 0
    removed = 0
    for info in files.get_file_info(pafs.FileSelector("", recursive=True)):
        if "#" in info.base_name and info.is_file and time.time() - info.mtime_ns / 1e9 > kept_hours * 3600:
            files.delete_file(info.path)
            removed += 1
    return removed
