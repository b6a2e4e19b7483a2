"""Checks of who owns what: duplicate objects, namespaces, and a tenant's limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from wheeltapper_api.checks.finding import Finding, invalid, not_found
from wheeltapper_api.conditions import AMBIGUOUS, LIMIT_EXCEEDED, REFERENCE_NOT_FOUND
from wheeltapper_api.explain import suggestion
from wheeltapper_api.fields import LIBRARY_NAMESPACE, duration_ns
from wheeltapper_api.kinds import AssetTwin, FailureModel, Plant, Resource, TenantPolicy
from wheeltapper_api.kinds.tenantpolicy import Streams
from wheeltapper_api.resolve import Resolver

_MOST_OF_STREAMS: Final = 90
"""Percent of the tenant's storage."""
_DAY_NS: Final = 86_400 * 10**9


def check_tenancy(resources: Iterable[Resource], resolver: Resolver) -> Iterator[Finding]:
    """Objects that stand there twice, and objects that belong to no tenant."""
    seen: set[tuple[str, str, str]] = set()
    namespaces: dict[str, str] = {}
    for resource in resources:
        key = (resource.kind, resolver.namespace(resource), resource.name)
        if key in seen:
            yield Finding(resource, ("metadata", "name"), AMBIGUOUS, f"A second {resource.ref}", "Rename or remove one")
            continue
        seen.add(key)
        if isinstance(resource, TenantPolicy):
            owner = namespaces.setdefault(resource.tenant_namespace, resource.name)
            if owner != resource.name:
                message = f"The namespace {resource.tenant_namespace} belongs to the tenant {owner} already"
                yield Finding(resource, _namespace_path(resource), AMBIGUOUS, message, "Give each its own")
        else:
            yield from _check_namespace(resource, resolver)


def _namespace_path(policy: TenantPolicy) -> tuple[str, ...]:
    return ("spec", "namespace") if policy.spec.namespace else ("metadata", "name")


def _check_namespace(resource: Resource, resolver: Resolver) -> Iterator[Finding]:
    namespace = resolver.namespace(resource)
    path = ("metadata", "namespace")
    tenants = [tenant.namespace for tenant in resolver.tenants()]
    if namespace == LIBRARY_NAMESPACE:
        if isinstance(resource, AssetTwin | Plant):
            message = f"The library holds classes and failure models, no {resource.kind}"
            yield invalid(resource, path, message, "Write the tenant's namespace")
    elif not namespace:
        remedy = suggestion("", tenants) if tenants else "Add a TenantPolicy to the files, or write metadata.namespace"
        message = "The object has no namespace, and there is not exactly one TenantPolicy that it could belong to"
        yield Finding(resource, ("metadata",), REFERENCE_NOT_FOUND, message, remedy)
    elif namespace not in tenants:
        message = f"There is no TenantPolicy for the namespace {namespace}"
        remedy = suggestion(namespace, tenants) if tenants else "Add the TenantPolicy to the files"
        yield Finding(resource, path, REFERENCE_NOT_FOUND, message, remedy)


def check_policy(policy: TenantPolicy, resolver: Resolver) -> Iterator[Finding]:
    """What is wrong between a tenant's policy and what the tenant has."""
    if policy.metadata.namespace is not None:
        path = ("metadata", "namespace")
        yield invalid(
            policy, path, "A TenantPolicy belongs to the cluster", "Remove it; spec.namespace names the tenant's"
        )
    if policy.tenant_namespace == LIBRARY_NAMESPACE:
        yield invalid(policy, _namespace_path(policy), "The library is no tenant's", "Write another namespace")
    for index, route in enumerate(policy.spec.alerting.routes):
        known = resolver.names(Plant, policy.tenant_namespace)
        for at, plant in enumerate(route.match.plants):
            if plant not in known:
                route_path = ("spec", "alerting", "routes", index, "match", "plants", at)
                yield not_found(policy, route_path, "Plant", plant, known)
    library = resolver.names(FailureModel, LIBRARY_NAMESPACE)
    for index, name in enumerate(policy.spec.library.failure_models or []):
        if name not in library:
            model_path = ("spec", "library", "failureModels", index)
            yield not_found(policy, model_path, "FailureModel", name, library, "the library")
    yield from _check_retention(policy)
    yield from _check_limits(policy, resolver)
    yield from _check_streams(policy)


def _check_streams(policy: TenantPolicy) -> Iterator[Finding]:
    streams = policy.spec.streams
    shares = sum(streams.limits(name)[0] for name in Streams.model_fields)
    if shares > _MOST_OF_STREAMS:
        message = f"The streams take {shares} % of limits.storage, and the tables need {100 - _MOST_OF_STREAMS} % of it"
        yield invalid(policy, ("spec", "streams"), message, "Lower a share")


def _check_retention(policy: TenantPolicy) -> Iterator[Finding]:
    """Days are deleted as a whole, so none may go before it is over; and an alert must outlast what is kept for it."""
    kept = policy.spec.retention
    tiers = {"raw": kept.raw, "features": kept.features, "scores": kept.scores, "events": kept.events}
    for name, age in tiers.items():
        if duration_ns(age) < _DAY_NS:
            message = f"{age} is shorter than a day, and days are deleted as a whole"
            yield invalid(policy, ("spec", "retention", name), message, "Write 1d or more")
    if duration_ns(kept.events) < duration_ns(kept.around_incidents):
        message = f"Alerts are kept for {kept.events}, and what is around them for {kept.around_incidents}"
        remedy = "Keep events at least as long: without its alert nobody knows what the data is kept for"
        yield invalid(policy, ("spec", "retention", "events"), message, remedy)


def _check_limits(policy: TenantPolicy, resolver: Resolver) -> Iterator[Finding]:
    twins = [t for t in resolver.of_kind(AssetTwin) if resolver.namespace(t) == policy.tenant_namespace]
    bindings = [binding for twin in twins for binding in resolver.bindings(twin)]
    intervals = (duration_ns(binding.contract.interval) for binding in bindings)
    rate = sum(1e9 / interval for interval in intervals if interval)
    limits = policy.spec.limits
    for field, what, used, limit in (
        ("twins", "twins", len(twins), limits.twins),
        ("signals", "signals", len(bindings), limits.signals),
        ("samplesPerSecond", "samples per second", rate, limits.samples_per_second),
    ):
        if used > limit:
            message = f"The tenant has {used:.10g} {what}, the limit is {limit}"
            remedy = "Raise the limit or have fewer"
            yield Finding(policy, ("spec", "limits", field), LIMIT_EXCEEDED, message, remedy)
