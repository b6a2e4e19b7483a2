"""``python -m tests.cluster up|down``: a cluster that stays until it is ended."""

from __future__ import annotations

import sys

from tests.cluster.cluster import Cluster


def main(arguments: list[str]) -> int:
    """Do what is asked for; a mistake is told in a line."""
    cluster = Cluster()
    with cluster.held():
        match arguments:
            case ["up"]:
                cluster.up(print)
            case ["down"]:
                cluster.down(print)
            case _:
                sys.stderr.write("Write up or down\n")
                return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
