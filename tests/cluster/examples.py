"""The example files as the API server sees them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from tests.cluster.access import Access
from wheeltapper_api.documents import find_files, read_documents

ROOT: Final = Path(__file__).parents[2]
INVALID: Final = sorted((ROOT / "crds" / "examples" / "invalid").glob("*.yaml"))
MARK: Final = "# expect: "


def documents_of(path: Path) -> list[dict[str, Any]]:
    """All documents of a file or folder."""
    return [document.content for file in find_files([path]) for document in read_documents(file)]


def with_namespaces(access: Access, documents: Iterable[dict[str, Any]]) -> None:
    """Make the namespaces that objects are in."""
    names = {document["metadata"].get("namespace") for document in documents} - {None}
    access.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(names)))


def expectations(path: Path) -> list[str]:
    """What ``wheeltapper validate`` says of a wrong file: ``LINE: [FIELD: ]MESSAGE``."""
    lines = takewhile(lambda line: line.startswith(MARK), path.read_text().splitlines())
    return [line.removeprefix(MARK) for line in lines]
