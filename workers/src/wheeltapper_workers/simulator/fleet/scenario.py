"""A scenario of a fleet: which machines stand in which area, and what befalls them and their sensors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from wheeltapper_api.fields import Duration, Name, duration_ns
from wheeltapper_workers.simulator.clock import NS
from wheeltapper_workers.simulator.fleet.fleet import Fault, Fleet, SensorFault, SensorTrouble
from wheeltapper_workers.simulator.fleet.machines import MACHINES
from wheeltapper_workers.simulator.scenario import Area, Strict, Timed
from wheeltapper_workers.simulator.signals import camel_case

MOST_MACHINES: Final = 2000
_SIZES: Final[dict[str, float]] = {"drift": 0.05, "noise": 3.0, "clock": 60.0, "clock-drift": 60.0}
"""Sizes of sensor faults that have one, where the scenario does not say."""


def _known_class(value: Any) -> Any:
    if isinstance(value, str) and value not in MACHINES:
        raise ValueError(f"there is no class {value!r}; known are {', '.join(MACHINES)}")
    return value


class Machines(Strict):
    """Machines of one class: so many of them, or these."""

    asset_class: Annotated[str, Field(alias="class"), BeforeValidator(_known_class)]
    count: Annotated[int, Field(ge=1, le=MOST_MACHINES)] | None = None
    """They are called fan-001, fan-002 and so on, counted through the whole plant."""
    names: list[Name] = []

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.count is None) == (not self.names):
            raise ValueError("give either count or names")
        return self


class FleetArea(Area):
    """A part of the plant and its machines."""

    machines: Annotated[list[Machines], Field(min_length=1, max_length=100)]


class GrowingFault(Strict):
    """A fault of a machine that grows from nothing to a failure, faster and faster."""

    asset: Name
    kind: str
    at: Duration
    """Time of onset since the first live start."""
    growth: Duration
    """Time from onset to failure."""


class FaultySensor(Timed):
    """A time during which a sensor is wrong although its machine is not."""

    signal: Name | None = None
    """All signals of the machine when left out, as of a gateway."""
    kind: SensorTrouble
    """drift, stuck, noise, dropout; clock: source times are off; clock-drift: they drift off."""
    size: float | None = None
    """Of a drift: change at its end, as a share. Of noise: how many times its own. Of a clock: seconds it is ahead, at
    once or at the end; negative is behind."""

    @model_validator(mode="after")
    def _size_fits(self) -> Self:
        if self.size is not None and self.kind not in _SIZES:
            raise ValueError(f"a sensor fault of kind {self.kind} has no size; remove it")
        return self


class FleetScenario(Strict):
    """A simulated plant of machines of any class."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    name: Name = "plant"
    areas: Annotated[list[FleetArea], Field(min_length=1, max_length=100)]
    faults: list[GrowingFault] = []
    sensor_faults: Annotated[list[FaultySensor], Field(alias="sensorFaults")] = []
    bursts: Duration = "2h"
    """Time between two waveforms of a machine."""

    def placed(self) -> Iterator[tuple[FleetArea, str, str]]:
        """Area, class and name of each machine, in the order of the file."""
        counted: dict[str, int] = {}
        for area in self.areas:
            for machines in area.machines:
                kind = machines.asset_class
                for position in range(machines.count or len(machines.names)):
                    number = counted[kind] = counted.get(kind, 0) + (0 if machines.names else 1)
                    yield area, kind, machines.names[position] if machines.names else f"{kind}-{number:03d}"

    def classes(self) -> dict[str, str]:
        """Class of each machine."""
        return {asset: kind for _, kind, asset in self.placed()}

    def fleet(self, epoch_s: int, end_s: int, step_s: int) -> Fleet:
        """The fleet with its faults, their times counted from an epoch."""
        classes = self.classes()
        members: dict[str, list[str]] = {}
        for asset, kind in classes.items():
            members.setdefault(kind, []).append(asset)
        faults = [
            Fault(f.asset, f.kind, epoch_s + duration_ns(f.at) // NS, max(1, duration_ns(f.growth) // NS))
            for f in self.faults
        ]
        troubles = [each for fault in self.sensor_faults for each in _troubles(fault, classes[fault.asset], epoch_s)]
        every_s = duration_ns(self.bursts) // NS
        return Fleet(self.seed, epoch_s, end_s, step_s, members, tuple(faults), tuple(troubles), every_s)

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        named = sorted((camel_case(asset), asset) for _, _, asset in self.placed())
        if len(named) > MOST_MACHINES:
            raise ValueError(f"{len(named)} machines are more than the {MOST_MACHINES} that one plant may have")
        for (left, left_name), (right, right_name) in pairwise(named):
            if left == right:
                raise ValueError(f"{left_name!r} and {right_name!r} would share OPC UA node ids; rename one of them")
        if len({area.name for area in self.areas}) < len(self.areas):
            raise ValueError("two areas have one name; rename one of them")
        if duration_ns(self.bursts) < 10 * NS:
            raise ValueError("'bursts' is below 10s; a machine takes no waveforms that often")
        return self

    @model_validator(mode="after")
    def _faults_fit(self) -> Self:
        classes = self.classes()
        for asset in [*(fault.asset for fault in self.faults), *(sensor.asset for sensor in self.sensor_faults)]:
            if asset not in classes:
                some = ", ".join(list(classes)[:8])
                raise ValueError(f"asset {asset!r} is not among the {len(classes)} machines, such as {some}")
        for fault in self.faults:
            machine = MACHINES[classes[fault.asset]]
            if fault.kind not in machine.faults:
                known = ", ".join(machine.faults)
                raise ValueError(f"{fault.asset}, a {machine.kind}, has no fault {fault.kind!r}; known are {known}")
        for sensor in self.sensor_faults:
            kind = classes[sensor.asset]
            if sensor.signal is not None and sensor.signal not in signals_of(kind):
                known = ", ".join(signals_of(kind))
                raise ValueError(f"{sensor.asset}, a {kind}, has no signal {sensor.signal!r}; known are {known}")
        return self


def _troubles(fault: FaultySensor, kind: str, epoch_s: int) -> Iterator[SensorFault]:
    """A sensor fault of each signal that it befalls."""
    size = _SIZES.get(fault.kind, 0.0) if fault.size is None else fault.size
    start_s, end_s = epoch_s + fault.start_ns // NS, epoch_s + fault.end_ns // NS
    for signal in [fault.signal] if fault.signal else signals_of(kind):
        yield SensorFault(fault.asset, signal, fault.kind, start_s, max(start_s + 1, end_s), size)


def signals_of(kind: str) -> list[str]:
    """Names of a class's signals, without the waveform."""
    return [signal.name for signal in MACHINES[kind].signals]
