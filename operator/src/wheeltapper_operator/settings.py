"""What the operator is told by its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from wheeltapper_operator.names import NATS, NATS_PORT


class SettingsError(Exception):
    """The environment does not say what it has to."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one replica."""

    namespace: str
    """Where the operator itself and the backbone are."""
    identity: str
    """Name of this replica."""
    worker_image: str
    worker_pull_policy: str
    pull_secrets: tuple[str, ...]
    """Secrets of the tenants' own namespaces by which the image is pulled."""
    backbone_url: str
    backbone_replicas: int
    """On how many of the backbone's servers each stream is."""
    storage_class: str
    """Class of the tenants' volumes; empty for the cluster's default."""
    log_level: str
    probes_port: int
    kubeconfig: Path | None
    """None in a pod."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Settings of the process's environment.

        Raises
        ------
        SettingsError
            If a variable is missing or wrong; it is named.
        """
        try:
            namespace, image = environment["WHEELTAPPER_NAMESPACE"], environment["WHEELTAPPER_WORKER_IMAGE"]
        except KeyError as error:
            raise SettingsError(f"The environment variable {error.args[0]} is not set") from None
        kubeconfig = environment.get("WHEELTAPPER_KUBECONFIG")
        return cls(
            namespace=namespace,
            identity=environment.get("WHEELTAPPER_IDENTITY") or f"{os.uname().nodename}-{os.getpid()}",
            worker_image=image,
            worker_pull_policy=environment.get("WHEELTAPPER_WORKER_PULL_POLICY", "IfNotPresent"),
            pull_secrets=tuple(filter(None, environment.get("WHEELTAPPER_PULL_SECRETS", "").split(","))),
            backbone_url=environment.get("WHEELTAPPER_BACKBONE_URL") or f"nats://{NATS}.{namespace}.svc:{NATS_PORT}",
            backbone_replicas=_number(environment, "WHEELTAPPER_BACKBONE_REPLICAS", 1),
            storage_class=environment.get("WHEELTAPPER_STORAGE_CLASS", ""),
            log_level=environment.get("WHEELTAPPER_LOG_LEVEL", "INFO").upper(),
            probes_port=_number(environment, "WHEELTAPPER_PROBES_PORT", 8080),
            kubeconfig=Path(kubeconfig) if kubeconfig else None,
        )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(environment.get(name) or default)
    except ValueError:
        raise SettingsError(f"{name} is no number") from None
