"""A scenario: which pumps there are, what is scripted to happen to them, and how their server misbehaves.

Times (`at`) count from the scenario's epoch, the moment the plant was first started live.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wheeltapper_api.fields import Duration, Name, duration_ns
from wheeltapper_workers.simulator.signals import AMBIENT, SIGNAL_NAMES, camel_case


class Strict(BaseModel):
    """Part of a scenario: nothing unknown, nothing converted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


class Timed(Strict):
    """Something that happens to an asset for a while."""

    asset: Name
    at: Duration
    """Time since the first live start."""
    lasting: Annotated[Duration, Field(alias="for")]

    @property
    def start_ns(self) -> int:
        """Nanoseconds after the epoch at which it starts."""
        return duration_ns(self.at)

    @property
    def end_ns(self) -> int:
        """Nanoseconds after the epoch at which it is over."""
        return self.start_ns + duration_ns(self.lasting)

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.end_ns == self.start_ns:
            raise ValueError("'for' is zero; write how long it lasts, such as 30s")
        return self


class Area(Strict):
    """A part of the plant, such as a hall, whose machines are served in one way."""

    name: Name
    serve: Literal["opcua", "mqtt"] = "opcua"
    """opcua: nodes of the simulator's server. mqtt: published to a broker."""


class Pump(Strict):
    """One pump; the defaults are a 200 m3/h water pump with a 30 kW motor."""

    name: Name
    area: Name | None = None
    """The first area when left out."""
    flow_m3_h: Annotated[float, Field(alias="flow", ge=5, le=5000)] = 200.0
    """Flow at the best efficiency point, m3/h."""
    head_m: Annotated[float, Field(alias="head", ge=5, le=200)] = 32.0
    """Head at the best efficiency point, m."""


class Fault(Strict):
    """A fault that grows from nothing to its full size, and stays."""

    asset: Name
    kind: Literal["bearing-wear", "cavitation", "seal-leakage"]
    at: Duration
    """Time of onset since the first live start."""
    growth: Duration
    """Time from onset to severity 1."""

    @property
    def start_ns(self) -> int:
        """Nanoseconds after the epoch at which it begins."""
        return duration_ns(self.at)

    @property
    def growth_ns(self) -> int:
        """Nanoseconds from onset to severity 1, at least 1."""
        return max(1, duration_ns(self.growth))


class ScriptedLoad(Timed):
    """Hold a pump at one load, over its random changes."""

    load: Annotated[float, Field(ge=0.3, le=1.3)]
    """Flow at rated speed over the flow at the best efficiency point."""


class ScriptedStop(Timed):
    """Stop a pump, then start it again."""


class ScriptedRun(Timed):
    """Keep a pump from stopping at random during this time and the 10 minutes before."""


class Script(Strict):
    """What happens on top of the random operation."""

    loads: list[ScriptedLoad] = []
    stops: list[ScriptedStop] = []
    runs: list[ScriptedRun] = []


class Disturbance(Timed):
    """A time during which a signal is served wrongly, as instruments and servers do."""

    signal: Name | None = None
    """The signal; all of the asset's signals when left out."""
    kind: Literal["nan", "text", "bad-status", "clock", "stuck", "freeze"]
    """nan: not a number. text: a text instead of a number. bad-status: BadSensorFailure without a value. clock: source
    timestamps start at 2000-01-01. stuck: the value repeats with new timestamps. freeze: nothing is updated."""


class Scenario(Strict):
    """A simulated plant."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    station: Name = "station"
    """Asset that owns the station-wide signals (ambient-temperature)."""
    areas: Annotated[list[Area], Field(min_length=1, max_length=100)] = [Area(name="hall-1")]
    pumps: Annotated[list[Pump], Field(min_length=1, max_length=2000)]
    faults: list[Fault] = []
    script: Script = Script()
    disturbances: list[Disturbance] = []

    @property
    def assets(self) -> list[str]:
        """Names of the pumps, in the order of every array's asset axis."""
        return [pump.name for pump in self.pumps]

    def area_of(self, pump: Pump) -> Area:
        """Area in which a pump stands."""
        return next((area for area in self.areas if area.name == pump.area), self.areas[0])

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        spelled = sorted((camel_case(name), name) for name in [*self.assets, self.station])
        for (left, left_name), (right, right_name) in pairwise(spelled):
            if left == right:
                raise ValueError(f"{left_name!r} and {right_name!r} would share OPC UA node ids; rename one of them")
        areas = [area.name for area in self.areas]
        for pump in self.pumps:
            if pump.area is not None and pump.area not in areas:
                raise ValueError(f"area {pump.area!r} of {pump.name} is not among the areas: {', '.join(areas)}")
        timed: list[Fault | Timed] = [*self.faults, *self.script.loads, *self.script.stops, *self.script.runs]
        for asset in [entry.asset for entry in timed]:
            if asset not in self.assets:
                raise ValueError(f"asset {asset!r} is not among the pumps; known are {', '.join(self.assets)}")
        for disturbance in self.disturbances:
            _check_target(disturbance, self)
        return self


def _check_target(disturbance: Disturbance, scenario: Scenario) -> None:
    station = disturbance.asset == scenario.station
    if not station and disturbance.asset not in scenario.assets:
        raise ValueError(f"asset {disturbance.asset!r} of a disturbance is neither a pump nor the station")
    known = (AMBIENT,) if station else SIGNAL_NAMES
    if disturbance.signal is not None and disturbance.signal not in known:
        raise ValueError(f"{disturbance.asset} has no signal {disturbance.signal!r}; known are {', '.join(known)}")
