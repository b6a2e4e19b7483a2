"""YAML and JSON files as plain documents that know on which line each of their fields stands.

Values are those of YAML 1.2's core schema: ``off`` and ``yes`` are strings, and so are dates. libyaml parses; the
values are built here, so that a duplicate key, a key that is not text, and aliases or levels without bound are errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wheeltapper_api.parsing import DocumentError, FieldPath, Parser

MAX_BYTES: Final = 5 * 2**20
SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


@dataclass(slots=True)
class Source:
    """A file's text. Lines are found by parsing it again: a problem is rare, and keeping them all costs 100 MB."""

    name: str
    text: str
    _lines: list[dict[FieldPath, int]] = field(default_factory=list)

    def line_of(self, document: int, path: FieldPath) -> int:
        """Line of a field of a document, counted from 1; of the nearest field around it if it is absent."""
        if not self._lines:
            parser = Parser(self.text, positions=True)
            self._lines = [parser.lines for _ in parser.documents()]
        lines = self._lines[document]
        return next((lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in lines), 1)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    source: Source
    index: int
    content: Any
    prefix: FieldPath = ()
    """Where in the file's document it stands, for an item of a ``List``."""

    @property
    def file(self) -> str:
        """Name of the file as it was given."""
        return self.source.name

    def line_of(self, path: FieldPath = ()) -> int:
        """Line of a field, counted from 1."""
        return self.source.line_of(self.index, self.prefix + path)


def field_text(path: FieldPath) -> str:
    """Path as people write it: ``spec.signals[0].kind``."""
    text = ""
    for step in path:
        shown = step if isinstance(step, str) and re.fullmatch(r"[A-Za-z]\w*", step) else f"[{step}]"
        text += f".{shown}" if text and not shown.startswith("[") else shown
    return text


def find_files(paths: list[Path]) -> list[Path]:
    """Files among the paths and in the folders below them, each once, in order of name within a folder."""
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _in_folder(path) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _in_folder(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    return sorted(file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def read_documents(path: Path) -> Iterator[Document]:
    """Documents of a file; empty ones are left out, and a ``List`` counts as its items.

    Raises
    ------
    DocumentError
        If the file cannot be read, is too large, is not UTF-8, or is not YAML within the parser's bounds.
    """
    source = Source(str(path), _read(path))
    for index, content in enumerate(Parser(source.text).documents()):
        if isinstance(content, dict) and content.get("kind") == "List" and isinstance(content.get("items"), list):
            for position, item in enumerate(content["items"]):
                yield Document(source, index, item, ("items", position))
        elif content is not None:
            yield Document(source, index, content)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DocumentError(1, f"The file cannot be read: {error.strerror}", "check its name and permissions") from None
    if len(data) > MAX_BYTES:
        raise DocumentError(1, "The file is larger than 5 MiB", "split it into several")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError(line, "The file is not UTF-8", "save it with the encoding UTF-8") from None
    if "\0" in text:
        raise DocumentError(1, "The file is not UTF-8 text", "save it with the encoding UTF-8")
    return _json_as_yaml(text) if path.suffix.lower() == ".json" else text


def _json_as_yaml(text: str) -> str:
    """JSON in the words of YAML, on the same lines: YAML has no tabs for indentation, and knows no surrogate pairs."""
    pair = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    return re.sub(rf"{pair}|\\.", _escaped, text.replace("\t", " "))


def _escaped(match: re.Match[str]) -> str:
    escape = match.group()
    if len(escape) == 12:
        return str(json.loads(f'"{escape}"'))
    return "/" if escape == r"\/" else escape
