"""The first screen: all twins, by plant and class. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from wheeltapper_api.fields import duration_text
from wheeltapper_cli.screen import draw
from wheeltapper_cli.screen.draw import Look
from wheeltapper_cli.screen.model import Fleet, Room, Sort, State, Twin, groups, selected
from wheeltapper_workers.alerts.compose import time_ns

_SHOWN_PROBLEMS: Final = 2
_NARROWEST: Final = 80
"""Width from which the columns fit."""
_FRAME: Final = 3
"""Lines that are no twins: the head, the columns' names, the keys."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Widths of the columns; together with their gaps they fill the line."""

    name: int = 12
    fresh: int = 7
    mode: int = 11
    score: int = 5
    model: int = 18
    spark: int = 10
    alert: int = 8

    @classmethod
    def of(cls, width: int) -> _Columns:
        """Of what is wider than 80 columns, names get what makes them whole and the sparkline the rest."""
        more = max(0, width - _NARROWEST)
        name, model, mode = min(14, more // 3), min(10, more // 4), min(6, more // 8)
        spark = 10 + more - name - model - mode
        return cls(12 + name, mode=11 + mode, model=18 + model, spark=spark)


def render(fleet: Fleet, state: State, look: Look) -> tuple[list[Text], Room]:
    """Lines of the screen, exactly as many as it has, and what fits."""
    columns = _Columns.of(look.width)
    problems = _problems(fleet, look)
    height = max(1, look.height - _FRAME - len(problems))
    at = selected(fleet, state)
    entries: list[tuple[str, list[Twin]] | Twin] = []
    for group in groups(fleet, state):
        entries += [group, *group[1]]
    shown = sum(isinstance(entry, Twin) for entry in entries)
    cursor = next((i for i, e in enumerate(entries) if at and isinstance(e, Twin) and e.key == at.key), 0)
    scroll = min(max(0, cursor - height // 2), max(0, len(entries) - height))
    # Only what is seen is drawn: of hundreds of twins that is a screenful.
    body = [
        _row(entry, entry is entries[cursor], fleet, columns, look) if isinstance(entry, Twin) else _group(*entry, look)
        for entry in entries[scroll : scroll + height]
    ]
    lines, _ = draw.window(body or [Text(""), draw.line(look, "   ", _empty(fleet, state))], height, 0)
    place = f"{shown} of {len(fleet.twins)} " if state.filter else f"{shown} " if shown else ""
    lines = [_head(fleet, look), _names(fleet, state, columns, look), *lines, *problems, _foot(state, look, place)]
    return lines, Room(page=max(1, height - 2))


def _head(fleet: Fleet, look: Look) -> Text:
    counts = Counter(twin.row.health for twin in fleet.twins)
    text = draw.line(look, " ", ("Wheeltapper", "bold"), f"  {_count(len(fleet.twins), 'twin')}  ")
    for health in ("act", "warn", "watch", "unknown", "good"):
        if counts[health]:
            sign, style = draw.mark(health, look)
            text.append(f" {sign} {counts[health]} {health} ", style)
    alerts = _count(len(fleet.alerts), "open alert") if fleet.alerts else "no open alert"
    return draw.spread(look, text, Text(f"{alerts} ", "bold" if fleet.alerts else "dim"))


def _names(fleet: Fleet, state: State, columns: _Columns, look: Look) -> Text:
    """Names of the columns; the one that sorts is marked."""
    sorts = {"Twin": Sort.NAME, "Fresh": Sort.FRESHNESS, "Score": Sort.SCORE}
    text = Text(" " if state.sort is not Sort.HEALTH else "*", "bold").append("  ")
    names = (
        ("Twin", columns.name, False),
        ("Fresh", columns.fresh, True),
        ("Mode", columns.mode, False),
        ("Score", columns.score, True),
        ("Highest score of", columns.model, False),
        (f"{duration_text(fleet.span_ns)}" if fleet.span_ns else "Trend", columns.spark, False),
        ("Alert", columns.alert, False),
    )
    for name, width, right in names:
        chosen = sorts.get(name) is state.sort
        label = f"*{name}" if chosen and _fits(name, width) else name
        style = "bold underline" if chosen else "underline dim"
        text.append(draw.cut(label, width, look, "right" if right else "left"), style).append(" ")
    return draw.line(look, text)


def _fits(name: str, width: int) -> bool:
    """Whether a mark fits beside a name."""
    return len(name) < width


def _group(title: str, members: list[Twin], look: Look) -> Text:
    bad = Counter(twin.row.health for twin in members if twin.row.health not in ("good", "unknown"))
    text = draw.line(look, " ", (title, "bold blue"), ("" if len(members) == 1 else f"  {len(members)}", "dim"))
    for health, count in bad.items():
        sign, style = draw.mark(health, look)
        text.append(f"  {sign} {count}", style)
    return draw.line(look, text)


def _row(twin: Twin, chosen: bool, fleet: Fleet, columns: _Columns, look: Look) -> Text:
    row = twin.row
    sign, colour = draw.mark(row.health, look)
    text = Text(look.glyphs.cursor if chosen else " ", "bold").append(sign, colour).append(" ")
    text.append(draw.cut(row.title, columns.name, look), "bold" if chosen else "").append(" ")
    fresh = draw.cut(fresh_text(twin), columns.fresh, look, "right")
    text.append(fresh, "red" if row.stale else "").append(" ")
    text.append(draw.cut(mode_title(twin), columns.mode, look)).append(" ")
    score = "-" if row.score is None else f"{min(row.score, 9999):.2f}"[: columns.score]
    text.append(draw.cut(score, columns.score, look, "right"), colour if row.score is not None else "dim").append(" ")
    text.append(_why_and_trend(twin, columns, look)).append(" ")
    text.append(_alert(twin, fleet, columns.alert, look))
    if chosen:
        text.stylize("reverse")
    return text if look.width >= _NARROWEST else draw.line(look, text)  # to measure again what was cut to fit is slow


def _why_and_trend(twin: Twin, columns: _Columns, look: Look) -> Text:
    """Failure model and its sparkline; where there is neither, the reason in the place of both."""
    row, past = twin.row, twin.past
    series = past.score_row(row.twin, row.failure_model) if past and row.failure_model else None
    if series is None and row.why:
        return Text(draw.cut(row.why, columns.model + 1 + columns.spark, look), "dim")
    text = Text(draw.cut(twin.failure_mode, columns.model, look)).append(" ")
    return text.append(
        draw.spark_scores(series, columns.spark, look) if series is not None else Text(" " * columns.spark)
    )


def _alert(twin: Twin, fleet: Fleet, width: int, look: Look) -> Text:
    """Sign and age of the worst open alert."""
    if not twin.alerts:
        return Text(" " * width)
    alert = twin.alerts[0]
    sign, colour = draw.mark(alert.severity, look)
    more = f"+{len(twin.alerts) - 1}" if len(twin.alerts) > 1 else ""
    return Text(draw.cut(f"{sign} {draw.span(fleet.now_ns - time_ns(alert.opened))}{more}", width, look), colour)


def _problems(fleet: Fleet, look: Look) -> list[Text]:
    shown = [draw.line(look, (f" ! {problem}", "yellow")) for problem in fleet.problems[:_SHOWN_PROBLEMS]]
    more = len(fleet.problems) - len(shown)
    if more and shown:
        shown[-1] = draw.spread(look, shown[-1], Text(f" and {more} more ", "yellow"))
    return shown


def _foot(state: State, look: Look, place: str) -> Text:
    if state.typing:
        return draw.spread(
            look,
            draw.line(look, (" Filter: ", "bold"), state.filter, ("_", "bold blink")),
            Text("Enter keeps  Esc clears ", "dim"),
        )
    keys = [("Enter", "open"), ("/", f"filter: {state.filter}" if state.filter else "filter")]
    keys += [
        ("s", f"by {state.sort}"),
        ("a", "alerts"),
        ("?", "help"),
        ("q", "leave") if state.may_leave else ("Ctrl-C", "stops"),
    ]
    return draw.keys_line(look, keys, place)


def _empty(fleet: Fleet, state: State) -> str:
    if fleet.twins:
        return f"No twin has {state.filter!r} in its name, plant, class, mode, health or failure model; Esc clears"
    return "Waiting for the first status of the workers"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def fresh_text(twin: Twin) -> str:
    """Age of the newest sample; an exclamation mark says that it is too old."""
    if twin.row.fresh_s is None:
        return "no data"
    seconds = twin.row.fresh_s
    age = f"{seconds:.1f} s" if seconds < 10 else draw.span(int(seconds * 1e9))
    return f"{age}!" if twin.row.stale else age


def mode_title(twin: Twin) -> str:
    """Title of the operating mode."""
    name = twin.row.mode or ""
    return twin.past.mode_title(name) if twin.past else name or "-"
