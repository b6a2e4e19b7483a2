"""Where each field stands in the examples, as a snippet that shows it with what it stands in.

The examples are no part of the installed package, so the snippets are made once, by ``make generate``, into a file
that is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml

from wheeltapper_api.documents import Document, find_files, read_documents
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.reference import fields_of

FILE: Final = "field_examples.json"
_MOST_LINES: Final = 14


@cache
def examples() -> Mapping[str, Mapping[str, str]]:
    """Example of every field that has one, by kind and path: the snippet under ``yaml``, its file under ``file``."""
    loaded: dict[str, dict[str, str]] = json.loads(files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
    return loaded


def made_from(folder: Path) -> dict[str, dict[str, str]]:
    """Examples of all fields from the files of a folder; the first object that has a field shows it."""
    found: dict[str, dict[str, str]] = {}
    for document in _documents(folder):
        kind = document.content["kind"]
        known = fields_of(KINDS[kind])
        for path, snippet in _snippets(document.content, ""):
            if path in known and f"{kind}.{path}" not in found:
                found[f"{kind}.{path}"] = {"file": Path(document.file).name, "yaml": _text(snippet)}
    return dict(sorted(found.items()))


def _documents(folder: Path) -> Iterator[Document]:
    for file in find_files([folder]):
        for document in read_documents(file):
            if isinstance(document, Document) and document.content.get("kind") in KINDS:
                yield document


def _snippets(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every field below a value with a document that holds little more than it."""
    if isinstance(value, list):
        for entry in value:
            yield from ((inside, [snippet]) for inside, snippet in _snippets(entry, path))
    elif isinstance(value, dict):
        # An entry of a list is found by its name; a field of it says little without.
        named = {key: value[key] for key in ("name", "feature") if path and key in value}
        for key, entry in value.items():
            here = f"{path}.{key}" if path else key
            yield here, named | {key: entry}
            yield from ((inside, named | {key: snippet}) for inside, snippet in _snippets(entry, here))


def _text(snippet: Any) -> str:
    text = yaml.safe_dump(snippet, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    return _shortened(text.rstrip("\n").split("\n"))


def _shortened(lines: Iterable[str]) -> str:
    kept = list(lines)
    if len(kept) > _MOST_LINES:
        kept = [*kept[: _MOST_LINES - 1], "# and more"]
    return "\n".join(kept)
