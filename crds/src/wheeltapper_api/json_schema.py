"""The kinds as JSON Schema (draft 2020-12), for editors: completion, hovering, and red lines while one types.

Made from the same structural schema as the CRDs. What an editor needs beyond that: unknown fields are errors, every
default stands there, and those CEL rules that say which fields go together become keywords. The other rules stand in
the descriptions; ``wheeltapper validate`` holds a file to all of them.
"""

from __future__ import annotations

import json
from typing import Any, Final

from wheeltapper_api.field_words import WORDS
from wheeltapper_api.fields import API_VERSION
from wheeltapper_api.json_rules import rule_keywords
from wheeltapper_api.kinds import KINDS
from wheeltapper_api.kinds.meta import ObjectMeta, Resource
from wheeltapper_api.reference import Field, fields_of
from wheeltapper_api.schema import Schema, schema_of

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_KEPT: Final = ("description", "enum", "format", "pattern", "minLength", "maxLength", "minItems", "maxItems")


def kind_schema(kind: type[Resource]) -> dict[str, Any]:
    """JSON Schema of one kind."""
    return {"$schema": DRAFT, **_object(kind)}


def all_kinds_schema() -> dict[str, Any]:
    """JSON Schema of files with objects of any kind; those of other groups pass, as they do in ``validate``."""
    ours = {"type": "object", "properties": {"apiVersion": {"const": API_VERSION}}, "required": ["apiVersion"]}
    choices = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"], "allOf": [ours]},
            "then": {"$ref": f"#/$defs/{name}"},
        }
        for name in KINDS
    ]
    known = {"if": ours, "then": {"properties": {"kind": {"enum": list(KINDS)}}, "required": ["kind"]}}
    return {
        "$schema": DRAFT,
        "title": API_VERSION,
        "description": "An object of Kubernetes; those of wheeltapper.dev are checked.",
        "type": ["object", "null"],
        "allOf": [known, *choices],
        "$defs": {name: _object(kind) for name, kind in KINDS.items()},
    }


def schema_text(schema: dict[str, Any]) -> str:
    """Text of a schema file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _object(kind: type[Resource]) -> dict[str, Any]:
    fields = fields_of(kind)
    schema = _node(schema_of(kind), fields, "")
    words = WORDS["Resource"]
    schema["title"] = kind.__name__
    schema["required"] = sorted({"apiVersion", "kind", *schema["required"]})
    schema["properties"] |= {
        "apiVersion": {"const": API_VERSION, "description": words["apiVersion"]},
        "kind": {"const": kind.__name__, "description": words["kind"]},
        "metadata": _metadata(),
    }
    if "status" in schema["properties"]:
        schema["properties"]["status"]["readOnly"] = True
    return schema


def _metadata() -> dict[str, Any]:
    words = WORDS["ObjectMeta"]
    name = {"type": "string", "minLength": 1, **{k: v for k, v in _name_schema().items() if k != "type"}}
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    written: dict[str, Any] = {
        "name": name | {"description": words["name"]},
        "namespace": name | {"description": words["namespace"]},
        "labels": texts | {"description": words["labels"]},
        "annotations": texts | {"description": words["annotations"]},
    }
    # What the API server adds: a file that kubectl printed has it, nobody writes it.
    others = {field.alias or field_name: True for field_name, field in ObjectMeta.model_fields.items()}
    return {
        "description": WORDS["Resource"]["metadata"],
        "type": "object",
        "properties": others | written,
        "required": ["name"],
        "additionalProperties": False,
    }


def _name_schema() -> Schema:
    properties: dict[str, Schema] = schema_of(KINDS["Plant"])["properties"]["metadata"]["properties"]
    return properties["name"]


def _node(schema: Schema, fields: dict[str, Field], path: str) -> dict[str, Any]:
    """Node of JSON Schema of a structural one."""
    node: dict[str, Any] = {"type": schema["type"]} | {key: schema[key] for key in _KEPT if key in schema}
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if bound in schema:
            node[exclusive if schema.get(exclusive) else bound] = schema[bound]
    if schema["type"] == "array":
        node["items"] = _node(schema["items"], fields, path)
        if schema.get("x-kubernetes-list-type") == "set":
            node["uniqueItems"] = True
    if schema["type"] == "object":
        node |= _properties(schema, fields, path)
    if (field := fields.get(path)) is not None:
        node |= _words(node, field)
    return node


def _properties(schema: Schema, fields: dict[str, Field], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "properties": {
            name: _node(child, fields, f"{path}.{name}" if path else name)
            for name, child in schema["properties"].items()
            if path or name not in {"apiVersion", "kind", "metadata"}
        },
        "additionalProperties": False,
    }
    if "required" in schema:
        found["required"] = schema["required"]
    rules = schema.get("x-kubernetes-validations", [])
    keywords = [keyword for rule in rules if (keyword := rule_keywords(rule["rule"])) is not None]
    return found | ({"allOf": keywords} if keywords else {})


def _words(node: dict[str, Any], field: Field) -> dict[str, Any]:
    """Description with the meaning of each value and the rules, and the default."""
    lines = [field.description]
    lines += [f"{value}: {words}" for value, words in field.values.items() if words]
    lines += [f"Rule: {message}." for message in field.rules]
    found: dict[str, Any] = {"description": "\n".join(lines)}
    if field.default is not None and node["type"] not in {"object", "array"}:
        found["default"] = field.default
    return found
