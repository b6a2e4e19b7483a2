"""The operator as a process beside its pods: to be killed, held, or told something else, as often as one likes."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.cluster.installation import NAMESPACE
from tests.cluster.operated import Operated
from wheeltapper_operator import names

DEPLOYMENT: Final = (f"deployment/{names.OPERATOR}", f"--namespace={NAMESPACE}")
PROBES_PORT: Final = 18080
_PROBE: Final = """\
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1])
except urllib.error.HTTPError as error:
    answer = error
except OSError:
    sys.exit()
print(answer.status, answer.read().decode())
"""
_numbers = itertools.count()


class Outside:
    """What starts the operator as a process; its pod is stopped so long."""

    def __init__(self, operated: Operated) -> None:
        self.operated, self.cluster = operated, operated.cluster
        self._said = "operator"

    def start(self, before: str = "", **changes: str) -> subprocess.Popen[bytes]:
        """Start it.

        Parameters
        ----------
        before
            Python that is run in its process first.
        changes
            Variables of its environment that are not as the chart gives them.
        """
        told = (f"{name}={value}" for name, value in (self._environment() | changes).items())
        self._said = f"operator-{next(_numbers)}"
        code = f"{before}\nfrom wheeltapper_operator.__main__ import main\nraise SystemExit(main())"
        return self.cluster.sandbox.start(self._said, "env", *told, sys.executable, "-c", code)

    @contextmanager
    def running(self, before: str = "", **changes: str) -> Iterator[subprocess.Popen[bytes]]:
        """The same until the end, at which it is told to go."""
        process = self.start(before, **changes)
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(60) == 0, self.said()

    def said(self) -> str:
        """What the one that was started last has said."""
        return self.cluster.sandbox.log(self._said, 1000)

    def probe(self, path: str) -> str:
        """What it answers the kubelet, the status and the text; empty as long as it answers nobody."""
        return self.cluster.sandbox.run(sys.executable, "-c", _PROBE, f"http://127.0.0.1:{PROBES_PORT}{path}").strip()

    def _environment(self) -> dict[str, str]:
        """What the chart gives the pod; outside of pods no name is known, but the service's address is the same."""
        where = f"--namespace={NAMESPACE}"
        pod = self.operated.get("deployment", names.OPERATOR, where)["spec"]["template"]["spec"]
        given = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"] if entry.get("value")}
        address = self.operated.get("service", names.NATS, where)["spec"]["clusterIP"]
        return given | {
            "WHEELTAPPER_NAMESPACE": NAMESPACE,
            "WHEELTAPPER_IDENTITY": "outside",
            "WHEELTAPPER_BACKBONE_URL": f"nats://{address}:{names.NATS_PORT}",
            "WHEELTAPPER_KUBECONFIG": str(self.cluster.inside_kubeconfig),
            "KUBECONFIG": str(self.cluster.inside_kubeconfig),
            "WHEELTAPPER_PROBES_PORT": str(PROBES_PORT),
        }


@contextmanager
def without_pod(operated: Operated) -> Iterator[Outside]:
    """No operator but those that a test starts, until the end."""
    kubectl = operated.cluster.kubectl
    kubectl("scale", *DEPLOYMENT, "--replicas=0")
    try:
        where = (f"--namespace={NAMESPACE}", f"-lapp.kubernetes.io/name={names.OPERATOR}")
        operated.wait(lambda: not operated.objects("pods", *where), 60, "no operator")
        yield Outside(operated)
    finally:
        kubectl("scale", *DEPLOYMENT, "--replicas=1")
        kubectl("rollout", "status", *DEPLOYMENT, "--timeout=100s")
