"""Pydantic models into the structural OpenAPI schemas that a CRD takes, and into whole CRDs.

Pydantic's own JSON Schema is not structural: it shares parts through ``$ref`` and writes optional fields as a choice
with null. Here every part is written out where it is used and an optional field is simply not required.

No ``default`` is written. The API server would put it into stored objects, and a later change of a default would then
hold for some objects and not for others; so what is stored is what a person said, and the defaults live in the models
alone.

Rules of structural schemas:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from wheeltapper_api.field_words import words_for
from wheeltapper_api.fields import DATE_PATTERN, GROUP, NAME_PATTERN, VERSION
from wheeltapper_api.kinds.meta import Column, ListMap, ListSet, Resource, Rule

Schema = dict[str, Any]

_SCALARS: dict[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
}
# What the API server itself writes is not described: it accepts no schema for it beyond the name's.
_METADATA: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 63, "pattern": NAME_PATTERN}},
}


def crd(kind: type[Resource]) -> dict[str, Any]:
    """CustomResourceDefinition of a kind."""
    resource = kind.resource
    names = {
        "categories": ["wheeltapper"],
        "kind": kind.__name__,
        "listKind": f"{kind.__name__}List",
        "plural": resource.plural,
        "shortNames": list(resource.short_names),
        "singular": resource.singular,
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in resource.columns],
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema_of(kind)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": resource.scope, "versions": [version]},
    }


def schema_of(model: type[BaseModel]) -> Schema:
    """Structural schema of a model, its docstrings as descriptions and its rules as CEL validations."""
    schema: Schema = {"type": "object"}
    if description := _description(model):
        schema["description"] = description
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    schema["properties"] = {name: _field(model, name, field) for name, field in fields.items()}
    if required := [name for name, field in fields.items() if field.is_required()]:
        schema["required"] = sorted(required)
    rules: Iterable[Rule] = getattr(model, "rules", ())
    if validations := [_validation(rule) for rule in rules]:
        schema["x-kubernetes-validations"] = validations
    return schema


def _field(model: type[BaseModel], name: str, field: FieldInfo) -> Schema:
    # A kind's apiVersion and kind have one value each, which the server has matched before it looks at the schema.
    if issubclass(model, Resource) and name in {"apiVersion", "kind", "metadata"}:
        return _METADATA if name == "metadata" else {"type": "string", "maxLength": 63}
    schema = _of(field.annotation, field.metadata)
    if isinstance(field.json_schema_extra, dict):
        schema |= field.json_schema_extra
    # A field's own words say more than those of the model it holds.
    if words := field.description or words_for(model.__mro__, name):
        schema["description"] = _one_line(words)
    return schema


def _of(annotation: Any, metadata: Iterable[Any] = ()) -> Schema:
    """Schema of a type with the constraints that annotate it; those nearer to the field come later and win."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _of(arguments[0], [*arguments[1:], *metadata])
    if origin in {Union, types.UnionType}:
        (only,) = (argument for argument in arguments if argument is not types.NoneType)
        return _of(only, metadata)
    schema = _plain(annotation, origin, arguments)
    for constraint in metadata:
        schema |= _constraint(constraint, schema["type"])
    if schema.get("pattern") == DATE_PATTERN:
        schema["format"] = "date"
    return schema


def _plain(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Schema:
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0]), "x-kubernetes-list-type": "atomic"}
    if inspect.isclass(annotation):
        if issubclass(annotation, BaseModel):
            return schema_of(annotation)
        if issubclass(annotation, Enum):
            return {"type": "string", "enum": [member.value for member in annotation]}
        if annotation in _SCALARS:
            return dict(_SCALARS[annotation])
    raise TypeError(f"{annotation} has no structural schema; use a model, an enum, a list or a bounded scalar")


def _constraint(constraint: Any, sort: str) -> Schema:
    size = "Length" if sort == "string" else "Items"
    found: Schema = {}
    match constraint:
        case ListMap(keys):
            found = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
        case ListSet():
            found = {"x-kubernetes-list-type": "set"}
        case StringConstraints(pattern=pattern, min_length=least, max_length=most):
            found = {"pattern": pattern, "minLength": least, "maxLength": most}
        case annotated_types.MinLen(least):
            found = {f"min{size}": least}
        case annotated_types.MaxLen(most):
            found = {f"max{size}": most}
        case annotated_types.Ge(bound):
            found = {"minimum": bound}
        case annotated_types.Gt(bound):
            found = {"minimum": bound, "exclusiveMinimum": True}
        case annotated_types.Le(bound):
            found = {"maximum": bound}
        case annotated_types.Lt(bound):
            found = {"maximum": bound, "exclusiveMaximum": True}
        case FieldInfo(metadata=inner, json_schema_extra=extra):
            found = {key: value for part in inner for key, value in _constraint(part, sort).items()}
            found |= extra if isinstance(extra, dict) else {}
        case _:
            # Pydantic's own remark that a number is finite has no counterpart: JSON has no others.
            pass
    return {key: value for key, value in found.items() if value is not None}


def _validation(rule: Rule) -> dict[str, str]:
    return {"rule": rule.rule, "message": rule.message, "reason": rule.reason}


def _column(column: Column) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        shown["description"] = column.description
    if column.priority:
        shown["priority"] = column.priority
    return shown


def _description(model: type[BaseModel]) -> str:
    return _one_line(inspect.cleandoc(model.__doc__)) if model.__doc__ else ""


def _one_line(text: str) -> str:
    """First paragraph on one line, without the marks that only a reader of the source has use for."""
    return " ".join(text.strip().split("\n\n")[0].split()).replace("``", "")
