"""Detection on the recordings of the SKAB rig, as a benchmark: the product's own line over all recordings at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.bench import skab
from tests.bench.harness import CannotRunError, Options, Result

NAME: Final = "skab"
DATASETS: Final = Path(os.environ.get("WHEELTAPPER_DATASETS", Path(__file__).parents[3] / "shared" / "data"))


def run(options: Options) -> Result:
    """J = 1 - false alarms - missed alarms, both as shares of rows.

    Raises
    ------
    CannotRunError
        Without the recordings.
    """
    folder = DATASETS / "skab" / "valve1"
    if not folder.is_dir():
        raise CannotRunError(f"There are no recordings in {folder}; set WHEELTAPPER_DATASETS to their parent folder")
    figures = skab.measure(skab.recordings(folder, "all")[: 3 if options.quick else None])
    return Result(
        NAME,
        f"Faults found in {figures['files']} recordings of the SKAB rig (valve1)",
        "J",
        [figures["j"]],
        "each row is judged by the rig's own label",
        details=figures,
    )
