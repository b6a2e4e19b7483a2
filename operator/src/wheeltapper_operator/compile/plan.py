"""The whole of a Plan, tenant by tenant."""

from __future__ import annotations

from collections.abc import Iterable

from wheeltapper_api.backbone import BucketDefinition, StreamDefinition
from wheeltapper_api.config import CollectorConfig, LineConfig, Role, SeriesConfig, WorkerConfig
from wheeltapper_api.fields import duration_ns, size_bytes
from wheeltapper_api.kinds import AssetClass, AssetTwin, Plant, Resource
from wheeltapper_api.plan import Plan, TenantPlan
from wheeltapper_api.resolve import Resolver, Tenant
from wheeltapper_api.wire import CONFIG_BUCKET, STATUS_BUCKET, Line, Stage
from wheeltapper_operator.build.deployment import deployment
from wheeltapper_operator.compile.collectors import collector_config, series_config
from wheeltapper_operator.compile.lines import asset_config, line_config
from wheeltapper_operator.compile.placement import place

# Which part of the tenant's storage each stream may take while its readers are away; tables take the rest.
_SHARE = {Stage.TELEMETRY: 0.30, Stage.FEATURES: 0.05, Stage.SCORES: 0.05, Stage.EVENTS: 0.02}
_KEPT = {Stage.TELEMETRY: "7d", Stage.FEATURES: "14d", Stage.SCORES: "14d", Stage.EVENTS: "400d"}
_CONFIG_HISTORY = 64
_STOP_ORDER = {Role.COLLECT: 0, Role.FEATURIZE: 1, Role.SCORE: 2, Role.ALERT: 3, Role.STORE: 4}

Group = tuple[str, str]


def compile_plan(resources: Iterable[Resource]) -> Plan:
    """Plan of the resources. Pure; equal resources in any order give equal bytes.

    Parameters
    ----------
    resources
        Those that passed :func:`wheeltapper_api.checks.check`, or not: a twin without class or plant is left out.
    """
    resolver = Resolver(resources)
    twins: dict[str, list[AssetTwin]] = {}
    for twin in resolver.of_kind(AssetTwin):
        twins.setdefault(resolver.namespace(twin), []).append(twin)
    return Plan(tenants=[_tenant(resolver, t, twins.get(t.namespace, [])) for t in resolver.tenants()])


def _tenant(resolver: Resolver, tenant: Tenant, twins: list[AssetTwin]) -> TenantPlan:
    lines, series = _lines(resolver, tenant, sorted(twins, key=lambda twin: twin.name))
    collectors = _collectors(resolver, tenant, series)
    workers = place(tenant.name, lines, collectors)
    return TenantPlan(
        tenant=tenant.name,
        namespace=tenant.namespace,
        streams=_streams(tenant),
        buckets=[
            BucketDefinition(name=CONFIG_BUCKET, history=_CONFIG_HISTORY),
            BucketDefinition(name=STATUS_BUCKET, history=1),
        ],
        configs=workers,
        manifests=[_deployment(tenant, worker) for worker in workers],
    )


def _lines(
    resolver: Resolver, tenant: Tenant, twins: list[AssetTwin]
) -> tuple[list[LineConfig], dict[Group, list[SeriesConfig]]]:
    """Lines of a tenant, and the series of each (plant, connection)."""
    groups: dict[Group, list[AssetTwin]] = {}
    for twin in twins:
        groups.setdefault((twin.spec.plant, twin.spec.asset_class), []).append(twin)
    lines: list[LineConfig] = []
    series: dict[Group, list[SeriesConfig]] = {}
    for (plant_name, class_name), members in sorted(groups.items()):
        plant, asset_class = resolver.plant(members[0]), resolver.asset_class(members[0])
        if plant is None or asset_class is None:
            continue
        line = Line(tenant=tenant.name, plant=plant_name, asset_class=class_name)
        lines.append(_line(resolver, line, plant, asset_class, members, series))
    return lines, series


def _line(
    resolver: Resolver,
    line: Line,
    plant: Plant,
    asset_class: AssetClass,
    twins: list[AssetTwin],
    series: dict[Group, list[SeriesConfig]],
) -> LineConfig:
    assets = []
    features = {feature.name for feature in asset_class.spec.pipeline.features}
    for twin in twins:
        bindings = resolver.bindings(twin)
        models = [
            (model, override)
            for model, override in resolver.failure_models(twin)
            if all(entry.feature in features for entry in model.spec.inputs)
        ]
        assets.append(asset_config(twin, bindings, models))
        for binding in bindings:
            read = series.setdefault((plant.name, binding.connection), [])
            read.append(series_config(line, twin, binding))
    models_of_class = resolver.class_models(resolver.namespace(twins[0]), asset_class.name)
    return line_config(line, plant, asset_class, models_of_class, assets)


def _collectors(resolver: Resolver, tenant: Tenant, series: dict[Group, list[SeriesConfig]]) -> list[CollectorConfig]:
    found = []
    for (plant_name, connection_name), read in sorted(series.items()):
        plant = resolver.find(Plant, tenant.namespace, plant_name)
        connection = next((c for c in plant.spec.connections if c.name == connection_name), None) if plant else None
        if plant is not None and connection is not None:
            found.append(collector_config(tenant.name, plant, connection, read))
    return found


def _streams(tenant: Tenant) -> list[StreamDefinition]:
    storage = size_bytes(tenant.policy.spec.limits.storage)
    return [
        StreamDefinition(
            name=stage.stream,
            subjects=[f"{stage.value}.>"],
            max_bytes=int(storage * _SHARE[stage]),
            max_age_seconds=duration_ns(_KEPT[stage]) // 10**9,
        )
        for stage in Stage
    ]


def _deployment(tenant: Tenant, worker: WorkerConfig) -> dict[str, object]:
    secrets = sorted({collector.secret for collector in worker.collectors if collector.secret})
    order = min(_STOP_ORDER[role] for role in worker.roles)
    return deployment(tenant.name, tenant.namespace, worker.worker, secrets, order)
