"""Memory and CPU of every process of the pump station of the examples, in the demo's order: learn a day, then run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.bench.harness import CannotRunError, Options, Result
from tests.bench.installation import Running
from tests.bench.machine import Meter
from tests.support.station import Station

NAME: Final = "footprint"
_COMMAND: Final = [sys.executable, "-m", "wheeltapper_cli"]
_LEAST_WORKERS: Final = 3


def run(options: Options) -> Result:
    """Resident MiB of all workers together."""
    seconds = 10 if options.quick else 30
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        station = Station(folder)
        day = folder / "day.parquet"
        duration = "21h" if options.quick else "24h"
        subprocess.run([*_COMMAND, "sim", "history", station.scenario, day, "--duration", duration], check=True)
        plant = station.simulator()
        try:
            with Running(station.files, "--backfill", str(day)) as up:
                samples = _collected(up)
                processes = {name: pid for name, pid in up.processes().items() if name != "command"}
                meter = Meter(processes | {"command": up.processes()["command"], "simulator": plant.simulator.pid})
                meter.start()
                time.sleep(seconds)
                used = meter.stop()
                gained = _collected(up) - samples
        finally:
            plant.stop()
    workers = [one for one in used if one["name"].startswith("northwater")]
    if len(workers) < _LEAST_WORKERS or gained <= 0:
        raise CannotRunError(f"The station did not run: {len(workers)} workers, {gained} samples in {seconds} s")
    total = float(sum(one["residentMiB"] for one in workers))
    cores = sum(one["cores"] for one in workers)
    return Result(
        NAME,
        "The example's pump station: resident memory of all workers",
        "MiB",
        [total],
        f"all {len(workers)} workers ran and took {gained:,} samples in the time",
        better="lower",
        processes=used,
        details={
            "workerCores": round(cores, 3),
            "samplesPerSecond": round(gained / seconds),
            "mostWhileLearningADayMiB": sum(one["mostResidentMiB"] for one in workers),
        },
    )


def _collected(up: Running) -> int:
    """Samples the collector has taken; waits until it takes some."""

    def found() -> int:
        if "collect" not in json.dumps(list(up.processes())):
            return 0
        return sum(part.get("samples", 0) for key, part in up.parts().items() if key.startswith("collect-"))

    return int(up.wait(found, 120, "Collecting"))
