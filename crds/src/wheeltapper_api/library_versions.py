"""Versions of the library: an object that changes gets a new version, or nobody can say what a machine was watched by.

``library/CHECKSUMS`` has a line for every object: kind, name, version, and a digest of its spec. A spec whose digest
is another one under the same version is refused when the file is written anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from wheeltapper_api.config import canonical_json
from wheeltapper_api.library import Entry

HEADER: Final = (
    "# Kind, name, version and digest of each object's spec. Written by `make generate`, which wants a new version\n"
)
HEADER_END: Final = (
    "# for a changed spec. Until a version is released its line may be removed, and is then written anew.\n"
)

_Lines = Mapping[tuple[str, str], tuple[str, str]]


def checksums(entries: Iterable[Entry]) -> str:
    """Text of the file."""
    lines = sorted(f"{e.resource.kind} {e.resource.name} {e.resource.spec.version} {digest(e)}" for e in entries)
    return HEADER + HEADER_END + "".join(f"{line}\n" for line in lines)


def digest(entry: Entry) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a spec: layout and comments are no part of it, nor is the version.

    Sixty-four bits are plenty, for nobody attacks his own list.
    """
    spec = {name: value for name, value in entry.content["spec"].items() if name != "version"}
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()[:16]


def refused(before: str, entries: Iterable[Entry]) -> list[str]:
    """What is wrong with the versions, in sentences with the remedy.

    Parameters
    ----------
    before
        Text of the file as it was.
    """
    known = _parsed(before)
    return [message for entry in entries if (message := _refused(known, entry))]


def _refused(known: _Lines, entry: Entry) -> str | None:
    resource = entry.resource
    version, checksum = known.get((resource.kind, resource.name), (None, None))
    now = resource.spec.version
    if version is None:
        return None
    if _number(now) < _number(version):
        return f"library/{entry.path}: spec.version: {now} is older than {version}; write a newer one"
    if now == version and digest(entry) != checksum:
        return f"library/{entry.path}: spec.version: The spec has changed since {version}; raise the version"
    return None


def _parsed(text: str) -> _Lines:
    rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {(kind, name): (version, checksum) for kind, name, version, checksum in rows}


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
