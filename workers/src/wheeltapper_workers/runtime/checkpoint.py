"""Checkpoints: a step's state and its position in the input, saved together, checked when read.

A file holds one line of JSON (layout version, position, digest of the rest) and the arrays. The one before the newest
is kept: a file that a crash or a disk has spoilt is reported and passed over.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from wheeltapper_workers.runtime.step import Snapshot

log = logging.getLogger(__name__)

_LAYOUT: Final = 2
_HEADER: Final = {"layout", "position", "generation", "version", "document", "sha256"}
_PUBLISHED: Final = "publishedNs"
"""In the header where it is known."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State after the item at ``position`` of the input stream, under the config ``generation``."""

    position: int
    generation: str
    version: int
    snapshot: Snapshot
    published_ns: int = 0
    """When the item at the position was stored in its stream; 0 where that is not known."""


class CheckpointStore:
    """Checkpoints of one role of one line in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._newest, self._previous = folder / f"{name}.checkpoint", folder / f"{name}.checkpoint.previous"

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint so that at any moment at least one whole file is there."""
        data = encode(checkpoint)
        self._newest.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._newest.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if self._newest.exists():
            self._newest.replace(self._previous)
        fresh.replace(self._newest)

    def try_save(self, checkpoint: Checkpoint) -> str:
        """Write a checkpoint; returns what is wrong and what it means if that fails, else an empty text.

        A full disk is no reason to stop: the work goes on from memory, and only a restart has more to do again.
        """
        try:
            self.save(checkpoint)
        except OSError as error:
            return (
                f"The state cannot be saved to {self._newest.parent}: {error.strerror or error}. The work goes on; "
                "after a restart what came since the last saved state is done again. Free space or mend the folder"
            )
        return ""

    def newest(self) -> bytes | None:
        """What was saved last, as it is on the disk; None if nothing is."""
        try:
            return self._newest.read_bytes()
        except FileNotFoundError:
            return None

    def load(self, version: int) -> Checkpoint | None:
        """Newest checkpoint that is whole and of the step's version; None if there is none."""
        for path in (self._newest, self._previous):
            try:
                checkpoint = decode(path.read_bytes())
            except FileNotFoundError:
                continue
            except (ValueError, OSError) as error:
                log.warning("Checkpoint %s cannot be used: %s; going back to an earlier state", path.name, error)
                continue
            if checkpoint.version == version:
                return checkpoint
            log.warning("Checkpoint %s is of layout %d, not %d; starting anew", path.name, checkpoint.version, version)
        return None


def encode(checkpoint: Checkpoint) -> bytes:
    """Checkpoint as bytes."""
    arrays = io.BytesIO()
    # The document of the snapshot travels in the header; object arrays are refused, so nothing is ever unpickled.
    np.savez(arrays, allow_pickle=False, **checkpoint.snapshot.arrays)
    body = arrays.getvalue()
    header = {
        "layout": _LAYOUT,
        "position": checkpoint.position,
        "generation": checkpoint.generation,
        "version": checkpoint.version,
        "document": checkpoint.snapshot.document,
    }
    if checkpoint.published_ns:
        header[_PUBLISHED] = checkpoint.published_ns
    header["sha256"] = _digest(header, body)
    return _text(header) + b"\n" + body


def _digest(header: dict[str, Any], body: bytes) -> str:
    """Digest of all of a checkpoint: a position that has changed is as bad as an array that has."""
    said = {name: value for name, value in header.items() if name != "sha256"}
    return hashlib.sha256(_text(said) + b"\n" + body).hexdigest()


def _text(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, allow_nan=False).encode()


def decode(data: bytes) -> Checkpoint:
    """Checkpoint of bytes.

    Raises
    ------
    ValueError
        If they are cut short, changed, or of another layout.
    """
    line, _, body = data.partition(b"\n")
    try:
        header = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("its first line is not JSON") from error
    if not isinstance(header, dict) or header.get("layout") != _LAYOUT:
        raise ValueError("it is of another layout")
    if header.keys() - {_PUBLISHED} != _HEADER:
        raise ValueError("its first line is not that of a checkpoint")
    if _digest(header, body) != header["sha256"]:
        raise ValueError("its content does not have the digest it states")
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        snapshot = Snapshot({name: arrays[name] for name in arrays.files}, header["document"])
    return Checkpoint(header["position"], header["generation"], header["version"], snapshot, header.get(_PUBLISHED, 0))
