"""``python -m tests.replay [--seed N] [--minutes 60]``: every alert of an hour, replayed before and after merging.

Everything has to be the same bits: as the historian stored it in small files, and when these are merged and removed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping

from tests.replay.hour import Orders, Recording, files, merged_and_swept, replays
from wheeltapper_workers.history.replay import Replay

_TABLES = ("raw", "features", "scores", "events")


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit code is 1 if any alert differs, or if there is none."""
    parser = argparse.ArgumentParser(prog="python -m tests.replay", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="any number; the same one makes the same machines")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="replay-") as root:
        recording = Recording(Orders(given.seed))
        historian = recording.keep(root)
        same = _told(f"{recording.samples:,} samples of an hour in {_files(root)}", replays(root))
        merged_and_swept(root, historian)
        same &= _told(f"merged and swept: {_files(root)}", replays(root))
    found = "every alert is the same bits" if same else "NOT THE SAME"
    print(f"{found}, in {time.monotonic() - began:.0f} s")
    return 0 if same else 1


def _files(root: str) -> str:
    return f"{sum(files(root, table) for table in _TABLES)} files"


def _told(what: str, found: Mapping[str, Replay]) -> bool:
    print(what)
    for name, one in found.items():
        rows = ", ".join(f"{hop.rows:,} {hop.name}" for hop in one.hops)
        exact = one.same and one.exact and not one.notes
        print(
            f"  {'same' if exact else 'DIFFERENT ' + one.differs:10} {name}: {one.rows:,} samples, {rows}", flush=True
        )
    return bool(found) and all(one.same and one.exact and not one.notes for one in found.values())


if __name__ == "__main__":
    sys.exit(main())
