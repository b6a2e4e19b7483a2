"""One cluster from its start to its end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tests.cluster import control_plane, node
from tests.cluster.access import Access
from tests.cluster.images import image_of_program
from tests.cluster.programs import COREDNS, KUBERNETES, Tell, folder_of, locked
from tests.cluster.sandbox import INSIDE, Sandbox
from tests.cluster.storage import offer_volumes
from tests.support.waiting import wait

_MANIFESTS: Final = Path(__file__).parent / "manifests"
_CHECKOUT: Final = Path(__file__).parents[2]


class Cluster(Access):
    """A cluster of one node, or two, on this machine; each checkout has its own, under a name of its own."""

    def __init__(self, suffix: str = "") -> None:
        self.name = f"wheeltapper-{hashlib.sha256(os.fsencode(_CHECKOUT)).hexdigest()[:8]}{suffix}"
        self.state = _states() / self.name
        self.sandbox = Sandbox(self.name, self.state)
        super().__init__(self.state / "kubeconfig", self.state / "programs" / "kubectl")

    @property
    def inside_kubeconfig(self) -> Path:
        """File with all rights for a process inside."""
        return INSIDE / "etc" / "tester.kubeconfig"

    @contextmanager
    def held(self, tell: Tell) -> Iterator[None]:
        """Keep other runs of the same checkout from starting or ending it meanwhile."""
        with locked(_states() / f"{self.name}.lock", tell):
            yield

    @property
    def kept(self) -> bool:
        """Whether it was started to stay, and its node takes pods."""
        return (self.state / "kept").exists() and self.sandbox.exists and self._node_ready()

    def keep(self) -> None:
        """Have it stay after the end of this run, for others to use."""
        (self.state / "kept").touch()

    def up(self, tell: Tell) -> None:
        """Start it anew; what an earlier run has left behind goes first.

        Raises
        ------
        AssertionError
            When a part does not come up in time; it says what the part said last.
        """
        kubernetes, coredns = folder_of(KUBERNETES, tell), folder_of(COREDNS, tell)
        self.down(tell)
        tell(f"Starting the cluster {self.name}")
        began = time.monotonic()
        self.sandbox.create(*node.NODES)
        for program in kubernetes.iterdir():
            _link(program, self.state / "programs" / program.name)
        port = self.sandbox.forward("api", control_plane.API_ADDRESS)
        control_plane.write_identities(self.state, f"https://127.0.0.1:{port}")
        node.write_settings(self.state, self.name)
        self._start_control_plane()
        self._start_node({node.PAUSE_IMAGE: kubernetes / "pause", "wheeltapper.test/coredns:1": coredns / "coredns"})
        self._start_services()
        tell(f"The cluster is up after {time.monotonic() - began:.0f} s")

    def down(self, tell: Tell) -> None:
        """End it with all that belongs to it, also when whoever started it was killed."""
        if self.sandbox.exists or self.state.exists():
            tell(f"Ending the cluster {self.name}")
        self.sandbox.destroy()

    def stop_program(self, name: str) -> None:
        """Kill a program of the control plane."""
        self.sandbox.kill(f"{INSIDE}/programs/{name}")

    def start_program(self, name: str) -> None:
        """Start a program of the control plane again."""
        self.sandbox.start(name, *control_plane.programs()[name])

    def load_image(self, archive: Path, on: str = node.FIRST) -> None:
        """Put an image, as ``docker save`` or ``buildah push docker-archive:`` write it, on a node."""
        with archive.open("rb") as content:
            self._ctr(on, "images", "import", "-", stdin=content)

    @contextmanager
    def second_node(self) -> Iterator[str]:
        """A second node with all images of the first, until the end; its name. Its pods have to be gone by then."""
        name, file = node.SECOND, "images.tar"
        self.sandbox.run("ip", "address", "replace", f"{node.NODES[name]}/24", "dev", "node0")
        containerd = self.sandbox.start(f"containerd-{name}", *node.containerd(name))
        kubelet = None
        try:
            self._wait(lambda: self._listens(name), 60, f"containerd-{name}")
            references = self._ctr(node.FIRST, "images", "list", "--quiet").split()
            tags = [one for one in references if "@" not in one and not one.startswith("sha256:")]
            self._ctr(node.FIRST, "images", "export", f"{INSIDE}/{file}", *tags)
            self.load_image(self.state / file, name)
            (self.state / file).unlink()
            kubelet = self.sandbox.start(f"kubelet-{name}", *node.kubelet(name))
            self._wait(lambda: self._node_ready(name), 90, f"kubelet-{name}")
            yield name
        finally:
            self.try_kubectl("delete", "node", name)
            for process in filter(None, (kubelet, containerd)):
                process.kill()
                process.wait()

    def _listens(self, on: str) -> bool:
        try:
            self._ctr(on, "version")
        except AssertionError:
            return False
        return True

    def _ctr(self, on: str, *arguments: str, stdin: IO[bytes] | None = None) -> str:
        ctr = ["ctr", f"--address={node.containerd_socket(on)}", "--namespace=k8s.io"]
        return self.sandbox.run(*ctr, *arguments, stdin=stdin, seconds=300)

    def _start_control_plane(self) -> None:
        self.sandbox.start("containerd", *node.containerd(node.FIRST))
        for name, command in control_plane.programs().items():
            self.sandbox.start(name, *command)
            if name == "kube-apiserver":
                self._wait(self._api_ready, 90, name)
        self._wait(lambda: self._answers("get", "serviceaccount", "default"), 60, "kube-controller-manager")

    def _start_node(self, images: dict[str, Path]) -> None:
        for name, program in images.items():
            archive = self.state / f"{program.name}.tar"
            archive.write_bytes(image_of_program(program, name))
            self.load_image(archive)
        self.sandbox.start("kubelet", *node.kubelet(node.FIRST))
        self.sandbox.start("kube-proxy", *node.proxy())
        self._wait(self._node_ready, 90, "kubelet")

    def _start_services(self) -> None:
        for file in sorted(_MANIFESTS.glob("*.yaml")):
            self.kubectl("apply", "--server-side", f"--filename={file}")
        offer_volumes(self, self.state)
        self.kubectl("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=90s")

    def _api_ready(self) -> bool:
        return self._answers("get", "--raw=/readyz")

    def _node_ready(self, name: str = node.FIRST) -> bool:
        done = self.try_kubectl("get", "node", name, "--output=json")
        if done.returncode:
            return False
        conditions = json.loads(done.stdout)["status"]["conditions"]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _answers(self, *arguments: str) -> bool:
        return self.try_kubectl(*arguments).returncode == 0

    def _wait(self, condition: Callable[[], bool], seconds: float, name: str) -> None:
        wait(condition, seconds, name, lambda: self.sandbox.log(name))


def _states() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "wheeltapper" / "cluster"


def _link(file: Path, target: Path) -> None:
    """Have a file in a second place: programs are large, and the cache is not seen from inside."""
    try:
        target.hardlink_to(file)
    except OSError:  # another file system
        shutil.copy2(file, target)
