"""Alerts in a supervisor's words: what is wrong, how far from normal, since when, how sure, what to do.

Pure: numbers and names in, sentences out. Units are shown as people write them, numbers to what the sensor can resolve.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from wheeltapper_api.fields import duration_text
from wheeltapper_api.wire import Contribution, RecommendedAction

_UNITS: Final = {"Cel": "°C", "[degF]": "°F", "m3/h": "m³/h", "/min": "rpm", "1": "", "m/s2": "m/s²", "um": "µm"}
_WHEN: Final = {
    "now": "now",
    "next-shift": "in the next shift",
    "next-planned-stop": "at the next planned stop",
    "monitor": "while watching it",
}
_SHOWN: Final = 3
_CONTRIBUTES: Final = 0.5
"""Deviation, as a share of the limit, from which an input belongs into the explanation."""
_SURE: Final = ((0.85, "high"), (0.6, "medium"), (0.0, "low"))


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure an alert is, 0 to 1, and why."""

    value: float
    because: str


def confidence(windows: int, coverage: float) -> Confidence:
    """Confidence of an alert after so many windows in a row above the limit.

    By the rule of succession (Laplace) the next window will be above the limit too with (n + 1) / (n + 2) after n that
    were; the share of samples that were good scales it. It speaks of the measurement, not of the diagnosis.
    """
    value = (windows + 1) / (windows + 2) * min(max(coverage, 0.0), 1.0)
    word = next(word for bound, word in _SURE if value >= bound)
    data = "all data good" if coverage >= 0.995 else f"{coverage:.0%} of the data good"
    count = "the last window was" if windows == 1 else f"the last {windows} windows were"
    return Confidence(round(value, 3), f"{word}; {count} above the limit, {data}")


def summary(
    asset: str,
    failure_mode: str,
    contributions: list[Contribution],
    *,
    learned: bool,
    state: str,
    since_ns: int,
    now_ns: int,
    zone: str,
    sure: Confidence,
    action: RecommendedAction,
    delayed: bool = False,
) -> str:
    """Whole explanation of an alert, in plain text.

    Parameters
    ----------
    learned
        The expected values are this machine's own past, not a fixed normal value.
    state
        Operating state in words, such as ``steady at 150 to 175 m³/h``.
    since_ns, now_ns
        Event time of the first window above the limit and of the newest.
    zone
        Time zone of the plant.
    """
    shown = contributing(contributions)
    lines = [f"{asset}: {failure_mode[:1].lower()}{failure_mode[1:]}."]
    lines += [_finding(entry, learned=learned, state=state, first=i == 0) for i, entry in enumerate(shown)]
    usual = [entry.title.lower() for entry in contributions if abs(entry.deviation) < 0.25]
    if usual:
        lines.append(f"{_list(usual).capitalize()} {'is' if len(usual) == 1 else 'are'} as usual.")
    lines.append(f"Since {clock(since_ns, zone)}, for {duration_text(now_ns - since_ns)}.")
    if delayed:
        lines.append("The values arrived late; the machine may have changed since.")
    lines.append(f"Sure: {sure.because}.")
    lines.append(f"Do {_WHEN.get(action.when, action.when)}: {action.recommend[:1].lower()}{action.recommend[1:]}.")
    return " ".join(lines)


def contributing(contributions: list[Contribution]) -> list[Contribution]:
    """Inputs that carry the alert, the strongest first; at least one."""
    ordered = sorted(contributions, key=lambda entry: -abs(entry.deviation))
    strong = [entry for entry in ordered if abs(entry.deviation) >= _CONTRIBUTES][:_SHOWN]
    return strong or ordered[:1]


def no_score(reason: str, mode: str, coverage: float, inputs: list[str], learning: str) -> str:
    """Why there is no score, in a few words."""
    if reason == "mode":
        return f"not scored while {mode.lower() or 'the mode is unknown'}"
    if reason == "no-data":
        share = 0.0 if math.isnan(coverage) else coverage
        return f"too little good data of {_list([name.lower() for name in inputs])} ({share:.0%})"
    if reason == "learning":
        return f"learning, {learning}" if learning else "learning this load"
    return ""


def clock(time_ns: int, zone: str) -> str:
    """Time of day, with the date, as the plant's clocks show it."""
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC).astimezone(ZoneInfo(zone))
    return moment.strftime("%H:%M:%S on %d %B")


def unit_text(unit: str) -> str:
    """Unit as people write it."""
    if unit in _UNITS:
        return _UNITS[unit]
    over = re.fullmatch(r"(.+)/\((.+)\)", unit)
    if over:
        return f"{unit_text(over[1])} per {unit_text(over[2])}"
    return unit


def number(value: float, unit: str) -> str:
    """Value to three significant digits with its unit."""
    if math.isnan(value):
        return "not measured"
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 4)}f} {unit_text(unit)}".rstrip()


def _finding(entry: Contribution, *, learned: bool, state: str, first: bool) -> str:
    value, expected = number(entry.value, entry.unit), number(entry.expected, entry.unit)
    title = f"{entry.title}," if "," in entry.title else entry.title
    if not learned:
        return f"{title} is {value}; normal is {expected}."
    compared = f"this machine usually has {expected} when {state}" if first and state else f"usual is {expected}"
    return f"{title} is {value}, {_distance(entry)}; {compared}."


def _distance(entry: Contribution) -> str:
    """How far from normal: as a factor where that means something, else as a difference."""
    difference = entry.value - entry.expected
    way = "above" if difference >= 0 else "below"
    if entry.unit not in ("Cel", "[degF]") and entry.expected > 0 and entry.value / entry.expected >= 1.2:
        return f"{entry.value / entry.expected:.1f} times normal"
    unit = "K" if entry.unit == "Cel" else entry.unit
    return f"{number(abs(difference), unit)} {way} normal"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
