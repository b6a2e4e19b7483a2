"""The Plan: what the compiler makes of the resources, and what every substrate applies."""

from __future__ import annotations

from typing import Any

from wheeltapper_api.backbone import BucketDefinition, StreamDefinition
from wheeltapper_api.config import WorkerConfig, canonical_json
from wheeltapper_api.fields import Model

SYMBOL_BACKBONE = "${backbone.url}"
"""Address of the tenant's NATS server; like every symbol, the substrate puts its own value in its place."""
SYMBOL_TABLES = "${storage.tables}"
"""Folder or object-store prefix of the tables."""
SYMBOL_STATE = "${state}"
"""Folder of the worker's own for checkpoints."""
SYMBOL_SECRETS = "${secrets}"
"""Folder under which the worker's Secrets are mounted, one folder a Secret."""
SYMBOL_WORKER_IMAGE = "${image.workers}"
"""Image of the workers."""
SYMBOL_WORKER_PULL_POLICY = "${image.workers.pullPolicy}"
"""When a node asks for the image anew."""
SYMBOL_STORAGE_CLASS = "${storage.class}"
"""Class of the volumes; bound to nothing, the field goes and the cluster's default counts."""


class TenantPlan(Model):
    """All of one tenant."""

    tenant: str
    namespace: str
    streams: list[StreamDefinition]
    buckets: list[BucketDefinition]
    configs: list[WorkerConfig]
    manifests: list[dict[str, Any]]
    """Objects of the tenant's namespace, in the order in which they are made."""

    @property
    def deployments(self) -> list[dict[str, Any]]:
        """Of the manifests the workers."""
        return [manifest for manifest in self.manifests if manifest["kind"] == "Deployment"]


class Plan(Model):
    """The whole, byte-stable: the same resources in any order give the same JSON."""

    tenants: list[TenantPlan]

    def to_json(self) -> str:
        """Canonical JSON."""
        return canonical_json(self)
