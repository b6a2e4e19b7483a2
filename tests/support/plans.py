"""The smallest plans a substrate can run: one tenant, and workers that are Python scripts."""

from __future__ import annotations

from typing import Any

from wheeltapper_api.backbone import BucketDefinition, StreamDefinition
from wheeltapper_api.plan import TenantPlan
from wheeltapper_api.wire import CONFIG_BUCKET


def tenant_plan(tenant: str = "northwater", max_bytes: int = 2**20) -> TenantPlan:
    """A tenant with one stream and the bucket for config documents."""
    return TenantPlan(
        tenant=tenant,
        namespace=tenant,
        streams=[StreamDefinition(name="TELEMETRY", subjects=["telemetry.>"], max_bytes=max_bytes)],
        buckets=[BucketDefinition(name=CONFIG_BUCKET, max_bytes=2**20)],
        configs=[],
        manifests=[],
    )


def deployment(name: str, script: str, **environment: str) -> dict[str, Any]:
    """Deployment of a worker that is a Python script."""
    env = [{"name": key, "value": value} for key, value in environment.items()]
    container = {"name": "worker", "command": ["python", "-I", "-c"], "args": [script], "env": env}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
