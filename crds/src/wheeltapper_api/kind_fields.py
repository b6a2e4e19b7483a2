"""The fields of a kind as tables, one for what stands in the spec itself and one for each part of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from wheeltapper_api.explain import PATTERN_WORDS
from wheeltapper_api.kinds import KINDS, Resource
from wheeltapper_api.markdown import table
from wheeltapper_api.reference import Field, fields_of

SORTS: Final[Mapping[str, str]] = {
    **{name.split(" ", 1)[1]: words for name, words in PATTERN_WORDS.values()},
    "time": "date, time and zone, such as 2026-03-04T06:00:00Z",
    "text": "any characters; in quotes where YAML would take it for something else",
    "number": "a decimal number that is finite",
    "whole number": "a number without a fraction",
    "true or false": "just that",
    "one of": "one of the values that the field lists",
    "mapping": "fields below, each on a line of its own",
}
"""How values of each type are written."""
_HEAD: Final = ("field", "type", "default", "means")
_SHARED: Final = ("apiVersion", "kind", "metadata", "status.conditions")
"""Fields that are the same for all kinds, with those below them."""


def field_tables(kind: type[Resource]) -> Iterator[str]:
    """All fields of a kind but those that all have."""
    own = [field for field in fields_of(kind).values() if "." in field.path and not _is_shared(field)]
    parts = [field for field in own if field.path.count(".") == 1 and field.children]
    inside = {field.path for part in parts for field in own if field.path.startswith(f"{part.path}.")}
    for root in ("spec", "status"):
        yield from (f"### {root}", "")
        yield from _table(kind, [one for one in own if one.path.startswith(f"{root}.") and one.path not in inside])
        for part in (one for one in parts if one.path.startswith(f"{root}.")):
            yield from (f"### {part.path}", "", part.description.replace("``", "`"), *_rules(part), "")
            yield from _table(kind, [field for field in own if field.path.startswith(f"{part.path}.")])


def common_fields() -> list[str]:
    """Fields that all kinds have."""
    kind = next(iter(KINDS.values()))
    found = [field for field in fields_of(kind).values() if _is_shared(field)]
    return table(_HEAD, [_row(kind, field) for field in found])


def _is_shared(field: Field) -> bool:
    return any(field.path == path or field.path.startswith(f"{path}.") for path in _SHARED)


def _table(kind: type[Resource], fields: list[Field]) -> list[str]:
    return [*table(_HEAD, [_row(kind, field) for field in fields]), ""]


def _row(kind: type[Resource], field: Field) -> tuple[str, str, str, str]:
    sort = _sort(field)
    if field.children and field.path.count(".") == 1 and not _is_shared(field):
        sort = f"[{sort}](#{field.path.replace('.', '').lower()})"
    return f"`{_path(kind, field)}`", sort, _default(kind, field), _meaning(kind, field)


def _path(kind: type[Resource], field: Field) -> str:
    """Path with brackets where a list is gone into."""
    fields, steps = fields_of(kind), field.path.split(".")
    above = [".".join(steps[: end + 1]) for end in range(len(steps) - 1)]
    lists = ["[]" if fields[path].sort.startswith("list") else "" for path in above]
    return "".join(f"{step}{mark}." for step, mark in zip(steps, lists, strict=False)) + steps[-1]


def _sort(field: Field) -> str:
    if field.values:
        return "list of values" if field.sort.startswith("list") else "one of"
    if field.sort.startswith("list of ") and field.children:
        return "list of mappings"
    return field.sort.split(" ")[0] if field.sort.startswith("mapping") else field.sort


def _default(kind: type[Resource], field: Field) -> str:
    if field.required:
        return "**required**"
    if isinstance(field.default, dict):
        # Where every field below has its own default, that says it.
        below = [fields_of(kind)[f"{field.path}.{name}"] for name in field.children]
        return f"`{_flow(field.default)}`" if any(one.required for one in below) else ""
    return "" if field.default in (None, "", []) else f"`{_flow(field.default)}`"


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return text.removesuffix("\n").removesuffix("\n...").replace("'", "")


def _meaning(kind: type[Resource], field: Field) -> str:
    words = field.description.replace("``", "`")
    limits = [text for text in field.constraints if text not in SORTS.values()]
    if limits:
        words += f" {_sentence('; '.join(limits).replace('0 to ', 'at most '))}"
    words += "".join(f"<br>{rule}" for rule in (_rules_of(field) if field.path.count(".") > 1 else ()))
    return words + _values(kind, field)


def _values(kind: type[Resource], field: Field) -> str:
    if not field.values:
        return ""
    first = next(one for one in fields_of(kind).values() if one.values == field.values)
    if first is not field and any(field.values.values()):
        return f"<br>Values as for `{_path(kind, first)}`."
    if any(field.values.values()):
        return "".join(
            f"<br>`{value}`: {words}" if words else f"<br>`{value}`" for value, words in field.values.items()
        )
    return f"<br>{', '.join(f'`{value}`' for value in field.values)}"


def _rules(part: Field) -> list[str]:
    rules = list(_rules_of(part))
    return ["", *(f"- {rule}" for rule in rules)] if rules else []


def _rules_of(field: Field) -> Iterator[str]:
    return (_sentence(rule) for rule in field.rules)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
