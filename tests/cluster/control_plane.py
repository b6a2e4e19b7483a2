"""The command lines of etcd, the API server, the controllers and the scheduler, and the certificates they need."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.cluster.certificates import Authority, service_account_key
from tests.cluster.sandbox import INSIDE, NODE_ADDRESS

SERVICE_NETWORK: Final = "10.96.0.0/16"
POD_NETWORK: Final = "10.201.0.0/16"
DNS_ADDRESS: Final = "10.96.0.10"
API_ADDRESS: Final = f"{NODE_ADDRESS}:6443"
NODES: Final = {"node": NODE_ADDRESS, "node-2": "10.200.0.2"}
"""Address of each node that there may be; the first is always there."""
DOMAIN: Final = "cluster.local"

_BIN, _PKI, _ETC = INSIDE / "programs", INSIDE / "pki", INSIDE / "etc"
_ETCD: Final = "http://127.0.0.1:2379"
_HOSTS: Final = (
    *("localhost", "127.0.0.1", NODE_ADDRESS, "10.96.0.1"),
    *("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"),
)
_INSIDE_USERS: Final = {
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    **{f"kubelet-{name}": (f"system:node:{name}", "system:nodes") for name in NODES},
    "proxy": ("system:kube-proxy", ""),
    "tester": ("tester", "system:masters"),
}


def write_identities(state: Path, outside: str) -> None:
    """Write keys, certificates and kubeconfigs; ``outside`` is the address at which people find the API server."""
    authority = Authority(state / "pki")
    service_account_key(state / "pki")
    authority.issue("apiserver", "kube-apiserver", hosts=_HOSTS)
    authority.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters")
    authority.issue("front-proxy", "front-proxy")
    for name, address in NODES.items():
        authority.issue(f"{name}-server", name, hosts=(name, address))
    (state / "etc").mkdir(exist_ok=True)
    for name, (user, group) in _INSIDE_USERS.items():
        authority.kubeconfig(state / "etc" / f"{name}.kubeconfig", f"https://{API_ADDRESS}", user, group)
    authority.kubeconfig(state / "kubeconfig", outside, "tester", "system:masters")


def programs() -> dict[str, list[str]]:
    """Command line of every program of the control plane, by its name, in the order of their start."""
    return {
        "etcd": _etcd(),
        "kube-apiserver": _api_server(),
        "kube-controller-manager": _controller_manager(),
        "kube-scheduler": _scheduler(),
    }


def _etcd() -> list[str]:
    return [
        f"{_BIN}/etcd",
        f"--data-dir={INSIDE}/etcd",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        # The state is thrown away: nothing has to survive a power cut.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_server() -> list[str]:
    return [
        f"{_BIN}/kube-apiserver",
        f"--etcd-servers={_ETCD}",
        f"--advertise-address={NODE_ADDRESS}",
        f"--bind-address={NODE_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={_PKI}/ca.crt",
        f"--kubelet-client-certificate={_PKI}/apiserver-kubelet.crt",
        f"--kubelet-client-key={_PKI}/apiserver-kubelet.key",
        f"--client-ca-file={_PKI}/ca.crt",
        f"--tls-cert-file={_PKI}/apiserver.crt",
        f"--tls-private-key-file={_PKI}/apiserver.key",
        f"--requestheader-client-ca-file={_PKI}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={_PKI}/front-proxy.crt",
        f"--proxy-client-key-file={_PKI}/front-proxy.key",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={_PKI}/service-account.pub",
        f"--service-account-signing-key-file={_PKI}/service-account.key",
    ]


def _controller_manager() -> list[str]:
    kubeconfig = f"{_ETC}/controller-manager.kubeconfig"
    return [
        f"{_BIN}/kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--root-ca-file={_PKI}/ca.crt",
        f"--service-account-private-key-file={_PKI}/service-account.key",
        f"--cluster-signing-cert-file={_PKI}/ca.crt",
        f"--cluster-signing-key-file={_PKI}/ca.key",
        "--allocate-node-cidrs",
        f"--cluster-cidr={POD_NETWORK}",
    ]


def _scheduler() -> list[str]:
    kubeconfig = f"{_ETC}/scheduler.kubeconfig"
    return [
        f"{_BIN}/kube-scheduler",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]
