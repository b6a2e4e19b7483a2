"""The third screen: one alert, in words, numbers, what to do and what it rests on. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from rich.text import Text

from wheeltapper_api.wire import Alert, BlockRange
from wheeltapper_cli.screen import draw
from wheeltapper_cli.screen.draw import Look
from wheeltapper_cli.screen.model import Fleet, Room, State
from wheeltapper_workers.alerts import explain
from wheeltapper_workers.alerts.compose import time_ns

_WHEN: Final = {
    "now": "now",
    "next-shift": "in the next shift",
    "next-planned-stop": "at the next planned stop",
    "monitor": "keep watching",
}
_INDENT: Final = " " * 13
_DIGEST: Final = 19
"""``sha256:`` and twelve digits: enough to tell two apart."""


def render(fleet: Fleet, state: State, look: Look) -> tuple[list[Text], Room]:
    """Lines of the screen, exactly as many as it has, and how far it can be scrolled."""
    alert = fleet.alert(state.alert)
    if alert is None:
        head, body = draw.heading("This alert is no longer open", look), []
    else:
        head, body = _head(alert, fleet, look), list(_body(alert, fleet, look))
    height = max(1, look.height - 2)
    lines, limit = draw.window(body, height, state.scroll)
    keys = [("Esc", "back"), ("n/p", "next alert"), ("Enter", "its twin"), ("j/k", "scroll"), ("?", "help")]
    more = f"line {min(state.scroll, limit) + 1} of {limit + 1} " if limit else ""
    foot = draw.keys_line(look, keys, more)
    return [head, *lines, foot], Room(page=max(1, height - 1), scroll_limit=limit)


def _head(alert: Alert, fleet: Fleet, look: Look) -> Text:
    sign, colour = draw.mark(alert.severity, look)
    ids = [one.alert_id for one in fleet.alerts]
    place = f"{ids.index(alert.alert_id) + 1} of {len(ids)} " if alert.alert_id in ids else "cleared "
    left = draw.line(look, " ", (f"{sign} {alert.severity} ", colour), (f" {alert.failure_mode}", "bold"))
    left.append(f", {draw.plain(alert.asset_title)}")
    return draw.spread(look, left, Text(place, "dim"))


def _body(alert: Alert, fleet: Fleet, look: Look) -> Iterator[Text]:
    twin = fleet.twin_of(alert)
    zone = twin.past.config.time_zone if twin and twin.past else "UTC"
    yield from draw.wrap(alert.summary, look)
    yield draw.line(look, "")
    yield from _contributions(alert, look)
    yield draw.line(look, "")
    yield from _action(alert, look)
    yield draw.line(look, "")
    yield from _times(alert, zone, fleet, look)
    yield draw.line(look, "")
    yield from _lineage(alert, look)


def _contributions(alert: Alert, look: Look) -> Iterator[Text]:
    """A bar for each input, all on one scale, with a mark at the limit."""
    strongest = max((abs(c.deviation) for c in alert.contributions if math.isfinite(c.deviation)), default=0.0)
    end = max(draw.BAR_END, math.ceil(min(strongest, 1000.0)))
    more = max(0, look.width - 80)
    name_width, width = 28 + min(20, more // 2), 14 + more - min(20, more // 2)
    names = f"{draw.cut('What the model saw', name_width + 1, look)} {'value':>12} {'usual':>12} {'off':>6}"
    yield draw.line(look, " ", (names, "bold"), (f"  {look.glyphs.limit} limit", "dim"))
    for one in alert.contributions:
        text = Text("  ").append(draw.cut(one.title, name_width, look)).append(" ")
        text.append(draw.cut(draw.quantity(one.value, one.unit), 12, look, "right"), "bold").append(" ")
        text.append(draw.cut(draw.quantity(one.expected, one.unit), 12, look, "right"), "dim").append(" ")
        text.append(draw.cut(f"{max(min(one.deviation, 999), -999):+.2f}"[:6], 6, look, "right")).append("  ")
        yield draw.line(look, text.append(draw.bar(abs(one.deviation), width, look, end)))


def _action(alert: Alert, look: Look) -> Iterator[Text]:
    action = alert.action
    yield draw.line(look, " ", ("What to do", "bold"), f"  {_WHEN.get(action.when, action.when)}")
    yield from draw.wrap(action.recommend, look)
    dot = f"    {look.glyphs.dot} "
    for title, entries in (("Inspect", action.inspect), ("Capture", action.capture), ("Parts", action.parts)):
        if entries:
            yield draw.line(look, f"  {title}")
        for entry in entries:
            yield from draw.wrap(entry, look, indent="      ", first=dot)
    if action.if_clears:
        yield draw.line(look, "  If it clears")
        yield from draw.wrap(action.if_clears, look, indent="      ", first=dot)


def _times(alert: Alert, zone: str, fleet: Fleet, look: Look) -> Iterator[Text]:
    yield draw.heading(f"Times in {zone}", look)
    for name, text in (
        ("first seen", alert.since),
        ("opened", alert.opened),
        ("last told", alert.updated),
        ("cleared", alert.cleared),
    ):
        if text:
            ago = draw.span(fleet.now_ns - time_ns(text))
            yield draw.line(look, f"  {name:<11}{explain.clock(time_ns(text), zone)}, {ago} ago")
    delayed = "; the values came late" if alert.delayed else ""
    yield draw.line(look, f"  {'score':<11}{alert.score:.2f}, highest {alert.peak_score:.2f}; 1 is the limit")
    sure = f"{alert.confidence:.0%}: {alert.confidence_because}{delayed}"
    yield from draw.wrap(sure, look, indent=_INDENT, first=f"  {'confidence':<11}")


def _lineage(alert: Alert, look: Look) -> Iterator[Text]:
    lineage, rule = alert.lineage, alert.lineage.rule
    yield draw.heading("What it rests on", look)
    told = (
        ("rule", f"{rule.severity}: above {rule.above:g} for {rule.hold}; it was {rule.score:.2f}"),
        ("model", f"{lineage.failure_model} {lineage.failure_model_version}, {lineage.model_digest[:_DIGEST]}"),
        ("baseline", lineage.baseline_digest[:_DIGEST] or "none"),
        ("pipeline", f"{lineage.pipeline_digest[:_DIGEST]}, config {lineage.generation}"),
        ("signals", ", ".join(lineage.signals)),
        ("blocks", "; ".join(map(_range, (lineage.telemetry, lineage.features, lineage.scores)))),
        ("trace id", lineage.trace_id or "none"),
    )
    for name, text in told:
        yield from draw.wrap(text, look, indent=_INDENT, first=f"  {name:<11}")
    yield from draw.wrap(f"wheeltapper trace {alert.alert_id}", look, indent=_INDENT, first="  hop by hop ")


def _range(blocks: BlockRange) -> str:
    return f"{blocks.stream} {blocks.first} to {blocks.last}"
