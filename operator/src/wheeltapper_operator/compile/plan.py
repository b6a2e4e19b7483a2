"""The whole of a Plan, tenant by tenant."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import is_, itemgetter

from wheeltapper_api.backbone import BucketDefinition, StreamDefinition, checkpoints
from wheeltapper_api.config import (
    AssetConfig,
    CollectorConfig,
    LineConfig,
    RetentionConfig,
    Role,
    SeriesConfig,
    TablesConfig,
    WorkerConfig,
)
from wheeltapper_api.fields import duration_ns, size_bytes
from wheeltapper_api.kinds import AssetTwin, Plant, Resource
from wheeltapper_api.kinds.tenantpolicy import WhenFull
from wheeltapper_api.plan import Plan, TenantPlan
from wheeltapper_api.resolve import Resolver, Tenant
from wheeltapper_api.wire import CONFIG_BUCKET, STATUS_BUCKET, Line, Stage
from wheeltapper_operator.build import gateway
from wheeltapper_operator.build.claims import state_claim, tables_claim
from wheeltapper_operator.build.deployment import deployment
from wheeltapper_operator.build.disruption_budget import disruption_budget
from wheeltapper_operator.build.network_policy import network_policy
from wheeltapper_operator.build.service_account import service_account
from wheeltapper_operator.compile.collectors import collector_config, series_config
from wheeltapper_operator.compile.lines import asset_config, line_config
from wheeltapper_operator.compile.placement import place

_CONFIG_HISTORY = 64
_CHECKPOINTS_SHARE = 2
"""Percent of the tenant's storage for copies of the workers' checkpoints."""
_STOP_ORDER = {Role.COLLECT: 0, Role.FEATURIZE: 1, Role.SCORE: 2, Role.ALERT: 3, Role.STORE: 4}

Group = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What one twin comes to: its asset, and its series by connection."""

    twin: AssetTwin
    asset: AssetConfig
    series: dict[str, list[SeriesConfig]]


@dataclass(slots=True)
class _Group:
    """Twins of one class at one plant, and the objects that decide what they come to."""

    context: tuple[Resource, ...]
    compiled: dict[str, _Compiled]
    line: LineConfig | None = None


class Compiler:
    """Compiles again and again; what rests on the very same objects as the last time is taken over.

    Resources do not change, so an object that is still the same one says the same. The result is that of
    :func:`compile_plan` to the byte.
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[str, Group], _Group] = {}

    def compile(self, resources: Iterable[Resource]) -> Plan:
        """Plan of the resources."""
        resolver = Resolver(resources)
        twins: dict[str, list[AssetTwin]] = {}
        for twin in resolver.of_kind(AssetTwin):
            twins.setdefault(resolver.namespace(twin), []).append(twin)
        before, self._groups = self._groups, {}
        with _no_collection():
            plans = [self._tenant(resolver, t, twins.get(t.namespace, []), before) for t in resolver.tenants()]
        return Plan(tenants=plans)

    def _tenant(
        self,
        resolver: Resolver,
        tenant: Tenant,
        twins: list[AssetTwin],
        before: dict[tuple[str, Group], _Group],
    ) -> TenantPlan:
        members: dict[Group, list[AssetTwin]] = {}
        for twin in sorted(twins, key=lambda twin: twin.metadata.name):
            members.setdefault((twin.spec.plant, twin.spec.asset_class), []).append(twin)
        lines: list[LineConfig] = []
        series: dict[Group, list[SeriesConfig]] = {}
        for names, own in sorted(members.items()):
            group = _group(resolver, tenant, own, before.get((tenant.name, names)))
            if group is None or group.line is None:
                continue
            self._groups[tenant.name, names] = group
            lines.append(group.line)
            for compiled in group.compiled.values():
                for connection, read in compiled.series.items():
                    series.setdefault((names[0], connection), []).extend(read)
        return _tenant_plan(tenant, lines, _collectors(resolver, tenant, series))


def compile_plan(resources: Iterable[Resource]) -> Plan:
    """Plan of the resources. Pure; equal resources in any order give equal bytes.

    Parameters
    ----------
    resources
        Those that passed :func:`wheeltapper_api.checks.check`, or not: a twin without class or plant is left out.
    """
    return Compiler().compile(resources)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the cyclic garbage collector off: half a million small objects and no cycle would only be counted anew."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _tenant_plan(tenant: Tenant, lines: list[LineConfig], collectors: list[CollectorConfig]) -> TenantPlan:
    workers = place(tenant.name, lines, collectors, _tables(tenant), _retention(tenant))
    return TenantPlan(
        tenant=tenant.name,
        namespace=tenant.namespace,
        streams=_streams(tenant),
        buckets=[
            BucketDefinition(name=CONFIG_BUCKET, history=_CONFIG_HISTORY),
            BucketDefinition(name=STATUS_BUCKET, history=1),
        ],
        configs=workers,
        manifests=_manifests(tenant, workers),
    )


def _group(resolver: Resolver, tenant: Tenant, twins: list[AssetTwin], before: _Group | None) -> _Group | None:
    """Line of twins of one class at one plant; none if there is no such class or plant."""
    plant, asset_class = resolver.plant(twins[0]), resolver.asset_class(twins[0])
    if plant is None or asset_class is None:
        return None
    models = resolver.class_models(tenant.namespace, asset_class.name)
    context = (plant, asset_class, tenant.policy, *models)
    if before is None or not _same(before.context, context):
        before = _Group(context, {})
    line = Line(tenant=tenant.name, plant=plant.name, asset_class=asset_class.name)
    features = {feature.name for feature in asset_class.spec.pipeline.features}
    group = _Group(context, {})
    for twin in twins:
        known = before.compiled.get(twin.metadata.name)
        if known is None or known.twin is not twin:
            known = _compiled(resolver, line, twin, features)
        group.compiled[twin.metadata.name] = known
    if before.line is not None and _same(tuple(before.compiled.values()), tuple(group.compiled.values())):
        group.line = before.line
    else:
        group.line = line_config(line, plant, asset_class, models, [c.asset for c in group.compiled.values()])
    return group


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(map(is_, one, other))


def _compiled(resolver: Resolver, line: Line, twin: AssetTwin, features: set[str]) -> _Compiled:
    bindings = resolver.bindings(twin)
    models = [
        (model, override)
        for model, override in resolver.failure_models(twin)
        if all(entry.feature in features for entry in model.spec.inputs)
    ]
    series: dict[str, list[SeriesConfig]] = {}
    for binding in sorted(bindings, key=lambda binding: binding.signal.name):
        series.setdefault(binding.connection, []).append(series_config(line, twin, binding))
    return _Compiled(twin, asset_config(twin, bindings, models), series)


def _collectors(resolver: Resolver, tenant: Tenant, series: dict[Group, list[SeriesConfig]]) -> list[CollectorConfig]:
    found = []
    for (plant_name, connection_name), read in sorted(series.items(), key=itemgetter(0)):
        plant = resolver.find(Plant, tenant.namespace, plant_name)
        connection = next((c for c in plant.spec.connections if c.name == connection_name), None) if plant else None
        if plant is not None and connection is not None:
            found.append(collector_config(tenant.name, plant, connection, read))
    return found


def _streams(tenant: Tenant) -> list[StreamDefinition]:
    spec = tenant.policy.spec
    found = []
    for stage in Stage:
        share, keep, when_full = spec.streams.limits(stage.value)
        definition = StreamDefinition(
            name=stage.stream,
            subjects=[f"{stage.value}.>"],
            max_bytes=size_bytes(spec.limits.storage) * share // 100,
            max_age_seconds=duration_ns(keep) // 10**9,
            discard="new" if when_full is WhenFull.HOLD_SOURCES else "old",
        )
        found.append(definition)
    return [*found, checkpoints(size_bytes(spec.limits.storage) * _CHECKPOINTS_SHARE // 100)]


def _tables(tenant: Tenant) -> TablesConfig | None:
    storage = tenant.policy.spec.storage
    if storage is None:
        return None
    return TablesConfig(
        url=storage.url, endpoint=storage.endpoint, region=storage.region, secret=storage.credentials_ref
    )


def _retention(tenant: Tenant) -> RetentionConfig:
    kept = tenant.policy.spec.retention
    return RetentionConfig(
        raw_ns=duration_ns(kept.raw),
        features_ns=duration_ns(kept.features),
        scores_ns=duration_ns(kept.scores),
        events_ns=duration_ns(kept.events),
        around_incidents_ns=duration_ns(kept.around_incidents),
        incident_margin_ns=duration_ns(kept.incident_margin),
    )


def _manifests(tenant: Tenant, workers: list[WorkerConfig]) -> list[dict[str, object]]:
    """Objects of the tenant's namespace, in the order in which they are made."""
    own = tenant.name, tenant.namespace
    found = [service_account(*own), network_policy(*own), disruption_budget(*own)]
    if tenant.policy.spec.storage is None:
        found.append(tables_claim(*own, _tables_size(tenant)))
    found.extend(state_claim(*own, worker.worker) for worker in workers)
    found.extend(_deployment(tenant, worker) for worker in workers)
    return found


def _tables_size(tenant: Tenant) -> str:
    """What the streams leave of the tenant's storage."""
    spec = tenant.policy.spec
    shares = sum(spec.streams.limits(stage.value)[0] for stage in Stage) + _CHECKPOINTS_SHARE
    return f"{max(1, size_bytes(spec.limits.storage) * (100 - shares) // 100 // 2**20)}Mi"


def _deployment(tenant: Tenant, worker: WorkerConfig) -> dict[str, object]:
    named = [collector.secret for collector in worker.collectors]
    if worker.store is not None and worker.store.place is not None:
        named.append(worker.store.place.secret)
    secrets = sorted({name for name in named if name})
    order = min(_STOP_ORDER[role] for role in worker.roles)
    own = tenant.name, tenant.namespace
    if worker.store is None:
        return deployment(*own, worker.worker, secrets, order)
    place = worker.store.place
    made = deployment(*own, worker.worker, secrets, order, tables=place is None)
    return gateway.add_to(made, *own, secrets, place)
