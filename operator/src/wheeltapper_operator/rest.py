"""What is no tenant's: the library, and objects in namespaces that no policy names. Nothing runs for them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from wheeltapper_api.checks import check
from wheeltapper_api.kinds import AssetTwin, TenantPolicy
from wheeltapper_operator.inventory import Seen
from wheeltapper_operator.objects import Key
from wheeltapper_operator.reconcile.deletion import finalizers, users
from wheeltapper_operator.reconcile.statuses import Said, accepted, first_verdict
from wheeltapper_operator.reconcile.tenancy import age, tenants
from wheeltapper_operator.tenant import World, merge


async def look_after_the_rest(world: World) -> None:
    """One round over all objects that belong to no tenant, and over policies whose namespace is another's."""
    rest, twins = _rest(world)
    for seen in rest:
        patch = finalizers(seen, needed=bool(users(seen, twins)))
        if patch is not None:
            await merge(world.api, seen.key, patch)
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    await world.statuses.write(_said(world, rest, twins), now)


def _rest(world: World) -> tuple[list[Seen], list[Seen]]:
    owned = tenants(world.inventory)
    everything = list(world.inventory.custom())
    rest = [seen for seen in everything if not _is_tenants(seen, owned)]
    return rest, [seen for seen in everything if isinstance(seen.resource, AssetTwin)]


def _is_tenants(seen: Seen, owned: dict[str, str]) -> bool:
    if seen.key.kind == TenantPolicy.__name__:
        return seen.key.name in owned.values()
    return seen.key.namespace in owned


def _said(world: World, rest: list[Seen], twins: list[Seen]) -> Iterator[tuple[Seen, Said]]:
    of = {id(seen.resource): seen for seen in rest}
    findings: dict[Key, list[Any]] = {}
    # The oldest first: of two policies that claim a namespace the check finds fault with the later one.
    everything = sorted(world.inventory.custom(), key=age)
    for finding in check([seen.resource for seen in everything if seen.resource is not None]):
        seen = of.get(id(finding.resource))
        if seen is not None:
            findings.setdefault(seen.key, []).append(finding)
    plain = [seen.resource for seen in twins if isinstance(seen.resource, AssetTwin)]
    for seen in rest:
        verdict = first_verdict(seen, findings, twins)
        yield seen, Said(verdict or accepted(seen, plain))
