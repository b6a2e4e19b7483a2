"""The nodes of the cluster: containerd and the kubelet with its default settings of each, and one kube-proxy.

A second node is on the same machine and in the same network, so that the bridge of the pods and the rules for Services
are those of the first. What a drain needs is another kubelet that takes pods, and no distance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.cluster.control_plane import DNS_ADDRESS, DOMAIN, NODES, POD_NETWORK
from tests.cluster.sandbox import INSIDE

PAUSE_IMAGE: Final = "wheeltapper.test/pause:1"
FIRST, SECOND = NODES

_CONTAINERD: Final = f"""
version = 2
root = "/var/lib/containerd-NODE"
state = "/run/containerd-NODE"
# No image comes from elsewhere, and nothing of this machine's own containerd is touched: its folders are hidden here.
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "/run/containerd-NODE/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # A machine that may not lower the score of a process cannot start one otherwise.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{INSIDE}/etc/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def containerd_socket(node: str) -> str:
    """Socket of a node's containerd."""
    return f"/run/containerd-{node}/containerd.sock"


def cgroup_of(cluster: str, node: str) -> str:
    """Control group below which a node's kubelet makes those of its pods; each would end what it does not know."""
    return f"{cluster}/{node}"


def _cni() -> dict[str, Any]:
    ranges = [[{"subnet": POD_NETWORK}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, portmap]}


def _kubelet(cluster: str, node: str) -> dict[str, Any]:
    """Settings of the kubelet: its defaults, but for what this machine and a cluster of one day ask for."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": f"{INSIDE}/pki/ca.crt"}},
        "tlsCertFile": f"{INSIDE}/pki/{node}-server.crt",
        "tlsPrivateKeyFile": f"{INSIDE}/pki/{node}-server.key",
        "address": NODES[node],
        "healthzPort": 0,
        "podLogsDir": f"/var/log/pods-{node}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": DOMAIN,
        # The machine's own names are of no use in a network without a way out.
        "resolvConf": f"{INSIDE}/etc/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup_of(cluster, node)}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        # A nearly full disk of a developer's machine is no reason to evict pods.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "containerRuntimeEndpoint": f"unix://{containerd_socket(node)}",
    }


def _proxy() -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{INSIDE}/etc/proxy.kubeconfig"},
        "mode": "nftables",
        "clusterCIDR": POD_NETWORK,
        # Sizes of the kernel's table: they are the machine's, not ours to set.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def write_settings(state: Path, cluster: str) -> None:
    """Write the settings of the nodes' programs below the state folder."""
    folder = state / "etc"
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    (folder / "cni" / "10-pods.conflist").write_text(json.dumps(_cni(), indent=1))
    for node in NODES:
        (folder / f"containerd-{node}.toml").write_text(_CONTAINERD.replace("NODE", node))
        (folder / f"kubelet-{node}.json").write_text(json.dumps(_kubelet(cluster, node), indent=1))
    (folder / "proxy.json").write_text(json.dumps(_proxy(), indent=1))
    (folder / "resolv.conf").write_text("")


def containerd(node: str) -> list[str]:
    """Command line of containerd, which needs no API server."""
    return ["containerd", f"--config={INSIDE}/etc/containerd-{node}.toml", "--log-level=warn"]


def kubelet(node: str) -> list[str]:
    """Command line of the kubelet."""
    return [
        f"{INSIDE}/programs/kubelet",
        f"--config={INSIDE}/etc/kubelet-{node}.json",
        f"--kubeconfig={INSIDE}/etc/kubelet-{node}.kubeconfig",
        f"--root-dir=/var/lib/kubelet-{node}",
        f"--node-ip={NODES[node]}",
        f"--hostname-override={node}",
    ]


def proxy() -> list[str]:
    """Command line of kube-proxy."""
    return [f"{INSIDE}/programs/kube-proxy", f"--config={INSIDE}/etc/proxy.json", f"--hostname-override={FIRST}"]
