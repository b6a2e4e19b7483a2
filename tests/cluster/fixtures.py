"""The fixture ``cluster``: one that runs already, one that a person points at, or one for this run of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.access import Access
from tests.cluster.cluster import Cluster
from tests.cluster.programs import HELM, Tell, folder_of
from tests.cluster.requirements import KUBECONFIG_VARIABLE, missing
from tests.cluster.storage import offer_volumes

_FOLDER = Path(__file__).parent
# The first test that uses the cluster may have to wait until Kubernetes is compiled.
_SECONDS = 1800


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use the cluster, so that they can be chosen and left out.

    Those that need the operator come last among them: it stays installed, and the others want a cluster without it.
    """
    own = [item for item in items if item.path.parent == _FOLDER]
    in_order = iter(sorted(own, key=lambda item: _uses(item, "operated")))
    items[:] = [next(in_order) if item.path.parent == _FOLDER else item for item in items]
    for item in items:
        if _uses(item, "cluster"):
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_SECONDS))


def _uses(item: pytest.Item, fixture: str) -> bool:
    return fixture in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest) -> Tell:
    """Show a line at once: a step of minutes has to say that it goes on."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", end="", flush=True)  # noqa: T201 (shown to the person who waits)

    return tell


@pytest.fixture(scope="session")
def cluster(tell: Tell) -> Iterator[Access]:
    """A cluster with a node that runs pods; a :class:`Cluster` unless a person pointed at another."""
    if given := os.environ.get(KUBECONFIG_VARIABLE):
        assert shutil.which("kubectl"), f"kubectl is not on the path; the tests speak through it to {given}"
        yield Access(Path(given))
        return
    if reason := missing():
        assert not required(), reason
        pytest.skip(reason)
    with running(tell) as found:
        yield found


def required() -> bool:
    """Whether a cluster that cannot be had fails the tests: in CI, unless its machines are not known yet."""
    return bool(os.environ.get("CI")) and os.environ.get("WHEELTAPPER_CLUSTER") != "where-possible"


@pytest.fixture(scope="session")
def helm(cluster: Access, tell: Tell, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Helm with its arguments, on the cluster; its standard output."""
    try:
        program = folder_of(HELM, tell) / "helm"
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        if required():
            raise
        pytest.skip(f"Helm cannot be built here: {error}")
    folder = tmp_path_factory.mktemp("helm")
    kept = {f"HELM_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
    environment = os.environ | kept | {"KUBECONFIG": str(cluster.kubeconfig)}

    def run(*arguments: str | Path) -> str:
        command = [str(program), *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"helm {' '.join(command[1:])} failed: {done.stderr}"
        return done.stdout

    return run


@contextmanager
def running(tell: Tell) -> Iterator[Cluster]:
    """The cluster that ``make cluster-up`` started, or else one for as long as this lasts."""
    own = Cluster()
    with own.held(tell):
        if own.kept:
            offer_volumes(own, own.state)
            yield own
            return
        try:
            try:
                own.up(tell)
            except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
                if required():
                    raise
                pytest.skip(f"The cluster does not come up here: {error}")
            yield own
        finally:
            own.down(tell)
