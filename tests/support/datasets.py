"""Real recordings, read in place. Where they are not at hand a test is skipped; in continuous integration it fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATASETS = Path(os.environ.get("WHEELTAPPER_DATASETS", Path(__file__).parents[3] / "shared" / "data"))


def dataset(name: str) -> Path:
    """Folder of a data set."""
    folder = DATASETS / name
    if not folder.is_dir():
        message = f"The data set {name} is not in {DATASETS}; set WHEELTAPPER_DATASETS to its parent folder"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
