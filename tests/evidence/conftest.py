"""Evidence of the line that the replays use: twelve minutes with a fault and its alert."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.replay.conftest import live, root, the_alert
from tests.support.lines import LINE, SECOND
from wheeltapper_workers.history.evidence import Evidence, export_evidence

__all__ = ["live", "root"]


def export(root: str, folder: Path, context_ns: int | None = 60 * SECOND, **options) -> Evidence:
    return export_evidence(root, LINE.tenant, the_alert(root), lambda _: folder, context_ns=context_ns, **options)


@pytest.fixture(scope="session")
def written(root, tmp_path_factory) -> Path:
    """A folder of evidence that begins a minute before the alert."""
    folder = tmp_path_factory.mktemp("written") / "evidence"
    export(root, folder)
    return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
    """A folder of evidence, to be spoilt."""
    copy = tmp_path / "elsewhere" / "evidence"
    shutil.copytree(written, copy)
    return copy
