"""The node of the cluster: containerd, the kubelet with its default settings, and kube-proxy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.cluster.control_plane import DNS_ADDRESS, DOMAIN, NODE_NAME, POD_NETWORK
from tests.cluster.sandbox import INSIDE, NODE_ADDRESS

PAUSE_IMAGE: Final = "wheeltapper.test/pause:1"
CONTAINERD_SOCKET: Final = "/run/containerd/containerd.sock"

_CONTAINERD: Final = f"""
version = 2
# No image comes from elsewhere, and nothing of this machine's own containerd is touched: its folders are hidden here.
disabled_plugins = ["io.containerd.internal.v1.opt"]
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


def _cni() -> dict[str, Any]:
    ranges = [[{"subnet": POD_NETWORK}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, portmap]}


def _kubelet(cgroup: str) -> dict[str, Any]:
    """Settings of the kubelet: its defaults, but for what this machine and a cluster of one day ask for."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": f"{INSIDE}/pki/ca.crt"}},
        "tlsCertFile": f"{INSIDE}/pki/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{INSIDE}/pki/kubelet-server.key",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": DOMAIN,
        # The machine's own names are of no use in a network without a way out.
        "resolvConf": f"{INSIDE}/etc/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        # A nearly full disk of a developer's machine is no reason to evict pods.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
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


def write_settings(state: Path, cgroup: str) -> None:
    """Write the settings of the node's programs below the state folder."""
    folder = state / "etc"
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    (folder / "containerd.toml").write_text(_CONTAINERD)
    (folder / "cni" / "10-pods.conflist").write_text(json.dumps(_cni(), indent=1))
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(cgroup), indent=1))
    (folder / "proxy.json").write_text(json.dumps(_proxy(), indent=1))
    (folder / "resolv.conf").write_text("")


def containerd() -> list[str]:
    """Command line of containerd, which needs no API server."""
    return ["containerd", f"--config={INSIDE}/etc/containerd.toml", "--log-level=warn"]


def programs() -> dict[str, list[str]]:
    """Command line of the node's other programs, by their names."""
    kubelet = [
        f"{INSIDE}/programs/kubelet",
        f"--config={INSIDE}/etc/kubelet.json",
        f"--kubeconfig={INSIDE}/etc/kubelet.kubeconfig",
        f"--node-ip={NODE_ADDRESS}",
        f"--hostname-override={NODE_NAME}",
    ]
    proxy = [f"{INSIDE}/programs/kube-proxy", f"--config={INSIDE}/etc/proxy.json", f"--hostname-override={NODE_NAME}"]
    return {"kubelet": kubelet, "kube-proxy": proxy}
