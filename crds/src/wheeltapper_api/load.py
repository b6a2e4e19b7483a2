"""Files and folders of YAML and JSON into resources, and what is wrong in them with file and line."""

from __future__ import annotations

import json
from collections.abc import Iterable
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

    def problem(self, resource: Resource, path: FieldPath, message: str, remedy: str) -> Problem:
        """Problem about a field of one of the resources, with its file and line."""
        return _problem(self._origins[id(resource)], Refusal(path, message, remedy), resource.ref)


def load(paths: Iterable[Path]) -> Loaded:
    """Resources of files and of all ``.yaml``, ``.yml`` and ``.json`` files in folders and their subfolders.

    Documents of other groups, such as Secrets and Deployments, are passed over.
    """
    resources: list[Resource] = []
    problems: list[Problem] = []
    origins: dict[int, Document] = {}
    for path in find_files(list(paths)):
        try:
            for document in read_documents(path):
                result = _resource(document)
                if isinstance(result, Resource):
                    resources.append(result)
                    origins[id(result)] = document
                else:
                    problems.extend(result)
        except DocumentError as error:
            problems.append(Problem(str(path), error.line, "", error.message, error.remedy))
    return Loaded(tuple(resources), problems, origins)


def _problem(document: Document, refusal: Refusal, resource: str = "") -> Problem:
    path, message, remedy = refusal
    return Problem(document.file, document.line_of(path), field_text(path), message, remedy, resource)


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
        found = refusals(kind, error.errors(include_url=False))
    if resource is not None and not found:
        return resource
    name = _ref(content)
    return [_problem(document, refusal, name) for refusal in found]


def _wrong_header(document: dict[str, Any]) -> list[Refusal] | None:
    """What is wrong in apiVersion and kind, ``[]`` for a document of another group, None where both are right."""
    api_version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(api_version, str):
        return [Refusal((), "The document has no apiVersion", f"Add apiVersion: {API_VERSION}")]
    group, _, version = api_version.rpartition("/")
    if group != GROUP and nearest(group, [GROUP]) is None:
        return []
    wrong = None
    if api_version != API_VERSION:
        what = f"version {version}" if group == GROUP else f"group {group}"
        wrong = Refusal(("apiVersion",), f"The {what} is unknown", f"Write {API_VERSION}")
    elif not isinstance(kind, str):
        wrong = Refusal((), "The document has no kind", f"Add one of {', '.join(KINDS)}")
    elif kind not in KINDS:
        wrong = Refusal(("kind",), f"The kind {kind} is unknown", suggestion(kind, KINDS))
    return [wrong] if wrong else None


def _ref(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name, namespace = metadata.get("name", "?"), metadata.get("namespace")
    return f"{document['kind']} {namespace}/{name}" if namespace else f"{document['kind']} {name}"
