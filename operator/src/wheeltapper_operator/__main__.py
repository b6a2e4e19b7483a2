"""``python -m wheeltapper_operator``: the operator in its pod."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from typing import Final

from wheeltapper_operator.kube.api import UnreachableError
from wheeltapper_operator.main import run
from wheeltapper_operator.settings import Settings, SettingsError

_HELP: Final = """\
Brings about in a cluster what objects of wheeltapper.dev ask for.

It is told by its environment:
  WHEELTAPPER_NAMESPACE           namespace of the operator and the backbone
  WHEELTAPPER_WORKER_IMAGE        image of the workers
  WHEELTAPPER_WORKER_PULL_POLICY  when nodes ask for it anew (IfNotPresent)
  WHEELTAPPER_BACKBONE_URL        address of the NATS servers (those of the chart)
  WHEELTAPPER_STORAGE_CLASS       class of the tenants' volumes (the cluster's default)
  WHEELTAPPER_IDENTITY            name of this replica (the pod's)
  WHEELTAPPER_KUBECONFIG          a kubeconfig file, outside of a pod
  WHEELTAPPER_PROBES_PORT         port of /healthz and /readyz (8080)
  WHEELTAPPER_LOG_LEVEL           DEBUG, INFO, WARNING or ERROR (INFO)

example:
  helm install wheeltapper charts/wheeltapper --namespace wheeltapper-system --create-namespace
"""


def main() -> int:
    """Run until told to stop; 2 where the environment is wrong."""
    argparse.ArgumentParser(
        prog="python -m wheeltapper_operator", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    try:
        settings = Settings.read()
    except SettingsError as error:
        print(f"{error}; see --help", file=sys.stderr)  # noqa: T201 - before there is a log
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        asyncio.run(run(settings))
    except asyncio.CancelledError:
        return 0  # told to stop
    except UnreachableError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who looks why
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
