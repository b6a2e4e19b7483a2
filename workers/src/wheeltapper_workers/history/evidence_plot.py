"""Drawings of an alert's evidence as SVG: lines over time, what was expected, and the limit. Pure."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from wheeltapper_workers.history.evidence_story import Series

_WIDTH: Final = 900
_HEIGHT: Final = 170
_LEFT: Final = 64
_RIGHT: Final = 12
_TOP: Final = 10
_BOTTOM: Final = 24
_TICKS: Final = 4
_ROOM: Final = 0.06
"""Share of the height that stays free above and below."""


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line and what it stands for."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One drawing.

    ``drawn`` is the measured line, ``expected`` what it is compared with; ``marked`` is the time of the alert.
    """

    title: str
    drawn: Series
    start_ns: int
    end_ns: int
    expected: Series | None = None
    levels: list[Level] = field(default_factory=list)
    marked: tuple[int, int] | None = None
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class _Scale:
    plot: Plot
    low: float
    high: float

    def x(self, time_ns: float) -> float:
        """Place of a time, within the drawing."""
        span = max(self.plot.end_ns - self.plot.start_ns, 1)
        share = min(max((time_ns - self.plot.start_ns) / span, 0.0), 1.0)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        """Place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def svg(plot: Plot) -> str:
    """Drawing of a plot; a sentence where there is nothing to be drawn."""
    if not len(plot.drawn.time_ns):
        return f"<p>{html.escape(plot.title)}: nothing is stored.</p>"
    scale = _Scale(plot, *_bounds(plot))
    parts = [_marked(scale), _axes(scale), _levels(scale)]
    if plot.expected is not None and len(plot.expected.time_ns):
        parts.append(f'<polyline class="expected" points="{_points(scale, plot.expected)}"/>')
    parts.append(f'<polyline class="drawn" points="{_points(scale, plot.drawn)}"/>')
    title = html.escape(plot.title)
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
    return f"<figure><figcaption>{title}</figcaption>{head}{''.join(parts)}</svg></figure>"


def _bounds(plot: Plot) -> tuple[float, float]:
    """Lowest and highest value that is shown."""
    lines = [plot.drawn, *([plot.expected] if plot.expected is not None else [])]
    values = [level.value for level in plot.levels]
    for line in lines:
        if len(line.low):
            values += [float(line.low.min()), float(line.high.max())]
    low, high = min(values), max(values)
    room = (high - low) * _ROOM or abs(high) * _ROOM or 1.0
    return low - room, high + room


def _points(scale: _Scale, line: Series) -> str:
    """Corners of a line: down and up again in each part of which there is a lowest and a highest value."""
    x = [scale.x(time) for time in line.time_ns.tolist()]
    low, high = line.low.tolist(), line.high.tolist()
    if np.array_equal(line.low, line.high):
        return " ".join(f"{at},{scale.y(value)}" for at, value in zip(x, low, strict=True))
    return " ".join(f"{at},{scale.y(a)} {at},{scale.y(b)}" for at, a, b in zip(x, low, high, strict=True))


def _marked(scale: _Scale) -> str:
    if scale.plot.marked is None:
        return ""
    start, end = (scale.x(time) for time in scale.plot.marked)
    height = _HEIGHT - _TOP - _BOTTOM
    return f'<rect class="alert" x="{start}" y="{_TOP}" width="{max(end - start, 1):.1f}" height="{height}"/>'


def _levels(scale: _Scale) -> str:
    parts = []
    for level in scale.plot.levels:
        y = scale.y(level.value)
        parts.append(f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="limit" x="{_WIDTH - _RIGHT - 4}" y="{y - 4:.1f}">{html.escape(level.label)}</text>')
    return "".join(parts)


def _axes(scale: _Scale) -> str:
    parts = []
    for value in ticks(scale.low, scale.high):
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="value" x="{_LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>')
    plot = scale.plot
    for part in range(_TICKS + 1):
        time = plot.start_ns + (plot.end_ns - plot.start_ns) * part // _TICKS
        anchor = "start" if part == 0 else "end" if part == _TICKS else "middle"
        x = scale.x(time)
        parts.append(f'<text class="time" x="{x}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{_clock(time, plot)}</text>')
    return "".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """A few round numbers between two."""
    step = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= _TICKS + 1)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _clock(time_ns: int, plot: Plot) -> str:
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC).astimezone(ZoneInfo(plot.zone))
    day = plot.end_ns - plot.start_ns > 20 * 3600 * 10**9
    return f"{moment:%d %b %H:%M}" if day else f"{moment:%H:%M:%S}"
