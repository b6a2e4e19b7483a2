"""What tests of every folder share: the cluster."""

from tests.cluster.fixtures import cluster, pytest_collection_modifyitems, tell

__all__ = ["cluster", "pytest_collection_modifyitems", "tell"]
