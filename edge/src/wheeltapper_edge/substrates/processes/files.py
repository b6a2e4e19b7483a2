"""The lock that says who runs in a folder, and how to reach it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from wheeltapper_edge.command import SubstrateError
from wheeltapper_edge.private import write_private

_LOOK_S: Final = 0.3


class RunLock:
    """Says that this process runs in a folder, and how to reach it; the kernel takes it back at any death.

    Raises
    ------
    SubstrateError
        If another process runs there (its number is in the message), or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "lock").open("a+")
        except OSError as error:
            raise SubstrateError(
                f"The state folder {folder} cannot be written ({error.strerror}); choose another with --state"
            ) from error
        try:
            self._take(folder)
        except BaseException:
            self._file.close()
            raise
        self._path.unlink(missing_ok=True)  # of a killed process; until this one tells, nobody can be reached
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def tell(self, document: Mapping[str, Any]) -> None:
        """Write down how to reach what runs here."""
        write_private(self._path, json.dumps({"pid": os.getpid(), **document}))

    def release(self) -> None:
        """Nothing runs here any more."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def _take(self, folder: Path) -> None:
        deadline = time.monotonic() + _LOOK_S
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:  # whoever only looks (``running``) holds it for a moment
                    time.sleep(0.02)
                    continue
            else:
                return
            self._file.seek(0)
            raise SubstrateError(
                f"Already running in {folder} (process {self._file.read().strip() or 'unknown'}); "
                "stop it, or choose another folder with --state"
            )


def running(folder: Path) -> dict[str, Any]:
    """What runs in a folder, or nothing: a file that a killed process left behind does not count."""
    try:
        with (folder / "lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            document: dict[str, Any] = json.loads((folder / "run.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return document
    except OSError:
        return {}
    return {}
