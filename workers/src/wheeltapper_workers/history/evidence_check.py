"""Checks a folder of evidence: nothing was changed, and the alert follows from its rows to the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wheeltapper_api.fields import Model
from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.detectors.graphs import digest
from wheeltapper_workers.history.evidence import LAYOUT, MODELS, ROWS, STATES
from wheeltapper_workers.history.folder import Folder
from wheeltapper_workers.history.query import QueryError, alert_history
from wheeltapper_workers.history.replay import Replay, job_of, run
from wheeltapper_workers.history.sealed import SealError, broken, read_manifest
from wheeltapper_workers.history.work import Job, Progress
from wheeltapper_workers.runtime.checkpoint import Checkpoint, decode


class Verified(Model):
    """What came of a check."""

    folder: str
    alert_id: str
    fingerprint: str
    """As the manifest states it; empty if it cannot be read."""
    broken: list[str]
    """Files that are not what they were, each with what is wrong."""
    replay: Replay | None
    """The rows done again; None where files are broken, since it would prove nothing."""
    sound: bool
    """Nothing is broken, and everything that was done again is the same."""


def verify_evidence(
    folder: Path, *, fingerprint: str | None = None, progress: Progress = lambda _done, _last: None
) -> Verified:
    """Check a folder with nothing but what is in it.

    Parameters
    ----------
    fingerprint
        As it was noted when the folder was made.

    Raises
    ------
    QueryError
        If it is no folder of evidence, or what is in it cannot be done again.
    """
    found = [str(one) for one in broken(folder)]
    try:
        manifest = read_manifest(folder)
    except SealError as error:
        if not (folder / ROWS).is_dir():
            raise QueryError(f"{error}; name a folder that wheeltapper evidence has written") from error
        manifest = {}
    if manifest and manifest.get("layout") != LAYOUT and not found:
        raise QueryError(f"{folder} is of the layout {manifest.get('layout')}, which is not {LAYOUT}")
    stated = str(manifest.get("fingerprint", ""))
    if fingerprint is not None and fingerprint != stated:
        found.append(f"the whole folder: its fingerprint is {stated or 'unknown'}, not {fingerprint}")
    replayed = None
    if not found:
        try:
            job = _job(folder, manifest)
            found += _models(folder, job)
            replayed, _ = run(job, Folder(str(folder / ROWS)), progress)
        except (ValueError, KeyError, ValidationError, OSError) as error:
            raise QueryError(f"What is in {folder} cannot be done again: {error}") from error
    return Verified(
        folder=str(folder),
        alert_id=str(manifest.get("alert", "")),
        fingerprint=stated,
        broken=found,
        replay=replayed,
        sound=not found and replayed is not None and replayed.same,
    )


def _job(folder: Path, manifest: dict[str, Any]) -> Job:
    line = Line.model_validate(manifest["line"])
    store = Folder(str(folder / ROWS))
    job = job_of(
        store, line.tenant, alert_history(store, line.tenant, manifest["alert"]), "last", Stage(manifest["start"])
    )
    rests = _rests(folder)
    if bool(rests) != bool(manifest["firstBlock"]):
        raise ValueError("there are states without a first block, or a first block without states")
    return replace(job, rests=rests)


def _rests(folder: Path) -> dict[Stage, Checkpoint]:
    return {Stage(path.stem): decode(path.read_bytes()) for path in sorted((folder / STATES).glob("*.checkpoint"))}


def _models(folder: Path, job: Job) -> list[str]:
    """Whether the model that scored the alert is there; that it gives these scores is what the replay shows."""
    there = {digest(path.read_bytes()) for path in (folder / MODELS).glob("*.onnx")}
    wanted = job.alert.lineage.model_digest
    return [] if wanted in there else [f"{MODELS}: the model of the alert, {wanted}, is not among them"]
