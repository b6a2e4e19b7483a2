"""The library: classes of machines and their failure models, which every tenant sees.

One folder a class in ``library/``: ``class.yaml`` and a file for every failure model. A tenant's own object with the
same name comes first, as :mod:`wheeltapper_api.resolve` says, and so does an object of the library's namespace that
stands in the user's files.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from wheeltapper_api.fields import LIBRARY_NAMESPACE
from wheeltapper_api.kinds import KINDS, AssetClass, FailureModel, Resource
from wheeltapper_api.parsing import Parser


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the library."""

    path: str
    """Below ``library/``, such as ``fan/unbalance.yaml``."""
    text: str
    content: dict[str, Any]
    resource: AssetClass | FailureModel


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All files, class by class in order of name: the class first, then its failure models by name.

    Raises
    ------
    ValueError
        If a file is no class or failure model; the tests keep that from being shipped.
    """
    return tuple(_read(path, file) for path, file in _files())


def library_resources() -> tuple[Resource, ...]:
    """Classes and failure models of the library."""
    return tuple(entry.resource for entry in entries())


def with_library(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """Resources, and after them those of the library that are not among them already."""
    own = tuple(resources)
    given = {(resource.kind, resource.name) for resource in own if resource.namespace == LIBRARY_NAMESPACE}
    return (*own, *(resource for resource in library_resources() if (resource.kind, resource.name) not in given))


def of_class(name: str) -> tuple[Entry, ...]:
    """Files of a class, itself first; empty if the library has none of that name."""
    return tuple(entry for entry in entries() if class_of(entry.resource) == name)


def class_of(resource: AssetClass | FailureModel) -> str:
    """Name of the class an object of the library is, or is about."""
    return resource.name if isinstance(resource, AssetClass) else resource.spec.asset_class


def _files() -> Iterator[tuple[str, Traversable]]:
    folders = sorted((f for f in files(__package__).joinpath("library").iterdir() if f.is_dir()), key=lambda f: f.name)
    for folder in folders:
        found = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
        for file in sorted(found, key=lambda file: (file.name != "class.yaml", file.name)):
            yield f"{folder.name}/{file.name}", file


def _read(path: str, file: Traversable) -> Entry:
    text = file.read_text(encoding="utf-8")
    (content,) = Parser(text).documents()
    resource = KINDS[content["kind"]].model_validate_json(json.dumps(content), strict=True)
    if not isinstance(resource, AssetClass | FailureModel):
        raise TypeError(f"{path} holds no class or failure model but {resource.ref}")
    return Entry(path, text, content, resource)
