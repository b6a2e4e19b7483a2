"""``python -m tests.cluster up|down``: a cluster that stays until it is ended, for many runs of the tests."""

from __future__ import annotations

import sys
from functools import partial

from tests.cluster.cluster import Cluster
from tests.cluster.requirements import missing

_tell = partial(print, flush=True)


def main(arguments: list[str]) -> int:
    """Do what is asked for; what a machine lacks is told in a line."""
    if arguments not in (["up"], ["down"]):
        return _refuse("Write up or down")
    if reason := missing():
        return _refuse(reason)
    cluster = Cluster()
    with cluster.held(_tell):
        if arguments == ["down"]:
            cluster.down(_tell)
        else:
            _up(cluster)
    return 0


def _up(cluster: Cluster) -> None:
    if not cluster.kept:
        cluster.up(_tell)
        cluster.keep()
    _tell(f"The tests use it as long as it is up. To use it yourself: export KUBECONFIG={cluster.kubeconfig}")


def _refuse(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
