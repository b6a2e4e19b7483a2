"""Pydantic's errors in the words of someone who writes YAML: what is wrong, and what would be right."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from pydantic_core import ErrorDetails

from wheeltapper_api.admission import TIME_REMEDY, Refusal, time_mistake
from wheeltapper_api.fields import DATE_PATTERN, DURATION_PATTERN, NAME_PATTERN, SIZE_PATTERN, VERSION_PATTERN
from wheeltapper_api.kinds.meta import Resource
from wheeltapper_api.parsing import FieldPath
from wheeltapper_api.schema import Schema, schema_of

PATTERN_WORDS: Final = {
    NAME_PATTERN: ("a name", "lower-case letters, digits and dashes, at most 63, such as pump-101"),
    DURATION_PATTERN: ("a duration", "a whole number and ms, s, m, h or d, such as 30s or 24h"),
    VERSION_PATTERN: ("a version", "three numbers, such as 1.0.0"),
    DATE_PATTERN: ("a date", "year-month-day, such as 2026-03-04"),
    SIZE_PATTERN: ("a size", "a whole number and Ki, Mi, Gi or Ti, such as 20Gi"),
    r"^[A-Za-z0-9_.-]+$": ("a tag", "letters, digits, dots, dashes and underscores, such as P-101"),
    r"^opc\.tcp://[^\s]+$": ("an OPC UA endpoint", "a URL such as opc.tcp://scada:4840"),
    r"^mqtts?://[^\s]+$": ("a broker's URL", "a URL such as mqtts://broker:8883"),
    r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=-]+)*$": (
        "a bucket's URL",
        "bucket and prefix, such as s3://plant-data/tables",
    ),
    r"^https?://[^\s/@?#]+$": ("a server's URL", "scheme, host and port, such as https://s3.example.com:9000"),
    r"^[a-z0-9-]+$": ("a region", "lower-case letters, digits and dashes, such as eu-central-1"),
    r"^[A-Za-z0-9.:-]+$": ("a host", "a host name or address, such as plc-3.example.net"),
    r"^[A-Za-z0-9_+/-]+$": ("a time zone", "an IANA name, such as Europe/Amsterdam"),
}
_NOUNS: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_TRUTH: Final = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"} | {
    word: word for word in ("true", "false")
}
_MOST_COMPARED: Final = 1000
_SHOWN: Final = 12


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of the words that a misspelt word most likely stands for."""
    by_lower = {option.lower(): option for option in words}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def suggestion(word: str, words: Collection[str]) -> str:
    """Remedy that offers the nearest of some words, or the first of them."""
    if not words:
        return "There is none yet"
    # Comparing with more takes milliseconds, and thousands of twins may misspell the same name.
    close = nearest(word, words) if len(words) <= _MOST_COMPARED else None
    if close is not None:
        return f"Did you mean {close}?"
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"Known are {', '.join(sorted(islice(words, _SHOWN)))}{more}"


RawOf = Callable[[FieldPath], str | None]
"""Scalar without quotes as it was written, by its path."""


def refusals(kind: type[Resource], errors: Sequence[ErrorDetails], raw: RawOf = lambda _: None) -> list[Refusal]:
    """Pydantic's errors as refusals, one a place.

    Parameters
    ----------
    kind
        The kind that the document claims to be.
    errors
        What Pydantic says.
    raw
        How a value was written: a remedy repeats that, not what a program made of it.
    """
    return [_refusal(_root(kind), error, raw) for error in errors]


@lru_cache(maxsize=64)
def _root(kind: type[Resource]) -> Schema:
    return schema_of(kind)


def _refusal(root: Schema, error: ErrorDetails, raw: RawOf) -> Refusal:
    path = error["loc"]
    schema = _at(root, path)
    match error["type"]:
        case "missing":
            return Refusal(path, f"{path[-1]} is missing", f"Add it: {_expected(schema)}" if schema else "Add it")
        case "extra_forbidden":
            return Refusal(path, f"There is no field {path[-1]} here", _right_field(root, path))
        case _:
            pass
    if schema is None:
        return Refusal(path, error["msg"], "")
    return Refusal(path, *_wrong_value(schema, error["input"], raw(path), str(path[-1])))


def _right_field(root: Schema, path: Sequence[str | int]) -> str:
    """Remedy for a field that is not there: one deeper, one that is spelt alike, one elsewhere in the kind."""
    name = str(path[-1])
    around = _at(root, path[:-1])
    here: dict[str, Schema] = around.get("properties", {}) if around else {}
    inside = next((child for child, schema in here.items() if name in _fields_of(schema)), None)
    if inside is not None:
        return f"It belongs in {inside}"
    if nearest(name, here) is None and (place := _elsewhere(root, name)) is not None:
        return f"It belongs in {place}"
    return suggestion(name, here)


def _fields_of(schema: Schema) -> dict[str, Schema]:
    found: dict[str, Schema] = schema.get("items", schema).get("properties", {})
    return found


def _elsewhere(schema: Schema, name: str, place: str = "") -> str | None:
    """Where else in a schema a field of a name is, if in one place only."""
    places: list[str] = []
    waiting = [(schema, place)]
    while waiting:
        node, at = waiting.pop()
        fields = _fields_of(node)
        if name in fields and at and not at.startswith("status"):
            places.append(at)
        waiting += [
            (child, (f"{at}." if at else "") + field + ("[]" if "items" in child else ""))
            for field, child in fields.items()
        ]
    return places[0] if len(places) == 1 else None


def _wrong_value(schema: Schema, value: Any, raw: str | None, name: str) -> tuple[str, str]:
    sort = schema["type"]
    if value is None:
        return "This field is empty", f"Write {_expected(schema)}"
    if (scalar := _wrong_scalar(schema, value, raw)) is not None:
        return scalar
    if isinstance(value, dict | list) or sort in {"array", "object"}:
        return _wrong_shape(schema, value, name)
    if "enum" in schema:
        close = nearest(str(value), schema["enum"])
        choice = f"Did you mean {close}? " if close else ""
        return f"{_short(value)} is not possible here", f"{choice}Write {_expected(schema)}"
    if sort == "string" and schema.get("pattern") not in PATTERN_WORDS:
        return f"The text has {len(value)} characters", f"Write {_expected(schema)}"
    noun = PATTERN_WORDS[schema["pattern"]][0] if sort == "string" else _expected(schema)
    return f"{_short(raw or value)} is not {noun}", f"Write {_expected(schema)}"


def _wrong_scalar(schema: Schema, value: Any, raw: str | None) -> tuple[str, str] | None:
    """What is wrong where it is less the value than how it is written."""
    sort = schema["type"]
    if sort == "string" and isinstance(value, bool | int | float):
        text = raw or (str(value).lower() if isinstance(value, bool) else str(value))
        return f"{text} is not text but {_sort_of(value)}", f'Put it in quotes: "{text}"'
    if sort in {"integer", "number"} and (infinite := _infinite(value, raw)) is not None:
        return f"{infinite} is not a finite number, and JSON has no other", "Write a number, or leave the field out"
    if sort in {"integer", "number"} and isinstance(value, str) and _is_number(value):
        return f'"{value}" is text, not a number', f"Write it without quotes: {value}"
    if sort == "boolean" and isinstance(value, str) and value.lower() in _TRUTH:
        return f"{value} is not true or false", f"Write {_TRUTH[value.lower()]}"
    if schema.get("format") == "date-time" and isinstance(value, str):
        return time_mistake(value) or (f"{_short(value)} is not a time", TIME_REMEDY)
    return None


def _infinite(value: Any, raw: str | None) -> str | None:
    """A number that is none, as it was written."""
    if isinstance(value, float) and not math.isfinite(value):
        return raw or str(value)
    words = {"inf", "infinity", "nan"}
    return value if isinstance(value, str) and value.lower().lstrip("+-.") in words else None


def _wrong_shape(schema: Schema, value: Any, name: str) -> tuple[str, str]:
    given, wanted = _sort_of(value), _NOUNS[schema["type"]]
    if given == wanted:
        return _length(schema, value), _remedy(schema)
    message, remedy = f"This is {given}, not {wanted}", _remedy(schema)
    if schema["type"] == "object" and isinstance(value, list):
        # A list where a mapping has exactly one list that must be there belongs in that one.
        inside = [n for n in schema.get("required", []) if schema["properties"][n]["type"] == "array"]
        if len(inside) == 1:
            others = [field for field in schema["properties"] if field != inside[0]]
            beside = f", and beside it {', '.join(others)} where needed" if others else ""
            remedy = f"Write {name}: {{{inside[0]}: [...]}}{beside}"
    if schema["type"] == "string" and isinstance(value, dict) and list(value.values()) == [None]:
        remedy = f'Put text that begins with a brace in quotes: "{{{next(iter(value))}}}"'
    return message, remedy


def _length(schema: Schema, value: Sequence[Any]) -> str:
    return f"The list has {len(value)} entries" if schema["type"] == "array" else "This is not possible here"


def _remedy(schema: Schema) -> str:
    if schema["type"] == "array":
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        return f"Write a list of {low} to {high} entries, each beginning with a dash"
    return f"Write {_expected(schema)}"


def _expected(schema: Schema) -> str:
    """What belongs here, as the object of "write"."""
    sort: str = schema["type"]
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if sort == "string":
        known = PATTERN_WORDS.get(schema.get("pattern", ""))
        return (
            known[1]
            if known
            else f"text of {schema.get('minLength', 0)} to {schema.get('maxLength', 'many')} characters"
        )
    if sort == "object":
        return f"a mapping of {', '.join(schema.get('properties', {}))}"
    return _NOUNS[sort] + (_bounds(schema) if sort in {"integer", "number"} else "")


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = "above" if schema.get("exclusiveMinimum") else "from"
    below = "below" if schema.get("exclusiveMaximum") else "to"
    # The bounds of every reading are those of JSON's safe numbers; a person has no use for them in a message.
    words = [f"{above} {low:g}"] if low is not None and low > -1e15 else []
    words += [f"{below} {high:g}"] if high is not None and high < 1e15 else []
    return " " + " ".join(words) if words else ""


def _at(schema: Schema, path: Sequence[str | int]) -> Schema | None:
    found: Schema | None = schema
    for step in path:
        if found is None:
            return None
        found = found.get("items") if isinstance(step, int) else found.get("properties", {}).get(step)
    return found


def _sort_of(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
