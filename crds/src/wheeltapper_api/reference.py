"""Every field of every kind with what there is to say about it, for the command line and for editors."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wheeltapper_api.explain import nearest
from wheeltapper_api.field_words import VALUES, WORDS
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.kinds.meta import Resource
from wheeltapper_api.schema import Schema, schema_of
from wheeltapper_api.shapes import constraints, sort_of

_OF_SERVER: Final = frozenset({"apiVersion", "kind", "metadata"})
# What a person writes of an object's metadata; the rest is the API server's.
_METADATA: Final[Schema] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        **{
            name: {**schema_of(KINDS["Plant"])["properties"]["metadata"]["properties"]["name"], "description": words}
            for name, words in WORDS["ObjectMeta"].items()
            if name in {"name", "namespace"}
        },
        **{
            name: {"type": "object", "description": words}
            for name, words in WORDS["ObjectMeta"].items()
            if name in {"labels", "annotations"}
        },
    },
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a kind."""

    kind: str
    path: str
    """Names from the kind down, without indexes: ``spec.signals.statistic``; empty for the kind itself."""
    sort: str
    """What it is: ``text``, ``list of Signal``, ``one of``..."""
    description: str
    required: bool
    default: Any = None
    values: Mapping[str, str] = field(default_factory=dict)
    """Values it can have, and what each means; empty texts where the value says it."""
    constraints: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    """Rules of the mapping that it is, or that each entry of its list is."""
    children: tuple[str, ...] = ()
    """Names of the fields below it."""

    @property
    def name(self) -> str:
        """Path with the kind, the way a person asks for it: ``assettwin.spec.signals.node``."""
        return ".".join(filter(None, (self.kind.lower(), self.path)))


@lru_cache(maxsize=16)
def fields_of(kind: type[Resource]) -> dict[str, Field]:
    """All fields of a kind by their path, the kind itself under the empty path, in the order of their declaration."""
    return {found.path: found for found in _walk(kind)}


def kind_named(word: str) -> type[Resource] | None:
    """Kind of a name, in any case, singular, plural or short, such as ``twin`` or ``assettwins``."""
    wanted = word.lower()
    for kind in KINDS.values():
        resource = kind.resource
        if wanted in {resource.singular, resource.plural, *resource.short_names}:
            return kind
    return None


def kind_words() -> list[str]:
    """All names of all kinds."""
    return [word for kind in KINDS.values() for word in (kind.resource.singular, *kind.resource.short_names)]


@dataclass(frozen=True, slots=True)
class Answer:
    """The field somebody asked for, or why there is none."""

    field: Field | None
    remark: str = ""
    """What was understood instead, or what is wrong and what would be right."""


def find_field(text: str) -> Answer:
    """Field of a path such as ``assettwin.spec.signals.node``; indexes and case do not matter.

    A field that the kind does not have is looked for under the same names in the other kinds: what a twin does not say
    itself is its class's.
    """
    head, *steps = [
        step for step in re.sub(r"\[[^\]]*\]", "", text.strip()).split(".") if step and not step.isdigit()
    ] or [""]
    kind = kind_named(head)
    if kind is None:
        close = nearest(head, kind_words())
        return Answer(None, f"There is no kind {head}. " + (f"Did you mean {close}?" if close else _kinds()))
    found = _follow(kind, steps)
    if isinstance(found, Field):
        return Answer(found)
    missing, at = found
    others = [_follow(other, steps) for other in KINDS.values() if other is not kind]
    elsewhere = [other for other in others if isinstance(other, Field)]
    if len(elsewhere) == 1:
        other = elsewhere[0]
        return Answer(other, f"{at.name} has no field {missing} of its own; this is {other.name}")
    return Answer(None, f"There is no field {missing} in {at.name}. {_nearest_field(kind, at, missing)}")


def _kinds() -> str:
    return f"Known are {', '.join(kind.resource.singular for kind in KINDS.values())}"


def _nearest_field(kind: type[Resource], at: Field, missing: str) -> str:
    close = nearest(missing, at.children)
    if close is not None:
        return f"Did you mean {at.name}.{close}?"
    same = [f.name for f in fields_of(kind).values() if f.path.rpartition(".")[2].lower() == missing.lower()]
    if same:
        return f"Did you mean {' or '.join(same[:3])}?"
    return f"It has {', '.join(at.children)}" if at.children else "It has no fields below it"


def _follow(kind: type[Resource], steps: list[str]) -> Field | tuple[str, Field]:
    """Field at the end of the steps, or the first step that leads nowhere and where it was taken."""
    fields = fields_of(kind)
    at = fields[""]
    for step in steps:
        name = next((child for child in at.children if child.lower() == step.lower()), None)
        if name is None:
            return step, at
        at = fields[".".join(filter(None, (at.path, name)))]
    return at


def _walk(kind: type[Resource]) -> Iterator[Field]:
    schema = schema_of(kind)
    yield _described(kind, "", schema, kind, None, required=True)
    yield from _below(kind, "", schema, kind)


def _below(kind: type[Resource], path: str, schema: Schema, model: type[BaseModel]) -> Iterator[Field]:
    required = set(schema.get("required", []))
    infos = {info.alias or name: info for name, info in model.model_fields.items()}
    for name, child in schema.get("properties", {}).items():
        if name == "metadata" and not path:
            child = _METADATA  # noqa: PLW2901 - the CRD's own has to leave out what the API server knows anyway
        here = f"{path}.{name}" if path else name
        info = infos[name]
        found = _inner(info.annotation)
        yield _described(kind, here, child, found, info, required=name in required or (not path and name in _OF_SERVER))
        if inspect.isclass(found) and issubclass(found, BaseModel):
            yield from _below(kind, here, child.get("items", child), found)


def _described(
    kind: type[Resource], path: str, schema: Schema, of: Any, info: FieldInfo | None, *, required: bool
) -> Field:
    entry = schema.get("items", schema)
    words = VALUES.get(f"{kind.__name__}.{path}", {})
    if inspect.isclass(of) and issubclass(of, Enum):
        words = VALUES.get(of.__name__, {}) | value_words(of)
    return Field(
        kind=kind.__name__,
        path=path,
        sort=sort_of(schema, of.__name__ if inspect.isclass(of) and issubclass(of, BaseModel) else ""),
        description=schema.get("description") or WORDS["Resource"].get(path, ""),
        required=required,
        default=_default(info) if info is not None and not required else None,
        values={value: words.get(value, "") for value in entry.get("enum", [])},
        constraints=tuple(constraints(schema)),
        rules=tuple(rule["message"] for rule in entry.get("x-kubernetes-validations", [])),
        children=tuple(entry.get("properties", {})),
    )


def _default(info: FieldInfo) -> Any:
    value = info.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    return value.value if isinstance(value, Enum) else value


def _inner(annotation: Any) -> Any:
    """The model, enum or scalar within optional, annotated and list types."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        (only,) = (argument for argument in arguments if argument is not types.NoneType)
        return _inner(only)
    return _inner(arguments[0]) if origin in {Annotated, list} else annotation


@lru_cache(maxsize=64)
def value_words(enum: type[Enum]) -> dict[str, str]:
    """What each value of an enum means, from the texts under its members."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(enum))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    found: dict[str, str] = {}
    for member, words in pairwise(body):
        match member, words:
            case ast.Assign(value=ast.Constant(value=str(value))), ast.Expr(value=ast.Constant(value=str(text))):
                found[value] = " ".join(text.split()).replace("``", "")
            case _:
                pass
    return found
