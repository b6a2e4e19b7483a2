"""Verdicts on all objects of a tenant, and the statuses they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wheeltapper_api.checks import Finding
from wheeltapper_api.fields import duration_ns
from wheeltapper_api.kinds import AssetTwin, FailureModel, Plant, TenantPolicy
from wheeltapper_api.kinds.meta import Condition
from wheeltapper_operator.inventory import Seen
from wheeltapper_operator.objects import Key
from wheeltapper_operator.reconcile.deletion import held, in_use, users
from wheeltapper_operator.reconcile.tenancy import View
from wheeltapper_operator.status import verdicts
from wheeltapper_operator.status.conditions import Verdict, conditions
from wheeltapper_operator.status.observed import Observed, observed
from wheeltapper_operator.status.verdicts import Workers

Findings = Mapping[Key, list[Finding]]


@dataclass(frozen=True, slots=True)
class Said:
    """What is to be said of an object: the verdict, and what its kind tells beside."""

    verdict: Verdict
    more: Mapping[str, Any] = field(default_factory=dict)


def of_tenant(
    view: View, findings: Findings, workers: Workers, hindrance: Verdict | None
) -> Iterator[tuple[Seen, Said]]:
    """What is to be said of a tenant's policy and the objects of its namespace.

    Parameters
    ----------
    hindrance
        What hinders the whole tenant.
    """
    machines = observed(workers.reports)
    faults = verdicts.faults(workers.reports)
    fresh_ns = _fresh_ns(view.policy)
    twins = view.twins()
    used = Counter(twin.spec.asset_class for twin in twins)
    for seen in (view.policy, *view.own):
        own = first_verdict(seen, findings, view.own)
        resource = seen.resource
        if isinstance(resource, AssetTwin):
            name, machine = seen.key.name, machines.get(seen.key.name)
            found = own or verdicts.twin(name, workers, machine, fresh_ns, hindrance, faults.get(name))
            yield seen, Said(found, _machine(machine, workers.now_ns - fresh_ns))
        elif own is not None:
            yield seen, Said(own)
        elif isinstance(resource, Plant):
            yield seen, Said(verdicts.plant(seen.key.name, (c.name for c in resource.spec.connections), workers))
        elif isinstance(resource, TenantPolicy):
            yield seen, Said(hindrance or verdicts.tenant(len(twins), workers))
        else:
            yield seen, Said(accepted(seen, used))


def first_verdict(seen: Seen, findings: Findings, others: Iterable[Seen]) -> Verdict | None:
    """Verdict that needs no worker: what is not understood, still needed, or wrong."""
    if seen.resource is None:
        return verdicts.not_understood(seen.mistake)
    if seen.deleting and held(seen) and (by := users(seen, others)):
        return in_use(by)
    return verdicts.mistakes(findings.get(seen.key, []))


def accepted(seen: Seen, used: Counter[str]) -> Verdict:
    """Verdict on a class or failure model without mistakes; ``used`` counts twins by their class."""
    name = seen.resource.spec.asset_class if isinstance(seen.resource, FailureModel) else seen.key.name
    return verdicts.accepted(used[name], AssetTwin.__name__)


def status(seen: Seen, before: Mapping[str, Any], said: Said, now: str) -> dict[str, Any]:
    """Status of an object as it is written.

    Parameters
    ----------
    before
        The status it has.
    now
        The time, as RFC 3339 writes it.
    """
    known = [Condition.model_validate(one) for one in before.get("conditions", ())]
    found = conditions(known, seen.generation, said.verdict, now)
    return {
        "observedGeneration": seen.generation,
        "conditions": [condition.model_dump(mode="json", by_alias=True) for condition in found],
        **said.more,
    }


def _fresh_ns(policy: Seen) -> int:
    resource = policy.resource
    return duration_ns(resource.spec.freshness.telemetry) if isinstance(resource, TenantPolicy) else 0


def _machine(seen: Observed | None, fresh_since_ns: int) -> dict[str, Any]:
    """An old score says nothing about a machine that is silent now; an alert stays open until something ends it."""
    if seen is None:
        return {"health": "unknown", "openAlerts": 0}
    good = "good" if seen.scored and seen.received_ns >= fresh_since_ns else "unknown"
    return {"health": seen.worst or good, "openAlerts": seen.alerts} | ({"mode": seen.mode} if seen.mode else {})
