"""What the tests of the cluster itself share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.cluster.access import Access
from tests.cluster.cluster import Cluster
from tests.cluster.containers import archive_of
from tests.cluster.examples import ROOT
from tests.cluster.fixtures import required
from tests.cluster.installation import remove
from tests.cluster.operated import Operated, install_operator
from tests.cluster.outside import Outside, without_pod
from tests.cluster.programs import Tell


@pytest.fixture(scope="session")
def kinds(cluster: Access) -> None:
    """The five kinds, served by the cluster."""
    for file in sorted((ROOT / "crds").glob("*.wheeltapper.dev.yaml")):
        cluster.kubectl("apply", "--server-side", "--validate=strict", f"--filename={file}")
    cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")


@pytest.fixture(scope="session")
def load(cluster: Access, tell: Tell) -> Callable[[str], str]:
    """Put the image of a part on the node, built of this checkout, once; its name."""

    @cache
    def load(part: str) -> str:
        if not isinstance(cluster, Cluster):
            pytest.skip("The images of this test are not on the node of a cluster that runs elsewhere")
        try:
            name, archive = archive_of(part, cluster.state, tell)
        except RuntimeError as error:
            if required():
                raise
            pytest.skip(f"No image can be built here: {error}")
        cluster.load_image(archive)
        archive.unlink()
        return name

    return load


@pytest.fixture(scope="session")
def operated(cluster: Access, helm: Callable[..., str], load: Callable[[str], str]) -> Iterator[Operated]:
    """The cluster with the charts and the operator of this checkout installed."""
    if not isinstance(cluster, Cluster):
        pytest.skip("The images of this test are not on the node of a cluster that runs elsewhere")
    try:
        install_operator(cluster, helm, load)
        yield Operated(cluster, load("workers"))
    finally:
        remove(cluster, helm)


@pytest.fixture(scope="module")
def outside(operated: Operated) -> Iterator[Outside]:
    """The operator runs as a process whenever a test of the file starts it; its pod waits so long."""
    with without_pod(operated) as found:
        yield found
