"""Files of one user alone, written whole or not at all; and the lock that says who runs in a folder."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wheeltapper_edge.substrates.processes.binding import SubstrateError


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, replacing the old one at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def write_secret(folder: Path, name: str, entries: Mapping[str, str]) -> None:
    """Write a Secret as a folder with a file a key, as Kubernetes mounts one."""
    own = folder / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own.mkdir(mode=0o700, exist_ok=True)
    for key, value in entries.items():
        write_private(own / key, value)


class RunLock:
    """Says that this process runs in a folder, and how to reach it; the kernel takes it back at any death."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "run.json"
        self._file = (folder / "lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise SubstrateError(
                f"Already running in {folder} (process {running(folder).get('pid', 'unknown')}); "
                "stop it, or choose another folder with --state"
            ) from None

    def tell(self, document: Mapping[str, Any]) -> None:
        """Write down how to reach what runs here."""
        write_private(self._path, json.dumps({"pid": os.getpid(), **document}))

    def release(self) -> None:
        """Nothing runs here any more."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def running(folder: Path) -> dict[str, Any]:
    """What runs in a folder, or nothing: a file that a killed process left behind does not count."""
    path = folder / "run.json"
    try:
        with (folder / "lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            document: dict[str, Any] = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return document
    except FileNotFoundError:
        return {}
    return {}
