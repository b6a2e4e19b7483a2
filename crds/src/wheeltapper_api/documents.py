"""YAML and JSON files as plain documents that know where each of their fields stands.

Values are those of YAML 1.2's core schema: ``off`` and ``yes`` are strings, and so are dates. libyaml parses; the
values are built by :mod:`wheeltapper_api.parsing`, so that a duplicate key, a key that is not text, and aliases or
levels without bound are errors. A document that cannot be read leaves the others of its file readable.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wheeltapper_api.fields import GROUP
from wheeltapper_api.parsing import DocumentError, FieldPath, Parser, Place
from wheeltapper_api.texts import json_as_yaml, text_of

MAX_BYTES: Final = 64 * 2**20
# The API server stores no object larger than 1.5 MiB (etcd's limit). A List is no object: kubectl takes it apart.
MAX_DOCUMENT: Final = 3 * 2**19
# Who mends fifty documents of a file looks at it again anyway; without a bound a hostile file is a million messages.
MAX_BROKEN: Final = 50
SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
STDIN: Final = Path("-")

# At the beginning of a line these three dashes are a document's, even within quotes: there they are an error.
_BEGIN: Final = re.compile(r"^---(?=[ \t\r\n]|$)", re.MULTILINE)
_IS_LIST: Final = re.compile(r"""^[\s{,]*["']?kind["']?\s*:\s*["']?\w*List\b""", re.MULTILINE)


@dataclass(slots=True)
class Source:
    """Text of one document. Places are found by parsing it again: a problem is rare, and keeping them all is large."""

    name: str
    text: str
    first_line: int = 1
    _places: dict[FieldPath, Place] | None = field(default=None)

    def place_of(self, path: FieldPath) -> Place:
        """Place of a field of the document; of the nearest field around it if it is absent."""
        if self._places is None:
            parser = Parser(self.text, positions=True, first_line=self.first_line)
            next(parser.documents(), None)
            self._places = parser.places
        places = self._places
        around = (path[:end] for end in range(len(path), -1, -1))
        return next((places[path] for path in around if path in places), Place(self.first_line))


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    source: Source
    content: Any
    prefix: FieldPath = ()
    """Where in the file's document it stands, for an item of a ``List``."""
    ambiguous: tuple[tuple[FieldPath, str], ...] = ()
    """Scalars that ``kubectl`` reads otherwise, as they were written."""

    @property
    def file(self) -> str:
        """Name of the file as it was given."""
        return self.source.name

    def place_of(self, path: FieldPath = ()) -> Place:
        """Where a field stands."""
        return self.source.place_of(self.prefix + path)


def field_text(path: FieldPath) -> str:
    """Path as people write it: ``spec.signals[0].kind``."""
    text = ""
    for step in path:
        shown = step if isinstance(step, str) and re.fullmatch(r"[A-Za-z]\w*", step) else f"[{step}]"
        text += f".{shown}" if text and not shown.startswith("[") else shown
    return text


def find_files(paths: list[Path]) -> list[Path]:
    """Files among the paths and in the folders below them, each once, in order of name within a folder.

    Links are followed, each folder once. A folder that cannot be listed is named among the files, so that reading it
    says why.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for file in _in_folder(path) if path.is_dir() else [path]:
            found.setdefault("-" if file == STDIN else os.path.realpath(file), file)
    return list(found.values())


def _in_folder(folder: Path) -> list[Path]:
    files: list[Path] = []
    seen = {os.path.realpath(folder)}
    unreadable: list[OSError] = []
    for name, folders, names in os.walk(folder, onerror=unreadable.append, followlinks=True):
        parent = Path(name)
        # A link may lead back up, or to a folder that was seen elsewhere.
        kept = []
        for child in folders:
            real = os.path.realpath(parent / child)
            if not child.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(child)
        folders[:] = kept
        files += [parent / child for child in names if not child.startswith(".") and _is_document(parent / child)]
    return sorted([*files, *(Path(error.filename) for error in unreadable)])


def _is_document(file: Path) -> bool:
    # A link that leads nowhere is kept: reading it says so. What is no file, such as a socket, is not ours.
    return file.suffix.lower() in SUFFIXES and (file.is_file() or file.is_symlink())


def read_documents(path: Path) -> Iterator[Document | DocumentError]:
    """Documents of a file; empty ones are left out, a ``List`` counts as its items, a broken one is an error.

    Raises
    ------
    DocumentError
        If the file as a whole cannot be read: it is not there, too large, not UTF-8.
    """
    name = "<stdin>" if path == STDIN else str(path)
    # Old line ends too: then a line is a line for everybody who counts.
    text = text_of(_read(path)).replace("\r\n", "\n").replace("\r", "\n")
    broken = 0
    parts = [(json_as_yaml(text), 1)] if path.suffix.lower() == ".json" else _parts(text)
    for part, first_line in parts:
        try:
            yield from _documents(Source(name, part, first_line))
        except DocumentError as error:
            broken += 1
            if broken > MAX_BROKEN:
                yield DocumentError(error.line, "More than 50 documents are broken", "mend those before this one first")
                return
            yield error


def _parts(text: str) -> Iterator[tuple[str, int]]:
    """Documents of a text and the lines they begin at."""
    begins = [0]
    for match in _BEGIN.finditer(text):
        begins.append(_with_directives(text, begins[-1], match.start()))
    line = 1
    for begin, end in zip(begins, [*begins[1:], len(text)], strict=True):
        if begin != end:
            yield text[begin:end], line
            line += text.count("\n", begin, end)


def _with_directives(text: str, lowest: int, dashes: int) -> int:
    """Where a document begins: at its dashes, or at the directives such as %YAML 1.2 that stand before them."""
    begin = at = dashes
    while at > lowest:
        line = text.rfind("\n", lowest, at - 1) + 1 or lowest
        head = text[line:at].lstrip(" \t")[:1]
        if head == "%":
            begin = line
        elif head not in {"#", "\n"}:
            break
        at = line
    return begin


def _documents(source: Source) -> Iterator[Document]:
    size = len(source.text)
    if size > MAX_DOCUMENT and not _IS_LIST.search(source.text):
        size_mib = f"{size / 2**20:.1f} MiB"
        raise DocumentError(
            source.first_line, f"The document has {size_mib}, and Kubernetes stores no more than 1.5 MiB", "split it"
        )
    parser = Parser(source.text, first_line=source.first_line)
    for content in parser.documents():
        items = _items(content)
        if items is None:
            if content is not None:
                yield Document(source, content, (), tuple(parser.ambiguous))
            continue
        for position, item in enumerate(items):
            prefix: FieldPath = ("items", position)
            inside = tuple((path[2:], text) for path, text in parser.ambiguous if path[:2] == prefix)
            yield Document(source, item, prefix, inside)


def _items(content: Any) -> list[Any] | None:
    """Items of a List, as ``kubectl get -o yaml`` prints it, or of a list of one kind, as the API server sends it."""
    if not isinstance(content, dict) or not isinstance(items := content.get("items"), list):
        return None
    kind, version = content.get("kind"), content.get("apiVersion")
    if kind == "List":
        return items
    if not (isinstance(kind, str) and kind.endswith("List") and str(version).startswith(f"{GROUP}/")):
        return None
    head = {"apiVersion": version, "kind": kind.removesuffix("List")}
    return [head | item if isinstance(item, dict) else item for item in items]


def _read(path: Path) -> bytes:
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DocumentError(1, f"The file cannot be read: {error.strerror}", _remedy(error)) from None
    if len(data) > MAX_BYTES:
        raise DocumentError(1, f"The file is larger than {MAX_BYTES >> 20} MiB", "split it into several")
    return data


def _remedy(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "check its name and folder"
        case PermissionError():
            return "give this user the permission to read it"
        case _:
            return "check its name and permissions"
