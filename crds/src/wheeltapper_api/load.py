"""Files and folders of YAML and JSON into resources, and what is wrong in them with file and line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wheeltapper_api.admission import Refusal, admit
from wheeltapper_api.documents import Document, field_text, find_files, read_documents
from wheeltapper_api.explain import nearest, refusals, suggestion
from wheeltapper_api.fields import API_VERSION, GROUP
from wheeltapper_api.kinds import KINDS, Resource
from wheeltapper_api.parsing import DocumentError, FieldPath
from wheeltapper_api.scalars import ambiguity

Progress = Callable[[int, int, Path], None]
"""Called before each file with the number of files done, their total, and the file."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a file: where, what, and what would be right."""

    file: str
    line: int
    field: str
    """Such as ``spec.signals[0].kind``; empty where it is about the whole document."""
    message: str
    remedy: str = ""
    resource: str = ""
    """Such as ``AssetTwin northwater/p-101``."""
    column: int = 1

    def __str__(self) -> str:
        parts = [f"{self.file}:{self.line}", *([self.field] if self.field else []), self.message]
        return ": ".join(parts) + (f"; {self.remedy[0].lower()}{self.remedy[1:]}" if self.remedy else "")

    def as_dict(self) -> dict[str, str | int]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Loaded:
    """Resources of some files, and what was wrong."""

    resources: tuple[Resource, ...]
    problems: list[Problem]
    _origins: dict[int, Document] = field(default_factory=dict, repr=False)
    files: int = 0
    """How many files were read."""
    broken: frozenset[tuple[str, str]] = frozenset()
    """Kind and name of objects that could not be used; both empty where even that much could not be read."""

    def problem(self, resource: Resource, path: FieldPath, message: str, remedy: str) -> Problem:
        """Problem about a field of one of the resources, with its file and line."""
        return _problem(self._origins[id(resource)], Refusal(path, message, remedy), resource.ref)


def load(paths: Iterable[Path], progress: Progress | None = None) -> Loaded:
    """Resources of files and of all ``.yaml``, ``.yml`` and ``.json`` files in folders and their subfolders.

    Documents of other groups, such as Secrets and Deployments, are passed over. The path ``-`` is standard input.
    """
    files = find_files(list(paths))
    reader = _Reader()
    for number, path in enumerate(files):
        if progress is not None:
            progress(number, len(files), path)
        reader.read(path)
    return Loaded(tuple(reader.resources), reader.problems, reader.origins, len(files), frozenset(reader.broken))


class _Reader:
    """Gathers what one file after the other holds."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []
        self.problems: list[Problem] = []
        self.origins: dict[int, Document] = {}
        self.broken: set[tuple[str, str]] = set()

    def read(self, path: Path) -> None:
        try:
            for document in read_documents(path):
                if isinstance(document, DocumentError):
                    self._unreadable(path, document)
                else:
                    self._take(document)
        except DocumentError as error:
            self._unreadable(path, error)

    def _unreadable(self, path: Path, error: DocumentError) -> None:
        name = "<stdin>" if str(path) == "-" else str(path)
        self.problems.append(Problem(name, error.line, "", error.message, error.remedy, column=error.column))
        self.broken.add(("", ""))

    def _take(self, document: Document) -> None:
        result = _resource(document)
        if isinstance(result, Resource):
            self.resources.append(result)
            self.origins[id(result)] = document
        elif result:
            self.problems.extend(result)
            self.broken.add(_kind_and_name(document.content))


def _problem(document: Document, refusal: Refusal, resource: str = "") -> Problem:
    path, message, remedy = refusal
    place = document.place_of(path)
    return Problem(document.file, place.line, field_text(path), message, remedy, resource, place.column)


def _resource(document: Document) -> Resource | list[Problem]:
    content = document.content
    if not isinstance(content, dict):
        wrong = Refusal((), "The document is not a mapping", "Begin with apiVersion, kind and metadata")
        return [_problem(document, wrong)]
    header = _wrong_header(content)
    if header is not None:
        return [_problem(document, wrong) for wrong in header]
    kind = KINDS[content["kind"]]
    found: list[Refusal] = []
    resource: Resource | None = None
    try:
        # Strict, and by way of JSON: as the API server does, "5" is no number and 5 no text, yet enums are texts.
        resource = kind.model_validate_json(json.dumps(content), strict=True)
        found = admit(kind, content)
    except ValidationError as error:
        found = refusals(kind, error.errors(include_url=False), lambda path: document.place_of(path).raw)
    if document.ambiguous:
        wrong_already = {refusal.path for refusal in found}
        found += [Refusal(path, *ambiguity(text)) for path, text in document.ambiguous if path not in wrong_already]
    if resource is not None and not found:
        return resource
    name = _ref(content)
    return [_problem(document, refusal, name) for refusal in found]


def _wrong_header(document: dict[str, Any]) -> list[Refusal] | None:
    """What is wrong in apiVersion and kind, ``[]`` for a document of another group, None where both are right."""
    api_version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(api_version, str):
        return _without_version(document)
    group, _, version = api_version.rpartition("/")
    ours = group == GROUP or nearest(group, [GROUP]) is not None or (not group and kind in KINDS)
    if not ours:
        return []
    wrong = None
    if api_version != API_VERSION:
        what = f"version {version}" if group == GROUP else f"group {group}" if group else f"apiVersion {api_version}"
        wrong = Refusal(("apiVersion",), f"The {what} is unknown", f"Write {API_VERSION}")
    elif not isinstance(kind, str):
        wrong = Refusal((), "The document has no kind", f"Add one of {', '.join(KINDS)}")
    elif kind == "List" or (kind.endswith("List") and kind.removesuffix("List") in KINDS):
        wrong = Refusal(("kind",), f"The {kind} has no list of items", "Put the objects under items")
    elif kind not in KINDS:
        wrong = Refusal(("kind",), f"The kind {kind} is unknown", suggestion(kind, KINDS))
    return [wrong] if wrong else None


def _without_version(document: dict[str, Any]) -> list[Refusal]:
    """A folder may hold values of a chart or the like; what has a kind of ours, or the shape of an object, is ours."""
    kind = document.get("kind")
    if kind not in KINDS and not {"metadata", "spec"} <= document.keys():
        return [] if "apiVersion" not in document else [_not_text(document["apiVersion"])]
    close = next((key for key in document if key.lower() == "apiversion"), None)
    remedy = f"Add apiVersion: {API_VERSION}"
    if close == "apiVersion":
        return [_not_text(document[close])]
    return [Refusal((), "The document has no apiVersion", f"{remedy} (not {close})" if close else remedy)]


def _not_text(version: Any) -> Refusal:
    shown = "empty" if version is None else "not text"
    return Refusal(("apiVersion",), f"The apiVersion is {shown}", f"Write {API_VERSION}")


def _ref(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name, namespace = metadata.get("name", "?"), metadata.get("namespace")
    return f"{document['kind']} {namespace}/{name}" if namespace else f"{document['kind']} {name}"


def _kind_and_name(document: Any) -> tuple[str, str]:
    kind = document.get("kind") if isinstance(document, dict) else None
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return (kind, name) if kind in KINDS and isinstance(name, str) else ("", "")
