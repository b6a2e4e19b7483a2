"""Tables copied while others write them: one snapshot of each, its log and the files that it needs.

Files of a table never change, and stay a day (:data:`sweeping.KEPT_HOURS`) after the last snapshot that needed them, so
a snapshot can be copied for as long. The order of the tables matters: what the steps were told is written before the
rows that follow, and so has to be copied after them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.fs as pafs

from wheeltapper_workers.history.holds import HOLDS
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.tables import QUARANTINE, TABLES, UNREAD, Store

FOLDERS: Final = (HOLDS, QUARANTINE, UNREAD)
"""Plain files beside the tables."""
_LOG: Final = "_delta_log"
_VERSION: Final = re.compile(r"(\d{20})\.(json|checkpoint\.parquet)")
_CHUNK: Final = 2**20


def copy_tenant(store: Store, tenant: str, folder: Path, tell: Callable[[str], None] = lambda _: None) -> None:
    """Copy all tables and files of a tenant to ``<folder>/<tenant>``.

    Raises
    ------
    QueryError
        If a table is in a state that cannot be copied.
    OSError
        If something cannot be read or written.
    """
    for table in TABLES:
        tell(f"Copying {table} of {tenant}")
        _copy_table(store, tenant, table, folder / tenant / table)
    for name in FOLDERS:
        files = store.files(tenant, name)
        for entry in files.get_file_info(pafs.FileSelector("", allow_not_found=True)):
            if entry.type == pafs.FileType.File:
                _copy(files, entry.path, folder / tenant / name / entry.path)


def put_tenant(folder: Path, store: Store, tenant: str) -> None:
    """Copy a tenant's tables and files from ``<folder>/<tenant>`` into a store that has none of them.

    The log comes last, and its newest version at the very end: a table is there when all of it is.
    """
    own = folder / tenant
    for place in sorted(path for path in own.iterdir() if path.is_dir()):
        files = store.files(tenant, place.name)
        paths = sorted(path.relative_to(place) for path in place.rglob("*") if path.is_file())
        for path in sorted(paths, key=lambda path: (path.parts[0] == _LOG, path.as_posix())):
            _put(place / path, files, path.as_posix())


def _copy_table(store: Store, tenant: str, name: str, target: Path) -> None:
    table = store.open(tenant, name)
    if table is None:
        return
    files = store.files(tenant, name)
    for path in _log_files(files, table.version()):
        _copy(files, path, target / path)
    for path in pa.table(table.get_add_actions(flatten=True))["path"].to_pylist():
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise QueryError(f"The table {name} of {tenant} names a file outside of it: {path}; restore it first")
        _copy(files, path, target / path)


def _log_files(files: pafs.FileSystem, version: int) -> Iterator[str]:
    """Log of a version: the last checkpoint that is not behind it, and the commits since."""
    entries = files.get_file_info(pafs.FileSelector(_LOG))
    named = [(entry, _VERSION.fullmatch(PurePosixPath(entry.path).name)) for entry in entries]
    found = sorted(
        (int(match[1]), match[2], entry.path) for entry, match in named if match and int(match[1]) <= version
    )
    begin = max((number for number, kind, _ in found if kind != "json"), default=0)
    return (
        path for number, kind, path in found if number > begin or (number == begin and (kind != "json" or not begin))
    )


def _copy(files: pafs.FileSystem, path: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.open_input_file(path) as source, target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)


def _put(source: Path, files: pafs.FileSystem, path: str) -> None:
    if (parent := PurePosixPath(path).parent.as_posix()) != ".":
        files.create_dir(parent, recursive=True)
    with source.open("rb") as file, files.open_output_stream(path) as target:
        while chunk := file.read(_CHUNK):
            target.write(chunk)
