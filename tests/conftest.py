"""What tests of every folder share: the cluster."""

from tests.cluster.fixtures import cluster, helm, pytest_collection_modifyitems, tell

__all__ = ["cluster", "helm", "pytest_collection_modifyitems", "tell"]
