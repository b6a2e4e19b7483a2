"""What the API server checks beyond types: nulls, formats, unique list entries and CEL rules, from the same schema.

Like there, it looks at the document as written, before any default, and only once its fields have the right types.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from wheeltapper_api.cel import CelError, compile_rule
from wheeltapper_api.kinds.meta import Resource
from wheeltapper_api.parsing import FieldPath
from wheeltapper_api.schema import Schema, schema_of


class Refusal(NamedTuple):
    """What is wrong in a document, and what would be right."""

    path: FieldPath
    message: str
    remedy: str


Check = Callable[[Any, FieldPath, list[Refusal]], None]

TIME_REMEDY: Final = "Write date, time and zone, such as 2026-03-04T06:00:00Z"
_WITHOUT_ZONE: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?")
_DATE_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})",
)


def admit(kind: type[Resource], document: Mapping[str, Any]) -> list[Refusal]:
    """What the API server would refuse in a document whose fields have the right types."""
    refusals: list[Refusal] = []
    if "spec" in document:
        _checks_of(kind)(document["spec"], ("spec",), refusals)
    return refusals


@lru_cache(maxsize=64)
def _checks_of(kind: type[Resource]) -> Check:
    return _compile(schema_of(kind)["properties"]["spec"]) or _nothing


def _nothing(value: Any, path: FieldPath, out: list[Refusal]) -> None:
    """Check of a schema that asks for nothing."""


def _compile(schema: Schema) -> Check | None:
    match schema["type"]:
        case "object":
            return _object(schema)
        case "array":
            return _list(schema)
        case _:
            return {"date": _date, "date-time": _date_time}.get(schema.get("format", ""))


def _object(schema: Schema) -> Check:
    children = {name: _compile(child) for name, child in schema["properties"].items()}
    rules = [(compile_rule(r["rule"]), r["message"]) for r in schema.get("x-kubernetes-validations", ())]

    def check(value: Any, path: FieldPath, out: list[Refusal]) -> None:
        if value is None:
            out.append(Refusal(path, "This field is empty", "Give it a value or remove it"))
            return
        before = len(out)
        for name, entry in value.items():
            if entry is None:
                out.append(Refusal((*path, name), "This field is empty", "Give it a value or remove it"))
            elif (child := children.get(name)) is not None:
                child(entry, (*path, name), out)
        # A rule reads the fields below it; where those are wrong it would only say so again.
        if len(out) == before:
            out.extend(Refusal(path, message, "") for holds, message in rules if not _holds(holds, value))

    return check


def _holds(rule: Callable[[Any], bool], value: Any) -> bool:
    try:
        return rule(value)
    except CelError:
        return False


def _list(schema: Schema) -> Check | None:
    child = _compile(schema["items"])
    sort = schema.get("x-kubernetes-list-type", "atomic")
    keys: list[str] = schema.get("x-kubernetes-list-map-keys", [])

    def check(value: Any, path: FieldPath, out: list[Refusal]) -> None:
        if sort != "atomic":
            _unique(value, path, keys, out)
        if child is not None:
            for index, entry in enumerate(value):
                child(entry, (*path, index), out)

    return None if child is None and sort == "atomic" else check


def _unique(entries: list[Any], path: FieldPath, keys: list[str], out: list[Refusal]) -> None:
    seen: set[Any] = set()
    for index, entry in enumerate(entries):
        key = tuple(entry.get(name) for name in keys) if keys else entry
        if key in seen:
            shown = ", ".join(f"{name} {entry[name]}" for name in keys) if keys else str(entry)
            out.append(
                Refusal(
                    (*path, index),
                    f"A second entry with {shown}" if keys else f"{shown} stands here twice",
                    "Keep one of them or rename one" if keys else "Keep one of them",
                )
            )
        seen.add(key)


def _date(value: Any, path: FieldPath, out: list[Refusal]) -> None:
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        out.append(Refusal(path, f"{value} is not a day of the calendar", "Write year-month-day, such as 2026-03-04"))


def _date_time(value: Any, path: FieldPath, out: list[Refusal]) -> None:
    if (wrong := time_mistake(value)) is not None:
        out.append(Refusal(path, *wrong))


def time_mistake(text: str) -> tuple[str, str] | None:
    """What is wrong with a time of RFC 3339, and what would be right; None where nothing is."""
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return f"{text[:40]} is not a time", TIME_REMEDY
    if _DATE_TIME.fullmatch(text):
        return None
    if _WITHOUT_ZONE.fullmatch(text):
        return f"{text} has no time zone", f"Add Z for UTC or an offset: {text}+01:00"
    return f"{text[:40]} is not a time", TIME_REMEDY
