"""``python -m tests.bench``: every benchmark that runs on data at hand, one JSON line each."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.bench import skab

DATASETS = Path(os.environ.get("WHEELTAPPER_DATASETS", Path(__file__).parents[3] / "shared" / "data"))


def main() -> int:
    """Run the benchmarks; a data set that is not there is said and passed over."""
    folder = DATASETS / "skab" / "valve1"
    if not folder.is_dir():
        print(f"skab: no recordings in {folder}; set WHEELTAPPER_DATASETS", file=sys.stderr)
        return 0
    print(json.dumps({"bench": "skab", **skab.measure(skab.recordings(folder, "all"))}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
