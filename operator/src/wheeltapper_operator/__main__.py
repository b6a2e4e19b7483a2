"""``python -m wheeltapper_operator``: the operator in its pod."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from typing import Final

from wheeltapper_operator.kube.api import UnreachableError
from wheeltapper_operator.kube.fitness import UnfitError
from wheeltapper_operator.main import run
from wheeltapper_operator.settings import Settings, SettingsError

_HELP: Final = """\
Brings about in a cluster what objects of wheeltapper.dev ask for.

It is told by its environment:
  WHEELTAPPER_NAMESPACE           namespace of the operator and the backbone
  WHEELTAPPER_WORKER_IMAGE        image of the workers
  WHEELTAPPER_WORKER_PULL_POLICY  when nodes ask for it anew (IfNotPresent)
  WHEELTAPPER_BACKBONE_URL        address of the NATS servers (those of the chart)
  WHEELTAPPER_PULL_SECRETS        names of the Secrets by which it is pulled, with commas between
  WHEELTAPPER_STORAGE_CLASS       class of the tenants' volumes (the cluster's default)
  WHEELTAPPER_IDENTITY            name of this replica (the pod's)
  WHEELTAPPER_KUBECONFIG          a kubeconfig file, outside of a pod
  WHEELTAPPER_PROBES_PORT         port of /healthz and /readyz (8080)
  WHEELTAPPER_LOG_LEVEL           DEBUG, INFO, WARNING or ERROR (INFO)

It ends with 0 when told to, with 1 where no way to a cluster is known, with 2 where its environment is wrong, and with
3 where the cluster is too old. Where the kinds are missing or older, or another operator serves, it waits and says so.

example:
  helm install wheeltapper charts/wheeltapper --namespace wheeltapper-system --create-namespace
"""


def main() -> int:
    """Run until told to stop."""
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
    except UnfitError as error:
        print(error, file=sys.stderr)  # noqa: T201 - Kubernetes shows it in the pod's status
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
