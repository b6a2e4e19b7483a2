"""A page for each kind, made of its model, a tested example, words written by hand, and the table of reasons.

The words stand beside this module, in ``kind_pages/<kind>.md``: what the kind is for, and how to work with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from wheeltapper_api.conditions import CONDITIONS, EVENT, REASONS, WORKER
from wheeltapper_api.kind_fields import SORTS, common_fields, field_tables
from wheeltapper_api.kinds import KINDS, AssetTwin, Resource
from wheeltapper_api.markdown import table

HEADER: Final = "<!-- Generated from crds/src/wheeltapper_api by `make generate`; change that, not this. -->\n\n"
FOLDER: Final = "examples/pump-station"
_KINDS_MARK: Final = "<!-- kinds -->"


class _Shown(NamedTuple):
    """Where an example comes from."""

    file: str
    name: str
    most: int = 100
    """So many entries of each list are shown."""


_EXAMPLES: Final = {
    "TenantPolicy": _Shown("tenant.yaml", "northwater"),
    "Plant": _Shown("plant.yaml", "riverside", 2),
    "AssetClass": _Shown("centrifugal-pump.yaml", "centrifugal-pump", 2),
    "FailureModel": _Shown("failure-models.yaml", "bearing-wear"),
    "AssetTwin": _Shown("twins.yaml", "p-101"),
}


def pages(examples: Path) -> dict[str, str]:
    """Text of every page by its file name.

    Parameters
    ----------
    examples
        Folder with the pump station's files.
    """
    return {page_of(kind): page(kind, examples) for kind in KINDS.values()} | {"README.md": index()}


def page_of(kind: type[Resource]) -> str:
    """File name of a kind's page."""
    return f"{kind.resource.singular}.md"


def page(kind: type[Resource], examples: Path) -> str:
    """Page of a kind."""
    name, resource = kind.__name__, kind.resource
    purpose, _, work = _written(resource.singular).partition("\n## ")
    scope = "of the whole cluster" if resource.scope == "Cluster" else "of a namespace"
    shown = _EXAMPLES[name]
    lines = [
        f"# {name}",
        "",
        purpose,
        f"An object {scope}: `kubectl get {resource.plural}`, or `{resource.short_names[-1]}` for short.",
        f"`wheeltapper explain-field {resource.singular}.spec` tells of its fields on the command line.",
        "",
        f"From [`{FOLDER}/{shown.file}`](../../{FOLDER}/{shown.file}):",
        "",
        "```yaml",
        *example(kind, examples),
        "```",
        "",
        f"## {work}",
        "",
        "## Status",
        "",
        "[How to read a status](README.md#reading-a-status). Each condition with the reasons that it can have here:",
        "",
        *_conditions(name),
        "## Fields",
        "",
        "Types are explained [on the first page](README.md#types).",
        "",
        *field_tables(kind),
    ]
    return HEADER + "\n".join(lines)


def index() -> str:
    """The page that leads to the others, with what all kinds share."""
    lines = [
        _written("readme").replace(_KINDS_MARK, "\n".join(_kinds())),
        "",
        "## Types",
        "",
        *table(("type", "is written as"), sorted(SORTS.items())),
        "",
        "## Fields of all kinds",
        "",
        *common_fields(),
        "",
        "## Events",
        "",
        "`kubectl events` shows when an object has become ready or not, or silent, with the reason of that condition.",
        "One reason stands in Events alone:",
        "",
        *_reasons(AssetTwin.__name__, EVENT),
        "",
        "## Workers",
        "",
        "Workers are no objects of the API server. `kubectl twin get workers` shows what they tell of themselves; the",
        "first thing that is wrong is the `Degraded` of their [TenantPolicy](tenantpolicy.md#degraded).",
        "",
        *_conditions(WORKER),
        "## Reasons",
        "",
        "Where each is explained:",
        "",
        *(f"- `{name}`: {_places(name)}" for name in sorted(REASONS)),
        "",
    ]
    return HEADER + "\n".join(lines)


def example(kind: type[Resource], examples: Path) -> list[str]:
    """Lines of a kind's example: one object of a file, with only the first entries of long lists."""
    shown = _EXAMPLES[kind.__name__]
    text = (examples / shown.file).read_text(encoding="utf-8")
    for part in text.split("\n---\n"):
        content = yaml.safe_load(part)
        if (content["kind"], content["metadata"]["name"]) == (kind.__name__, shown.name):
            return shortened(part.strip("\n").split("\n"), shown.most)
    raise ValueError(f"{FOLDER}/{shown.file} has no {kind.__name__} {shown.name}")


def shortened(lines: list[str], most: int) -> list[str]:
    """Lines of block YAML with so many entries of each list, and a word on how many more there are."""
    found: list[str] = []
    lists: list[_List] = []  # those that are open, the outermost first
    for line in lines:
        indent, is_entry = len(line) - len(line.lstrip()), line.lstrip().startswith("- ")
        if not line.lstrip().startswith("#"):
            while lists and lists[-1].ends(indent, is_entry=is_entry):
                _close(lists, most, found)
            if is_entry and (not lists or lists[-1].indent < indent):
                lists.append(_List(indent))
            if is_entry:
                lists[-1].entries += 1
        if all(one.entries <= most for one in lists):
            found.append(line)
    while lists:
        _close(lists, most, found)
    return found


@dataclass(slots=True)
class _List:
    """A list of which some lines were seen."""

    indent: int
    entries: int = 0

    def ends(self, indent: int, *, is_entry: bool) -> bool:
        """Whether a line is behind it."""
        return indent < self.indent or (indent == self.indent and not is_entry)


def _close(lists: list[_List], most: int, found: list[str]) -> None:
    last = lists.pop()
    if last.entries > most and all(one.entries <= most for one in lists):
        found.append(f"{' ' * last.indent}# and {last.entries - most} more")


def _written(name: str) -> str:
    return files(__package__).joinpath("kind_pages", f"{name}.md").read_text(encoding="utf-8").strip()


def _kinds() -> list[str]:
    rows = [
        (
            f"[{name}]({page_of(kind)})",
            f"`{kind.resource.short_names[-1]}`",
            "cluster" if kind.resource.scope == "Cluster" else "namespace",
            " ".join((kind.__doc__ or "").split()),
        )
        for name, kind in KINDS.items()
    ]
    return table(("kind", "short", "scope", "says"), rows)


def _conditions(kind: str) -> Iterator[str]:
    """All conditions that a kind can have, each with its reasons."""
    for condition, meaning in CONDITIONS.items():
        reasons = _reasons(kind, condition)
        if reasons:
            yield from (f"### {condition}", "", meaning, "", *reasons, "")


def _reasons(kind: str, condition: str) -> list[str]:
    rows = [
        (f"`{name}`", reason.meaning, reason.remedy)
        for name, reason in REASONS.items()
        if condition in reason.of.get(kind, ())
    ]
    return table(("reason", "says", "what to do"), rows) if rows else []


def _places(name: str) -> str:
    """Links to where a reason is explained."""
    links = []
    for kind, (condition, *_) in REASONS[name].of.items():
        file = "" if kind == WORKER or condition == EVENT else page_of(KINDS[kind])
        links.append(f"[{kind}]({file}#{'events' if condition == EVENT else condition.lower()})")
    return ", ".join(links)
