"""What a machine must have to run a cluster, said before anything is begun."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cluster.programs import COREDNS, KUBERNETES, built, go

KUBECONFIG_VARIABLE: Final = "WHEELTAPPER_TEST_KUBECONFIG"
LEAST_GO: Final = (1, 24)
# Each program, or file, and Debian's package of it.
_PACKAGES: Final = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
}


def missing() -> str:
    """Why no cluster can run here and what would help; empty where one can."""
    if sys.platform != "linux":
        return f"A cluster needs Linux; set {KUBECONFIG_VARIABLE} to use one that runs elsewhere"
    if os.geteuid() != 0:
        return f"A cluster needs root for its containers; set {KUBECONFIG_VARIABLE} to use one that runs elsewhere"
    if absent := sorted({package for program, package in _PACKAGES.items() if not _installed(program)}):
        return f"Programs are missing; apt-get install {' '.join(absent)}"
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "true"]
    if subprocess.run(unshare, check=False, capture_output=True).returncode:
        return f"This machine lets nobody make namespaces; set {KUBECONFIG_VARIABLE} to use a cluster elsewhere"
    return "" if all(built(module) for module in (KUBERNETES, COREDNS)) else _wrong_go()


def _installed(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def _wrong_go() -> str:
    wanted = f"Go {LEAST_GO[0]}.{LEAST_GO[1]} or newer is needed to build Kubernetes: https://go.dev/doc/install"
    if not _installed(go()):
        return wanted
    version = subprocess.run([go(), "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"go(\d+)\.(\d+)", version)
    return "" if found and (int(found[1]), int(found[2])) >= LEAST_GO else f"{wanted}; here is {version.strip()}"
