"""Pieces of pictures: cells, marks, sparklines, bars. Pure; a line is never wider than it was told to be.

Colour only repeats what marks and numbers say, so a picture reads the same without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from wheeltapper_cli.screen.series import F32, shrink
from wheeltapper_workers.alerts import explain

Align = Literal["left", "right"]

COLOUR: Final = {"good": "green", "watch": "yellow", "warn": "dark_orange", "act": "bold red", "unknown": "dim"}
_STEPS: Final = ("green", "dark_orange", "red")
"""Styles of a score below its limit, above it, and above twice of it."""
BAR_END: Final = 2.0
"""Scores at the right end of a bar and the top of a sparkline: the limit is in the middle."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Characters of a terminal."""

    marks: dict[str, str]
    levels: str
    """Of a sparkline, from the lowest."""
    bar: str
    rest: str
    limit: str
    dot: str
    more: str
    cursor: str


UNICODE: Final = Glyphs(
    {"good": "✓", "watch": "△", "warn": "▲", "act": "✖", "unknown": "?"}, "▁▂▃▄▅▆▇█", "━", "─", "┃", "·", "…", ">"
)
ASCII: Final = Glyphs(
    {"good": "+", "watch": "o", "warn": "!", "act": "X", "unknown": "?"}, "_.-~=+*#", "=", "-", "|", "-", ".", ">"
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture has to fit."""

    width: int = 80
    height: int = 24
    glyphs: Glyphs = UNICODE


def plain(text: str) -> str:
    """Text in one line without control characters, which would move the cursor of the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def cut(text: str, width: int, look: Look, align: Align = "left") -> str:
    """Text in exactly so many columns; what is left out shows as an ellipsis."""
    text = plain(text)
    if width <= 0:
        return ""
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1).rstrip() + look.glyphs.more
    space = " " * (width - cell_len(text))
    return space + text if align == "right" else text + space


def line(look: Look, *parts: tuple[str, str] | Text | str) -> Text:
    """One line of the picture from parts with styles, cut at its width."""
    text = Text(no_wrap=True, overflow="crop", end="")
    for part in parts:
        if isinstance(part, tuple):
            text.append(plain(part[0]), part[1])
        else:
            text.append(part if isinstance(part, Text) else plain(part))
    text.truncate(look.width, overflow="crop")
    return text


def spread(look: Look, left: Text, right: Text) -> Text:
    """One line with something at both ends; the left gives way."""
    room = look.width - right.cell_len - 1
    left = left.copy()
    left.truncate(max(0, room), overflow="crop")
    return line(look, left, " " * max(1, look.width - left.cell_len - right.cell_len), right)


def mark(health: str, look: Look) -> tuple[str, str]:
    """Sign of a health or severity."""
    return look.glyphs.marks[health], COLOUR[health]


def spark_scores(row: F32, width: int, look: Look) -> Text:
    """Sparkline of a score: half height is the limit, full height twice the limit or more."""
    cells = shrink(row, width, keep_peak=True)
    styles = np.select([~(cells >= 1), cells < BAR_END], [0, 1], 2)
    signs = " " * (width - len(cells)) + _levels(cells / BAR_END, look)
    return _runs(signs, np.concatenate((np.zeros(width - len(cells), np.int64), styles)))


def spark_values(row: F32, width: int, look: Look, resolution: float = 0.0) -> Text:
    """Sparkline of a quantity between the lowest and the highest shown; steady within its resolution is a flat line."""
    cells = shrink(row, width, keep_peak=False)
    known = cells[np.isfinite(cells)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    flat = high - low <= max(4 * resolution, 1e-6 * max(abs(low), abs(high)))
    share = np.where(np.isfinite(cells), 0.4, np.nan) if flat else (cells - low) / (high - low)
    return Text(" " * (width - len(cells)) + _levels(share, look), "cyan")


def _levels(share: npt.NDArray[Any], look: Look) -> str:
    """Characters of heights from 0 to 1; a blank where there is none."""
    known, count = np.isfinite(share), len(look.glyphs.levels)
    at = np.clip(np.where(known, share, 0.0) * count, 0, count - 1).astype(np.int64)
    signs = look.glyphs.levels + " "
    return "".join(signs[i] for i in np.where(known, at, count).tolist())


def _runs(signs: str, styles: npt.NDArray[np.int64]) -> Text:
    """Characters with the style of each, as few pieces as there are changes: many pieces are slow to draw."""
    text = Text()
    edges = [0, *(np.flatnonzero(np.diff(styles)) + 1).tolist(), len(signs)]
    for start, end in pairwise(edges):
        text.append(signs[start:end], _STEPS[int(styles[start])] if end > start else "")
    return text


def bar(score: float, width: int, look: Look, end: float = BAR_END) -> Text:
    """Bar of a score from 0 to ``end`` with a mark at the limit."""
    at = min(width - 1, int(width / end))
    filled = round(min(max(score, 0.0) / end, 1.0) * width) if math.isfinite(score) else 0
    style = _STEPS[0 if not score >= 1 else 1 if score < BAR_END else 2]
    text = Text()
    for start, stop in ((0, at), (at + 1, width)):
        full = min(max(filled - start, 0), stop - start)
        text.append(look.glyphs.bar * full, style).append(look.glyphs.rest * (stop - start - full), "dim")
        if start == 0:
            text.append(look.glyphs.limit, "bold")
    return text


def quantity(value: float, unit: str, resolution: float = 0.0) -> str:
    """Value with its unit as people write it, a dash if there is none."""
    return explain.number(value, unit, resolution) if math.isfinite(value) else "-"


def span(nanoseconds: int) -> str:
    """Length of time in one unit: ``45 s``, ``12 min``, ``5 h``, ``3 d``."""
    seconds = max(0, nanoseconds) / 1e9
    for unit, length in (("s", 100), ("min", 6000), ("h", 172_800)):
        if seconds < length:
            return f"{seconds / {'s': 1, 'min': 60, 'h': 3600}[unit]:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def wrap(text: str, look: Look, indent: str = "  ", first: str | None = None) -> list[Text]:
    """Text in lines of the picture's width."""
    room = max(10, min(look.width, 110) - cell_len(indent) - 1)
    lines: list[str] = [""]
    for word in plain(text).split():
        joined = f"{lines[-1]} {word}".lstrip()
        if cell_len(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(set_cell_size(word, room) if cell_len(word) > room else word)
    heads = [indent if first is None else first, *([indent] * len(lines))]
    return [line(look, head, text) for head, text in zip(heads, lines, strict=False)]


def heading(text: str, look: Look) -> Text:
    """Title of a part of a picture."""
    return line(look, " ", (text, "bold"))


def window(lines: list[Text], height: int, scroll: int) -> tuple[list[Text], int]:
    """The part of lines that fits from ``scroll`` on, filled up, and how far it can be scrolled."""
    limit = max(0, len(lines) - height)
    shown = lines[min(scroll, limit) :][:height]
    return shown + [Text("")] * (height - len(shown)), limit


def keys_line(look: Look, keys: Iterable[tuple[str, str]], right: str = "") -> Text:
    """The line at the bottom: keys with what they do, as many as fit."""
    text, room = Text(" "), look.width - cell_len(right) - 2
    for key, what in keys:
        if text.cell_len + cell_len(f"{key} {what}") > room:
            break
        text.append(key, "bold").append(f" {what}  ", "dim")
    return spread(look, text, Text(plain(right), "dim"))
