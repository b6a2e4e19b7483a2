"""What one object cannot tell about itself: whether names exist, units convert, and models fit their classes.

Pure: resources in, findings out. The operator makes conditions of them, ``wheeltapper validate`` lines with file and
number. A reference that does not exist yet is a finding and no refusal, so the order in which objects arrive does not
matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wheeltapper_api.checks.asset_class import check_class
from wheeltapper_api.checks.failure_model import check_model
from wheeltapper_api.checks.finding import Finding
from wheeltapper_api.checks.plant import check_plant
from wheeltapper_api.checks.tenancy import check_policy, check_tenancy
from wheeltapper_api.checks.twin import check_twin
from wheeltapper_api.checks.twins import check_twins
from wheeltapper_api.kinds import AssetClass, AssetTwin, FailureModel, Plant, Resource, TenantPolicy
from wheeltapper_api.resolve import Resolver

__all__ = ["Finding", "check"]


def check(resources: Iterable[Resource]) -> tuple[Finding, ...]:
    """What is wrong between the objects of a set, in the order of the set.

    Parameters
    ----------
    resources
        All objects of one or several tenants and of the library; what is not among them does not exist.
    """
    everything = tuple(resources)
    resolver = Resolver(everything)
    findings = [*check_tenancy(everything, resolver), *check_twins(everything, resolver)]
    for resource in everything:
        findings.extend(_of_one(resource, resolver))
    order = {id(resource): index for index, resource in enumerate(everything)}
    return tuple(sorted(findings, key=lambda finding: order[id(finding.resource)]))


def _of_one(resource: Resource, resolver: Resolver) -> Iterator[Finding]:
    if isinstance(resource, AssetTwin | Plant) and resolver.tenant_of(resource) is None:
        # That nobody owns its namespace is said already; what it refers to is somewhere else or nowhere.
        return
    match resource:
        case AssetTwin():
            yield from check_twin(resource, resolver)
        case AssetClass():
            yield from check_class(resource)
        case FailureModel():
            yield from check_model(resource, resolver)
        case Plant():
            yield from check_plant(resource, resolver)
        case TenantPolicy():
            yield from check_policy(resource, resolver)
        case _:
            pass
