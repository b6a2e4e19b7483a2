"""What the tests of the cluster itself share."""

from __future__ import annotations

import pytest

from tests.cluster.access import Access
from tests.cluster.cluster import Cluster
from tests.cluster.examples import ROOT


@pytest.fixture
def own_cluster(cluster: Access) -> Cluster:
    """The cluster where these tests have started it and can put images on its node."""
    if not isinstance(cluster, Cluster):
        pytest.skip("The images of this test are not on the node of a cluster that runs elsewhere")
    return cluster


@pytest.fixture(scope="session")
def kinds(cluster: Access) -> None:
    """The five kinds, served by the cluster."""
    for file in sorted((ROOT / "crds").glob("*.wheeltapper.dev.yaml")):
        cluster.kubectl("apply", "--server-side", "--validate=strict", f"--filename={file}")
    cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
