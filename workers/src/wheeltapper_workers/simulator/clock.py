"""The plant's own clock: it survives restarts and may run faster than the wall clock."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from wheeltapper_workers.simulator.errors import SimulatorError

NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PlantClock:
    """Simulated time as a straight line over real time, in nanoseconds since the Unix epoch.

    Attributes
    ----------
    epoch_ns : int
        Simulated time of the first live start, a whole second; faults and script count from it.
    anchor_real_ns, anchor_simulated_ns : int
        A point of the line.
    speed : float
        Simulated seconds per real second.
    """

    epoch_ns: int
    anchor_real_ns: int
    anchor_simulated_ns: int
    speed: float

    def simulated_ns(self, real_ns: int) -> int:
        """Simulated time at a real time."""
        return self.anchor_simulated_ns + round((real_ns - self.anchor_real_ns) * self.speed)

    def real_ns(self, simulated_ns: int) -> int:
        """Real time at a simulated time."""
        return self.anchor_real_ns + round((simulated_ns - self.anchor_simulated_ns) / self.speed)


def started(real_ns: int, speed: float) -> PlantClock:
    """Clock of a plant that is started for the first time, at the present whole second.

    At speed 1 simulated time is real time. Otherwise the begun second is not made up for: it could be minutes of plant
    time.
    """
    whole = real_ns // NS * NS
    return PlantClock(whole, whole if speed == 1.0 else real_ns, whole, speed)


def resumed(clock: PlantClock, real_ns: int, speed: float) -> PlantClock:
    """Clock of a plant that is started again.

    The line goes on as if the plant had run meanwhile; another speed bends it now, so time never jumps back.
    """
    if speed == clock.speed:
        return clock
    return replace(clock, anchor_real_ns=real_ns, anchor_simulated_ns=clock.simulated_ns(real_ns), speed=speed)


def load_clock(path: Path) -> PlantClock | None:
    """Clock stored by an earlier run, or None if there was none.

    Raises
    ------
    SimulatorError
        If the file is damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return PlantClock(
            int(document["epoch_ns"]),
            int(document["anchor_real_ns"]),
            int(document["anchor_simulated_ns"]),
            float(document["speed"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SimulatorError(
            f"State file {path} of the simulated plant is damaged ({error}). Delete it to begin a new plant history."
        ) from error


def store_clock(path: Path, clock: PlantClock) -> None:
    """Write the clock so that a crash leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(clock), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
