"""Folders that say of every file in them whether it has changed.

``SHA256SUMS`` is what ``sha256sum -c`` reads. ``manifest.json`` has the same digests, further statements, and a digest
of itself: with both, a change of either list is told from a change of a file. Whoever can change all files can also
write both lists anew; against that helps the manifest's digest, noted elsewhere as the folder's fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

SUMS: Final = "SHA256SUMS"
MANIFEST: Final = "manifest.json"
_CHUNK: Final = 2**20
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LISTED: Final = re.compile(r"([0-9a-f]{64})  (.+)")


class SealError(ValueError):
    """The folder is not one that was sealed."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that is not what it was."""

    file: str
    """Path in the folder."""
    what: str

    def __str__(self) -> str:
        """File and what is wrong with it."""
        return f"{self.file}: {self.what}"


def seal(folder: Path, said: Mapping[str, Any]) -> str:
    """Write both lists of all files that are there; returns the fingerprint.

    Parameters
    ----------
    said
        Further statements for the manifest, ready for JSON.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listed = {name for name in names if name not in (MANIFEST, SUMS)}
    files = {name: _entry(folder / name) for name in sorted(listed)}
    document: dict[str, Any] = {**said, "files": files}
    document["fingerprint"] = _fingerprint(document)
    (folder / MANIFEST).write_bytes(_text(document))
    (folder / SUMS).write_bytes(_sums(folder, files))
    return str(document["fingerprint"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """Manifest of a folder, whether or not it has been changed.

    Raises
    ------
    SealError
        If there is none that can be read.
    """
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise SealError(f"{folder} has no {MANIFEST}") from None
    except (ValueError, RecursionError, OSError) as error:
        raise SealError(f"{folder / MANIFEST} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise SealError(f"{folder / MANIFEST} is no manifest")
    return document


def broken(folder: Path) -> list[Broken]:
    """Files that were changed, removed or added since the folder was sealed, by name."""
    found: list[Broken] = []
    files = _of_manifest(folder)
    if files is None:
        found.append(Broken(MANIFEST, _gone_or_changed(folder / MANIFEST)))
        files = _of_sums(folder)
    elif not (folder / SUMS).is_file() or (folder / SUMS).read_bytes() != _sums(folder, files):
        found.append(Broken(SUMS, _gone_or_changed(folder / SUMS)))
    for name, told in files.items():
        path = folder / name
        if not path.is_file():
            found.append(Broken(name, "is missing"))
        elif _digest(path) != told["sha256"]:
            found.append(Broken(name, "was changed"))
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    found += [Broken(name, "was added") for name in sorted(there - files.keys() - {MANIFEST, SUMS})]
    return sorted(found, key=lambda one: one.file)


def _of_manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Files by the manifest; None if it is not what was written."""
    try:
        document = read_manifest(folder)
        files = document["files"]
        whole = _text(document) == (folder / MANIFEST).read_bytes()
        if not whole or document.pop("fingerprint") != _fingerprint(document):
            return None
        return files if all(_is_entry(name, told) for name, told in files.items()) else None
    except (SealError, KeyError, TypeError, AttributeError, ValueError):
        return None


def _of_sums(folder: Path) -> dict[str, dict[str, Any]]:
    """Files by the other list: lines that cannot be read name none."""
    try:
        lines = (folder / SUMS).read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    pairs = {found[2]: {"sha256": found[1]} for line in lines if (found := _LISTED.fullmatch(line))}
    return {name: told for name, told in pairs.items() if name != MANIFEST and _is_entry(name, told)}


def _is_entry(name: str, told: Mapping[str, Any]) -> bool:
    """Whether it names a file within the folder, and a digest."""
    path = PurePosixPath(name)
    within = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    return within and bool(_DIGEST.fullmatch(told["sha256"]))


def _sums(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> bytes:
    sums = {name: told["sha256"] for name, told in files.items()} | {MANIFEST: _digest(folder / MANIFEST)}
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def _gone_or_changed(path: Path) -> str:
    return "was changed" if path.is_file() else "is missing"


def _entry(path: Path) -> dict[str, Any]:
    return {"sha256": _digest(path), "bytes": path.stat().st_size}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _fingerprint(document: Mapping[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(_text(document)).hexdigest()


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
