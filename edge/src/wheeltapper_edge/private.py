"""Files of one user alone, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, replacing the old one at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # one that a killed process left behind could have other permissions
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # else a power cut could leave the new name with nothing in it
    fresh.replace(path)


def write_secret(folder: Path, name: str, entries: Mapping[str, str]) -> None:
    """Write a Secret as a folder with a file a key, as Kubernetes mounts one."""
    own = folder / name
    for place in (folder, own):
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)
    for key, value in entries.items():
        write_private(own / key, value)
