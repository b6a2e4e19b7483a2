"""How the parameters of ``examples/skab`` were chosen: ``python -m tests.bench.skab_search DIR``.

Every set of a small grid is measured on the even-numbered recordings and on the odd-numbered ones. The set that is best
on one half is judged by the other, which it has never seen.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

from tests.bench import skab
from wheeltapper_api.config import LineConfig
from wheeltapper_api.kinds.failuremodel import Detector, EwmaDetector

WINDOWS_S = (5, 10, 30)
SMOOTHING = (0.1, 0.2, 0.3)
LIMITS = (2.0, 3.0, 4.0, 5.0)


def variant(line: LineConfig, window_s: int, smoothing: float, limit: float) -> LineConfig:
    """The example's line with another window and another chart."""
    features = [feature.model_copy(update={"window_ns": window_s * 10**9}) for feature in line.pipeline.features]
    pipeline = line.pipeline.model_copy(update={"features": features})
    detector = Detector(ewma=EwmaDetector(smoothing=smoothing, limit=limit))
    models = [model.model_copy(update={"detector": detector}) for model in line.models]
    return line.model_copy(update={"pipeline": pipeline, "models": models})


def main() -> None:
    """Print every set with both halves, and at the end each half's choice judged by the other."""
    folder = Path(sys.argv[1])
    halves = {half: skab.recordings(folder, half) for half in ("even", "odd")}
    _, line = skab.rig()
    table = []
    for window_s, smoothing, limit in product(WINDOWS_S, SMOOTHING, LIMITS):
        chosen = variant(line, window_s, smoothing, limit)
        row = {"window": window_s, "lambda": smoothing, "limit": limit}
        row |= {half: skab.measure(paths, chosen)["j"] for half, paths in halves.items()}
        table.append(row)
        print(json.dumps(row), flush=True)
    for half, other in (("even", "odd"), ("odd", "even")):
        best = max(table, key=lambda row: row[half])
        print(json.dumps({"chosen on": half, **best, "judged by": other, "j": best[other]}))


if __name__ == "__main__":
    main()
