"""Alerts in a supervisor's words: what is wrong, how far from normal, since when, how sure, what to do.

Pure: numbers and names in, sentences out. Units are shown as people write them, numbers to what the sensor can resolve.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from wheeltapper_api.fields import duration_text
from wheeltapper_api.wire import Contribution, NoScore, RecommendedAction

_UNITS: Final = {
    "1": "",
    "Cel": "°C",
    "[degF]": "°F",
    "/min": "rpm",
    "m3": "m³",
    "s2": "s²",
    "um": "µm",
    "Ohm": "Ω",
    "deg": "°",
    "[psi]": "psi",
    "[in_i]": "in",
}
_TEMPERATURES: Final = ("Cel", "[degF]", "K")
_WHEN: Final = {
    "now": "Do now",
    "next-shift": "Do in the next shift",
    "next-planned-stop": "Do at the next planned stop",
    "monitor": "Keep watching it",
}
_SHOWN: Final = 3
_CONTRIBUTES: Final = 0.5
"""Deviation towards the failure, as a share of the limit, from which an input belongs into the explanation."""
_USUAL: Final = 0.25
"""Deviation either way, as a share of the limit, below which an input is as usual."""
_TIMES: Final = (1.2, 100.0)
"""Between these a value is told as a multiple of the normal one; above, the normal one is next to nothing."""
_SURE: Final = ((0.85, "high"), (0.6, "medium"), (0.0, "low"))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one input shows."""

    contribution: Contribution
    towards: float
    """Deviation in the direction that counts, 1.0 at the limit; 0 if it deviates the other way."""
    limit: float | None = None
    """Of a detector with fixed limits."""
    resolution: float = 0.0
    """Of the sensor, in the input's unit; 0 if it is not known."""
    earlier: float | None = None
    """Value when the alert last was told."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure an alert is, 0 to 1, and why."""

    value: float
    because: str


def confidence(windows: int, coverage: float) -> Confidence:
    """Confidence of an alert after so many windows in a row above the limit.

    By the rule of succession (Laplace) the next window will be above the limit too with (n + 1) / (n + 2) after n that
    were; the share of samples that were good scales it. It speaks of the measurement, not of the diagnosis; and as
    windows may overlap, n is more than the number of independent ones.
    """
    share = 0.0 if math.isnan(coverage) else min(max(coverage, 0.0), 1.0)
    value = (windows + 1) / (windows + 2) * share
    word = next(word for bound, word in _SURE if value >= bound)
    data = "all data good" if share >= 0.995 else f"{share:.0%} of the data good"
    count = "the last measurement was" if windows == 1 else f"the last {windows} measurements were"
    return Confidence(round(value, 3), f"{word}; {count} above the limit, {data}")


def opened(
    asset: str,
    failure_mode: str,
    evidence: Sequence[Evidence],
    *,
    state: str,
    since_ns: int,
    now_ns: int,
    earlier_ns: int | None,
    zone: str,
    sure: Confidence,
    action: RecommendedAction,
    delayed: bool,
) -> str:
    """Whole explanation of an alert that is open, in plain text.

    Parameters
    ----------
    state
        Operating state in words, such as ``steady at 150 to 175 m³/h``.
    since_ns, now_ns
        Event time of the first window above the limit and of the newest.
    earlier_ns
        Event time at which the alert last was told; None when it opens.
    zone
        Time zone of the plant.
    """
    told = None if earlier_ns is None else clock(earlier_ns, zone)
    lines = [f"{asset}: {inside(failure_mode)}."]
    for position, entry in enumerate(contributing(evidence)):
        lines.append(_finding(entry, state=state, first=position == 0, told=told))
    usual = [entry.contribution.title for entry in evidence if abs(entry.contribution.deviation) < _USUAL]
    if len(usual) == 1:
        lines.append(f"{_subject(usual[0])} is as usual.")
    elif usual:
        lines.append(f"As usual: {_list(usual)}.")
    lasts = f", for {duration_text(now_ns - since_ns)}" if now_ns > since_ns else ""
    lines.append(f"Since {clock(since_ns, zone)}{lasts}.")
    if delayed:
        lines.append("The values arrived late; the machine may have changed since.")
    lines.append(f"Sure: {sure.because}.")
    lines.append(f"{_WHEN.get(action.when, action.when)}: {inside(action.recommend).rstrip('. ')}.")
    return " ".join(lines)


def cleared(asset: str, failure_mode: str, evidence: Sequence[Evidence], since_ns: int, now_ns: int, zone: str) -> str:
    """What is said when an alert ends; ``evidence`` is what the inputs show now, of the one that led first."""
    lines = [f"{asset}: {inside(failure_mode)} is no longer seen."]
    for entry in evidence[:1]:
        one = entry.contribution
        lines.append(f"{_subject(one.title)} is {number(one.value, one.unit, entry.resolution)} now.")
    lines.append(f"The alert began at {clock(since_ns, zone)} and lasted {duration_text(now_ns - since_ns)}.")
    return " ".join(lines)


def contributing(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Inputs that carry the alert, the strongest first; at least one if there is any."""
    ordered = sorted(evidence, key=lambda entry: -entry.towards)
    strong = [entry for entry in ordered if entry.towards >= _CONTRIBUTES][:_SHOWN]
    return strong or ordered[:1]


def no_score(reason: str, mode: str, coverage: float, inputs: Sequence[str], learning: str) -> str:
    """Why there is no score, in a few words."""
    if reason == NoScore.MODE:
        return f"not scored while {inside(mode) or 'the mode is unknown'}"
    if reason == NoScore.NO_DATA:
        share = 0.0 if math.isnan(coverage) else coverage
        return f"too little good data of {_list(inputs)} ({share:.0%})"
    if reason == NoScore.LEARNING:
        return f"learning, {learning}" if learning else "learning this load"
    return ""


def state_text(title: str, unit: str, edges: Sequence[float], band: int) -> str:
    """Mode and load band in words; the mode alone if the load is not known."""
    mode = inside(title)
    if not edges or not 0 <= band <= len(edges):
        return mode
    low, high = [None, *edges][band], [*edges, None][band]
    if low is None:
        return f"{mode} below {high:g} {unit_text(unit)}".rstrip()
    if high is None:
        return f"{mode} above {low:g} {unit_text(unit)}".rstrip()
    return f"{mode} at {low:g} to {high:g} {unit_text(unit)}".rstrip()


def clock(time_ns: int, zone: str) -> str:
    """Time of day, with the date, as the plant's clocks show it."""
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC).astimezone(ZoneInfo(zone))
    return f"{moment:%H:%M:%S} on {moment.day} {moment:%B}"


def unit_text(unit: str) -> str:
    """Unit as people write it."""
    if unit in _UNITS:
        return _UNITS[unit]
    over = re.fullmatch(r"(.+)/\((.+)\)", unit)
    if over:
        return f"{unit_text(over[1])} per {unit_text(over[2])}"
    above, slash, below = unit.partition("/")
    return f"{_UNITS.get(above, above)}{slash}{_UNITS.get(below, below)}"


def number(value: float, unit: str, resolution: float = 0.0) -> str:
    """Value with its unit, to three significant digits and no finer than the sensor's resolution."""
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    if resolution > 0:
        digits = min(digits, max(0, math.ceil(-math.log10(resolution) - 1e-9)))
    return f"{value:z.{min(digits, 4)}f} {unit_text(unit)}".rstrip()


def inside(title: str) -> str:
    """Title as it is written within a sentence; an abbreviation stays as it is."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _subject(title: str) -> str:
    """Title as the subject of a sentence."""
    return f"{title}," if "," in title else title


def _list(titles: Sequence[str]) -> str:
    separator = "; " if any("," in title for title in titles) else ", "
    return separator.join(inside(title) for title in titles)


def _finding(entry: Evidence, *, state: str, first: bool, told: str | None) -> str:
    """Sentence about one input: its value, how it moved, how far it is from normal, and what normal is."""
    one = entry.contribution
    value, expected = (number(amount, one.unit, entry.resolution) for amount in (one.value, one.expected))
    said = f"{_subject(one.title)} is {value}"
    if told and entry.earlier is not None:
        earlier = number(entry.earlier, one.unit, entry.resolution)
        way = "up" if one.value > entry.earlier else "down"
        said += "" if earlier == value else f", {way} from {earlier} at {told}"
    if entry.limit is not None:
        limit = f"{entry.limit:g} {unit_text(one.unit)}".rstrip()
        return f"{said}; the limit is {limit}."
    compared = f"this machine usually has {expected} when {state}" if first and state else f"usual is {expected}"
    return f"{said}, {_distance(entry)}; {compared}."


def _distance(entry: Evidence) -> str:
    """How far from normal: as a factor where that means something, else as a difference."""
    one = entry.contribution
    times = one.value / one.expected if one.expected > 0 and one.unit not in _TEMPERATURES else 0.0
    if _TIMES[0] <= times < _TIMES[1]:
        return f"{times:.{1 if times < 10 else 0}f} times normal"
    way = "above" if one.value >= one.expected else "below"
    return f"{number(abs(one.value - one.expected), one.unit, entry.resolution)} {way} normal"
