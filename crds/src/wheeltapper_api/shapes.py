"""What a structural schema allows, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from wheeltapper_api.explain import PATTERN_WORDS
from wheeltapper_api.schema import Schema

_SORTS: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def sort_of(schema: Schema, model: str = "") -> str:
    """What a value is: ``text``, ``duration``, ``list of Signal``.

    Parameters
    ----------
    schema
        Structural schema of the field.
    model
        Name of the model that the field, or each entry of its list, holds.
    """
    if schema["type"] == "array":
        return f"list of {model or _plural(sort_of(schema['items']))}"
    if schema["type"] == "object":
        return f"mapping {model}".strip()
    if schema.get("format"):
        return {"date": "date", "date-time": "time"}[schema["format"]]
    if "enum" in schema:
        return "one of its values"
    known = PATTERN_WORDS.get(schema.get("pattern", ""))
    return known[0].split(" ", 1)[1] if known else _SORTS[schema["type"]]


def constraints(schema: Schema) -> Iterator[str]:
    """What a value must keep to, one sentence each."""
    if schema["type"] == "array":
        yield f"{schema.get('minItems', 0)} to {schema['maxItems']} entries"
        yield from _unique(schema)
        schema = schema["items"]
    if "enum" not in schema and schema["type"] == "string":
        yield from _text(schema)
    if schema["type"] in {"integer", "number"}:
        yield from _bounds(schema)


def _text(schema: Schema) -> Iterator[str]:
    known = PATTERN_WORDS.get(schema.get("pattern", ""))
    if known:
        yield known[1]
    elif schema.get("format") == "date-time":
        yield "date, time and zone, such as 2026-03-04T06:00:00Z"
    elif "maxLength" in schema:
        yield f"{schema.get('minLength', 0)} to {schema['maxLength']} characters"


def _bounds(schema: Schema) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    # The bounds of every reading are those of what JSON carries exactly; nobody needs to read them.
    if low is not None and low > -1e15:
        yield f"{'above' if schema.get('exclusiveMinimum') else 'at least'} {_number(low)}"
    if high is not None and high < 1e15:
        yield f"{'below' if schema.get('exclusiveMaximum') else 'at most'} {_number(high)}"


def _unique(schema: Schema) -> Iterator[str]:
    keys: list[str] = schema.get("x-kubernetes-list-map-keys", [])
    if keys:
        yield f"no two entries with the same {' and '.join(keys)}"
    elif schema.get("x-kubernetes-list-type") == "set":
        yield "no entry twice"


def _plural(word: str) -> str:
    return {"text": "texts", "one of its values": "values"}.get(word, f"{word}s")


def _number(value: Any) -> str:
    return f"{value:,.10g}" if abs(value) < 1e12 else f"{value:g}"
