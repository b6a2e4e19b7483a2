"""What is no tenant's: the library, and objects in namespaces that no policy names. Nothing runs for them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from typing import Any

from wheeltapper_api.checks import check
from wheeltapper_api.kinds import AssetClass, AssetTwin, TenantPolicy
from wheeltapper_operator.inventory import Seen
from wheeltapper_operator.kube.merge import merge
from wheeltapper_operator.objects import Key
from wheeltapper_operator.reconcile.deletion import finalizers, held, users
from wheeltapper_operator.reconcile.statuses import Said, accepted, first_verdict
from wheeltapper_operator.reconcile.tenancy import age, tenants
from wheeltapper_operator.tenant import World


async def look_after_the_rest(world: World) -> bool:
    """One round over all objects that belong to no tenant, and over policies whose namespace is another's.

    Says whether all is done, or something had changed meanwhile and another round is due.
    """
    done = True
    owned = tenants(world.inventory)
    rest = [seen for seen in world.inventory.custom() if not _is_tenants(seen, owned)]
    twins = list(world.inventory.of(AssetTwin.__name__))
    used = Counter(seen.resource.spec.asset_class for seen in twins if isinstance(seen.resource, AssetTwin))
    for seen in rest:
        patch = finalizers(seen, needed=_is_needed(seen, twins, used))
        if patch is not None:
            done &= await merge(world.api, world.inventory, seen, patch)
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    await world.statuses.write(_said(world, rest, twins, used), now)
    return done


def _is_needed(seen: Seen, twins: list[Seen], used: Counter[str]) -> bool:
    """A fleet of thousands is looked through for the few objects that others could need, and counted once for all."""
    if isinstance(seen.resource, AssetClass):
        return used[seen.key.name] > 0
    return held(seen) and bool(users(seen, twins))


def _is_tenants(seen: Seen, owned: dict[str, str]) -> bool:
    if seen.key.kind == TenantPolicy.__name__:
        return seen.key.name in owned.values()
    return seen.key.namespace in owned


def _said(world: World, rest: list[Seen], twins: list[Seen], used: Counter[str]) -> Iterator[tuple[Seen, Said]]:
    of = {id(seen.resource): seen for seen in rest}
    findings: dict[Key, list[Any]] = {}
    # The oldest first: of two policies that claim a namespace the check finds fault with the later one. What is in a
    # tenant's namespace is checked with the tenant.
    policies = world.inventory.of(TenantPolicy.__name__)
    known = sorted({seen.key: seen for seen in (*policies, *rest)}.values(), key=age)
    for finding in check([seen.resource for seen in known if seen.resource is not None]):
        seen = of.get(id(finding.resource))
        if seen is not None:
            findings.setdefault(seen.key, []).append(finding)
    for seen in rest:
        yield seen, Said(first_verdict(seen, findings, twins) or accepted(seen, used))
