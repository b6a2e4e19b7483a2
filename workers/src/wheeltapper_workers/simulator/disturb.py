"""How instruments and servers misbehave: pure changes to a sample about to be served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asyncua.ua.status_codes import StatusCodes

from wheeltapper_workers.simulator.clock import NS
from wheeltapper_workers.simulator.scenario import Disturbance, Scenario
from wheeltapper_workers.simulator.signals import AMBIENT, SIGNAL_NAMES

GOOD: Final = int(StatusCodes.Good)
BAD: Final = int(StatusCodes.BadSensorFailure)
WAITING: Final = int(StatusCodes.BadWaitingForInitialData)
YEAR_2000_NS: Final = 946_684_800 * NS
TEXT: Final = "### ERROR ###"

Series = tuple[str, str]
"""Asset and signal."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A value as it is served: number, text or waveform, OPC UA status code, source time in ns since the Unix epoch."""

    value: float | str | list[float]
    status: int
    source_ns: int


def active(scenario: Scenario, epoch_ns: int, time_ns: int) -> dict[Series, Disturbance]:
    """Disturbance of each (asset, signal) at a time; of several, the last one in the scenario."""
    found: dict[Series, Disturbance] = {}
    for disturbance in scenario.disturbances:
        if epoch_ns + disturbance.start_ns <= time_ns < epoch_ns + disturbance.end_ns:
            for signal in _signals(scenario, disturbance):
                found[disturbance.asset, signal] = disturbance
    return found


def disturbed(sample: Sample, disturbance: Disturbance, previous: Sample | None, epoch_ns: int) -> Sample | None:
    """Sample under a disturbance; None if nothing is to be served.

    Parameters
    ----------
    sample : Sample
        What a faultless instrument would give.
    disturbance : Disturbance
    previous : Sample or None
        What was served last, for the value that sticks.
    epoch_ns : int
        First live start.
    """
    match disturbance.kind:
        case "nan":
            return Sample(float("nan"), GOOD, sample.source_ns)
        case "text":
            return Sample(TEXT, GOOD, sample.source_ns)
        case "bad-status":
            return Sample(sample.value, BAD, sample.source_ns)
        case "clock":
            since_ns = sample.source_ns - epoch_ns - disturbance.start_ns
            return Sample(sample.value, GOOD, YEAR_2000_NS + since_ns)
        case "stuck":
            return Sample(sample.value if previous is None else previous.value, GOOD, sample.source_ns)
        case "freeze":
            return None


def _signals(scenario: Scenario, disturbance: Disturbance) -> tuple[str, ...]:
    if disturbance.signal is not None:
        return (disturbance.signal,)
    return (AMBIENT,) if disturbance.asset == scenario.station else SIGNAL_NAMES
