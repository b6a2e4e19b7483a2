"""Checks between twins: relations, and names that only one machine may have."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from wheeltapper_api.checks.finding import Finding, invalid, not_found
from wheeltapper_api.conditions import AMBIGUOUS
from wheeltapper_api.kinds import AssetTwin, Resource
from wheeltapper_api.kinds.assettwin import Relation
from wheeltapper_api.resolve import Resolver

_FIELDS = {"partOf": "part_of", "drives": "drives", "feeds": "feeds", "standbyFor": "standby_for"}
# Water and goods may go round in a loop; a part of itself, or a shaft that drives itself, may not be.
_WITHOUT_LOOPS = ("partOf", "drives")
_SHOWN = 8


def check_twins(resources: Iterable[Resource], resolver: Resolver) -> Iterator[Finding]:
    """What is wrong between twins."""
    twins = [resource for resource in resources if isinstance(resource, AssetTwin)]
    yield from _check_unique(twins, resolver)
    targets: dict[str, dict[tuple[str, str], set[str]]] = {field: {} for field in _FIELDS}
    for twin in twins:
        for relation in twin.spec.relations:
            field, other = _relation(relation)
            targets[field].setdefault((resolver.namespace(twin), twin.name), set()).add(other)
    for field in _WITHOUT_LOOPS:
        targets[field] = _near_loops(targets[field])
    for twin in twins:
        for index, relation in enumerate(twin.spec.relations):
            yield from _check_relation(twin, index, relation, resolver, targets)


def _relation(relation: Relation) -> tuple[str, str]:
    for field, attribute in _FIELDS.items():
        if (other := getattr(relation, attribute)) is not None:
            return field, other
    raise ValueError("A relation names no other twin")


def _check_relation(
    twin: AssetTwin,
    index: int,
    relation: Relation,
    resolver: Resolver,
    targets: Mapping[str, Mapping[tuple[str, str], set[str]]],
) -> Iterator[Finding]:
    field, other = _relation(relation)
    path = ("spec", "relations", index, field)
    namespace = resolver.namespace(twin)
    if other == twin.name:
        yield invalid(twin, path, f"{twin.name} is related to itself", "Name the other machine")
    elif resolver.find(AssetTwin, namespace, other) is None:
        yield not_found(twin, path, "AssetTwin", other, resolver.names(AssetTwin, namespace))
    elif field in _WITHOUT_LOOPS and (way := _way(namespace, other, twin.name, targets[field])):
        message = f"{field} leads from {twin.name} by {_shown(way)} back to {twin.name}"
        yield invalid(twin, path, message, "Remove one of them")


def _near_loops(targets: dict[tuple[str, str], set[str]]) -> dict[tuple[str, str], set[str]]:
    """Relations without those that lead nowhere: what remains runs in a loop or into one.

    A plant's machines form trees of thousands, and a search from every one of them would take minutes.
    """
    sources: dict[tuple[str, str], set[tuple[str, str]]] = {}
    left = {source: {(source[0], name) for name in names} for source, names in targets.items()}
    for source, others in left.items():
        for other in others:
            sources.setdefault(other, set()).add(source)
    ends = [other for other in sources if other not in left]
    while ends:
        end = ends.pop()
        for source in sources.get(end, ()):
            left[source].discard(end)
            if not left[source]:
                ends.append(source)
    return {source: {name for _, name in others} for source, others in left.items() if others}


def _way(namespace: str, start: str, goal: str, targets: Mapping[tuple[str, str], set[str]]) -> list[str]:
    """Shortest way along relations from one twin to another, without the goal; empty if there is none."""
    before: dict[str, str] = {start: ""}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        if name == goal:
            way = []
            while name := before[name]:
                way.append(name)
            return way[::-1]
        for other in sorted(targets.get((namespace, name), ())):
            if other not in before:
                before[other] = name
                waiting.append(other)
    return []


def _shown(way: list[str]) -> str:
    if len(way) > _SHOWN:
        return f"{', '.join(way[:_SHOWN])} and {len(way) - _SHOWN} more"
    return ", ".join(way)


def _check_unique(twins: list[AssetTwin], resolver: Resolver) -> Iterator[Finding]:
    """An alias or a tag of a plant belongs to one machine; the first to claim it keeps it."""
    aliases: dict[tuple[str, ...], str] = {}
    tags: dict[tuple[str, ...], str] = {}
    for twin in twins:
        where = (resolver.namespace(twin), twin.spec.plant)
        for index, alias in enumerate(twin.spec.aliases):
            owner = aliases.setdefault((*where, alias.system, alias.id), twin.name)
            if owner != twin.name:
                message = f"The name {alias.id} in {alias.system} belongs to {owner} already"
                yield Finding(twin, ("spec", "aliases", index, "id"), AMBIGUOUS, message, "Correct one of the two")
        if twin.spec.tag is not None and (source := resolver.tag_source(twin)) is not None:
            owner = tags.setdefault((*where, twin.spec.asset_class, source, twin.spec.tag), twin.name)
            if owner != twin.name:
                message = f"The tag {twin.spec.tag} belongs to {owner} already, so both would read the same signals"
                yield Finding(twin, ("spec", "tag"), AMBIGUOUS, message, "Correct one of the two")
