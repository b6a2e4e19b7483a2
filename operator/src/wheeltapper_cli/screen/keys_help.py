"""What the keys and signs mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from wheeltapper_api.fields import duration_text
from wheeltapper_cli.screen import draw
from wheeltapper_cli.screen.draw import Look
from wheeltapper_cli.screen.model import Fleet, Room, State

_KEYS: Final = (
    ("Up Down, j k", "move, or scroll"),
    ("PgUp PgDn, space", "a page"),
    ("Home End, g G", "first and last"),
    ("Enter", "open the twin; there, its worst alert; there, the twin"),
    ("Esc, q", "back"),
    ("/", "filter: only twins with these words in name, plant, class, mode, health or failure model; Esc ends it"),
    ("s", "sort by health, score, name, freshness"),
    ("a", "open alerts"),
    ("n p", "next and previous twin or alert"),
    ("Ctrl-C", "stop"),
)
_MARKS: Final = (
    ("good", "every score is below its limit for an alert"),
    ("watch", "an alert of the lowest severity is open"),
    ("warn", "of the middle one"),
    ("act", "of the highest one"),
    ("unknown", "no score: no data, learning, or a mode that is not scored"),
)


def render(fleet: Fleet, state: State, look: Look) -> tuple[list[Text], Room]:
    """Lines of the screen, exactly as many as it has, and how far it can be scrolled."""
    height = max(1, look.height - 2)
    lines, limit = draw.window(list(_body(fleet, look)), height, state.scroll)
    foot = draw.keys_line(look, [("Esc", "back"), ("j/k", "scroll")])
    return [draw.heading("Help", look), *lines, foot], Room(page=max(1, height - 1), scroll_limit=limit)


def _body(fleet: Fleet, look: Look) -> Iterator[Text]:
    for key, what in _KEYS:
        yield from draw.wrap(what, look, indent=" " * 21, first=f"   {key:<18}")
    yield draw.line(look, "")
    for health, what in _MARKS:
        sign, colour = draw.mark(health, look)
        yield draw.line(look, "   ", (f"{sign} {health:<14}", colour), what)
    yield draw.line(look, "   ", (f"{'9 s!':<16}", "red"), "the newest sample is older than its contract allows")
    yield draw.line(look, "")
    if fleet.span_ns:
        half = f"half height is the limit, over {duration_text(fleet.span_ns)}"
        yield draw.line(look, "   ", draw.cut(look.glyphs.levels, 16, look), f"score: {half}")
