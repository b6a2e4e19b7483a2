"""``FailureModel``: one way in which machines of one class fail, how it is seen, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wheeltapper_api.fields import Duration, Identifier, Model, Name, Number, Positive, SemanticVersion, Text, Title
from wheeltapper_api.kinds.assetclass import Position, Quantity, SignalStatistic
from wheeltapper_api.kinds.meta import (
    AGE_COLUMN,
    READY_COLUMNS,
    Column,
    CustomResource,
    ListMap,
    ListSet,
    Resource,
    Rule,
    Status,
)


class Direction(StrEnum):
    """Which way a feature moves when the failure develops."""

    UP = "up"
    DOWN = "down"
    EITHER = "either"


class Combine(StrEnum):
    """How the inputs' deviations become one score."""

    ANY = "any"
    """The largest decides."""
    ALL = "all"
    """The smallest decides: every input must deviate."""


class Needs(Model):
    """What the signal behind an input must be. A class that gives something else is refused."""

    quantity: Quantity | None = None
    statistic: SignalStatistic | None = None
    position: Position | None = None


class ModelInput(Model):
    """A feature the model looks at."""

    feature: Name
    direction: Direction = Direction.EITHER
    needs: Needs | None = None


class Iso14224(Model):
    """Codes of ISO 14224 for what fails and how."""

    failure_mode: Identifier | None = None
    """Table B.6 and following, such as VIB for vibration."""
    mechanism: Identifier | None = None
    """Table B.2, such as 2.4 for wear."""


class FailureMode(Model):
    """The failure in words and codes."""

    title: Title
    description: Text
    iso14224: Iso14224 | None = None
    progression: Duration
    """Usual time from the first sign to functional failure (the P-F interval)."""


class Baseline(Model):
    """What a machine's values are compared with."""

    source: Annotated[Literal["own"], Field(alias="from")] = "own"
    """``own``: this machine's healthy past, learned apart for every mode and load band."""
    at_least: Duration
    """Healthy operation to see before the model answers."""


class FixedLimit(Model):
    """A limit of one input."""

    rules: ClassVar[tuple[Rule, ...]] = (Rule("self.normal != self.limit", "The values normal and limit must differ"),)
    feature: Name
    normal: Number
    """The value that scores 0."""
    limit: Number
    """The value that scores 1; below ``normal`` for a value that falls as the failure develops."""


class FixedLimitDetector(Model):
    """Distance from a normal value towards a limit, as standards and makers state them."""

    limits: Annotated[list[FixedLimit], Field(min_length=1, max_length=32), ListMap(("feature",))]
    combine: Combine = Combine.ANY


class RobustZScoreDetector(Model):
    """Distance from the median in robust standard deviations (1.4826 times the median absolute deviation)."""

    limit: Positive
    """Robust standard deviations at which the score is 1."""
    combine: Combine = Combine.ANY


class EwmaDetector(Model):
    """Exponentially weighted moving average chart on standardised inputs (Roberts 1959), for small lasting shifts."""

    smoothing: Annotated[float, Field(gt=0, le=1, alias="lambda")]
    limit: Positive
    """Control limit L, in standard deviations of the average."""
    combine: Combine = Combine.ANY


class Detector(Model):
    """How inputs become a score. Exactly one is given; the score is 1.0 at its limit."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.fixedLimit) ? 1 : 0) + (has(self.robustZScore) ? 1 : 0) + (has(self.ewma) ? 1 : 0) == 1",
            "Give exactly one of fixedLimit, robustZScore and ewma",
        ),
    )
    fixed_limit: FixedLimitDetector | None = None
    robust_z_score: RobustZScoreDetector | None = None
    ewma: EwmaDetector | None = None


class SeverityBand(Model):
    """A severity that is reached when the score stays above a bound for a time."""

    name: Literal["watch", "warn", "act"]
    above: Positive
    hold: Annotated[Duration, Field(alias="for")]


class Clear(Model):
    """When an open alert ends."""

    below: Positive
    hold: Annotated[Duration, Field(alias="for")]


class Part(Model):
    """A spare part."""

    number: Identifier
    title: Title | None = None
    quantity: Annotated[int, Field(ge=1, le=1000)] = 1


class Runbook(Model):
    """What a technician does at the machine."""

    inspect: Annotated[list[Text], Field(min_length=1, max_length=16)]
    """What to look at, in order."""
    capture: Annotated[list[Text], Field(max_length=16)] = []
    """What to write down or record: it says later whether the model was right."""
    if_clears: Text | None = None
    """What it means, and what to do, if the signal returns to normal by itself."""


class Action(Model):
    """What to do."""

    recommend: Text
    when: Literal["now", "next-shift", "next-planned-stop", "monitor"]
    runbook: Runbook | None = None
    parts: Annotated[list[Part], Field(max_length=32), ListMap(("number",))] = []


class FailureModelSpec(Model):
    """Spec of a ``FailureModel``."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.detector.fixedLimit) || has(self.baseline)",
            "A robustZScore or ewma detector compares with a baseline; add baseline, such as {from: own, atLeast: 24h}",
        ),
        Rule(
            "self.severity.all(s, self.clear.below <= s.above)",
            "The bound clear.below must not be above a severity's, or an alert would open and end at once",
        ),
    )
    asset_class: Annotated[Name, Field(alias="class")]
    version: SemanticVersion
    failure_mode: FailureMode
    inputs: Annotated[list[ModelInput], Field(min_length=1, max_length=32), ListMap(("feature",))]
    modes: Annotated[list[Name], Field(min_length=1, max_length=16), ListSet()]
    """Modes in which the model answers; in the others alerts are held back."""
    baseline: Baseline | None = None
    detector: Detector
    min_coverage: Annotated[int, Field(ge=1, le=100)] = 50
    """Percent of the expected good samples a window needs; with fewer there is no score."""
    severity: Annotated[list[SeverityBand], Field(min_length=1, max_length=3), ListMap(("name",))]
    clear: Clear
    action: Action
    sources: Annotated[list[Text], Field(max_length=32)] = []


class FailureModel(Resource):
    """One failure mode of one class: inputs, detector, severities, and what to do about it."""

    resource: ClassVar[CustomResource] = CustomResource(
        plural="failuremodels",
        singular="failuremodel",
        scope="Namespaced",
        short_names=("fmodel",),
        columns=(
            Column("Class", ".spec.class"),
            Column("Failure", ".spec.failureMode.title"),
            Column("Version", ".spec.version"),
            *READY_COLUMNS,
            AGE_COLUMN,
        ),
    )
    kind: Literal["FailureModel"] = "FailureModel"
    spec: FailureModelSpec
    status: Status | None = None
