"""A finding, and checks that several kinds share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from wheeltapper_api.checks.address import address_mistake
from wheeltapper_api.conditions import INVALID, REFERENCE_NOT_FOUND
from wheeltapper_api.explain import suggestion
from wheeltapper_api.fields import duration_ns
from wheeltapper_api.kinds import Resource
from wheeltapper_api.kinds.assetclass import Contract
from wheeltapper_api.kinds.failuremodel import Clear, SeverityBand
from wheeltapper_api.parsing import FieldPath

_SEVERITIES = ("watch", "warn", "act")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in an object that a person has to change."""

    resource: Resource
    """The object to change; ``resource.ref`` is its name in messages."""
    path: FieldPath
    reason: str
    """A reason of :mod:`wheeltapper_api.conditions`."""
    message: str
    remedy: str


def not_found(
    resource: Resource, path: FieldPath, what: str, name: str, known: Collection[str], where: str = ""
) -> Finding:
    """Finding that a name stands for nothing, with the nearest that exists."""
    message = f"There is no {what} {name}" + (f" in {where}" if where else "")
    return Finding(resource, path, REFERENCE_NOT_FOUND, message, suggestion(name, known))


def invalid(resource: Resource, path: FieldPath, message: str, remedy: str) -> Finding:
    """Finding that a spec contradicts itself."""
    return Finding(resource, path, INVALID, message, remedy)


def check_address(resource: Resource, path: FieldPath, field: str, address: str) -> Iterator[Finding]:
    """An address must be one of its protocol; ``path`` is that of the entry, ``field`` the address's in it."""
    if (wrong := address_mistake(field, address)) is not None:
        yield invalid(resource, (*path, field), *wrong)


def check_contract(resource: Resource, path: FieldPath, contract: Contract) -> Iterator[Finding]:
    """A contract must be possible to keep."""
    interval, stale = duration_ns(contract.interval), duration_ns(contract.stale_after)
    if interval == 0:
        yield invalid(resource, (*path, "interval"), "The interval is zero", "Write the time between two samples")
    elif stale < interval:
        yield invalid(
            resource,
            (*path, "staleAfter"),
            f"A signal that comes every {contract.interval} would be stale after {contract.stale_after} already",
            f"Write {contract.interval} or longer, usually some multiples of it",
        )


def check_severities(
    resource: Resource, path: FieldPath, severities: Sequence[SeverityBand], clear: Clear, clear_path: FieldPath
) -> Iterator[Finding]:
    """Severities must rise in the order of their names, and an alert must end below all of them."""
    ranked = sorted(enumerate(severities), key=lambda pair: _SEVERITIES.index(pair[1].name))
    for (_, lower), (index, higher) in pairwise(ranked):
        if higher.above <= lower.above:
            yield invalid(
                resource,
                (*path, index, "above"),
                f"{higher.name} begins at {higher.above:g}, not above {lower.name} at {lower.above:g}",
                f"Write more than {lower.above:g}",
            )
    if severities and (lowest := min(band.above for band in severities)) < clear.below:
        yield invalid(
            resource,
            clear_path,
            f"An alert begins at {lowest:g} and ends below {clear.below:g}, so it would open and end at once",
            f"Clear below {lowest:g} or less",
        )
