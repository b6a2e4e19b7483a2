"""The second screen: one twin, from its failure models down to its features. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from rich.text import Text

from wheeltapper_api.config import ModelConfig
from wheeltapper_api.fields import duration_text
from wheeltapper_cli.screen import draw
from wheeltapper_cli.screen.draw import Look
from wheeltapper_cli.screen.fleet import fresh_text, mode_title
from wheeltapper_cli.screen.model import Fleet, Room, State, Twin
from wheeltapper_cli.screen.past import LinePast
from wheeltapper_workers.alerts import explain
from wheeltapper_workers.alerts.compose import time_ns

_SHOWN_MODES: Final = 5


def render(fleet: Fleet, state: State, look: Look) -> tuple[list[Text], Room]:
    """Lines of the screen, exactly as many as it has, and how far it can be scrolled."""
    twin = fleet.twin(state.twin)
    if twin is None:
        head, body = draw.heading("This twin is no longer part of the installation", look), []
    else:
        head, body = _head(twin, look), list(_body(twin, fleet, look))
    height = max(1, look.height - 2)
    lines, limit = draw.window(body, height, state.scroll)
    keys = [("Esc", "back"), ("Enter", "alert"), ("n/p", "next twin")] if twin and twin.alerts else _KEYS
    more = f"line {min(state.scroll, limit) + 1} of {limit + 1} " if limit else ""
    foot = draw.keys_line(look, [*keys, ("?", "help")], more)
    return [head, *lines, foot], Room(page=max(1, height - 1), scroll_limit=limit)


_KEYS: Final = [("Esc", "back"), ("n/p", "next twin"), ("j/k", "scroll")]


def _head(twin: Twin, look: Look) -> Text:
    row = twin.row
    sign, colour = draw.mark(row.health, look)
    left = draw.line(look, " ", (f"{sign} {row.health} ", colour), (f" {row.title} ", "bold"))
    left.append(f" {draw.plain(f' {look.glyphs.dot} '.join(part for part in (twin.plant, twin.class_title) if part))}")
    return draw.spread(look, left, Text(f"criticality {row.criticality} " if row.criticality else "", "dim"))


def _body(twin: Twin, fleet: Fleet, look: Look) -> Iterator[Text]:
    past = twin.past
    yield _now(twin, look)
    for alert in twin.alerts:
        sign, colour = draw.mark(alert.severity, look)
        age = draw.span(fleet.now_ns - time_ns(alert.opened))
        yield draw.line(look, "   ", (f"{sign} {alert.severity}: {alert.failure_mode}", colour), f", open for {age}")
    yield draw.line(look, "")
    if past is None:
        yield draw.line(look, "   Waiting for its class and its first windows")
        return
    yield from _models(twin, past, look)
    yield draw.line(look, "")
    yield from _features(twin, past, look)
    yield draw.line(look, "")
    yield from _modes(twin, past, fleet, look)


def _now(twin: Twin, look: Look) -> Text:
    since = ""
    if twin.past is not None and (changes := twin.past.modes(twin.row.twin)) and changes[0].mode == twin.row.mode:
        since = f" since {explain.clock(changes[0].since_ns, twin.past.config.time_zone)}"
    fresh = ("newest sample ", fresh_text(twin)) if twin.row.fresh_s is not None else ("", "no data yet")
    style = "red" if twin.row.stale else ""
    return draw.line(look, "   ", fresh[0], (fresh[1], style), "   mode ", (mode_title(twin) or "-", "bold"), since)


def _models(twin: Twin, past: LinePast, look: Look) -> Iterator[Text]:
    """A bar for each failure model of this twin."""
    name_width, spark = _split(look, 22, 16)
    width = look.width - name_width - spark - 13
    ends = duration_text(past.span_ns)
    limit_at = " " * int(width / draw.BAR_END)
    label = draw.cut(f"{limit_at}1 = limit", width, look)
    yield draw.line(
        look, " ", (draw.cut("Failure model", name_width + 1, look), "bold"), " score  ", (label, "dim"), " ", ends
    )
    asset = next(asset for asset in past.config.assets if asset.name == twin.row.twin)
    used = {model.name for model in asset.models}
    for model in past.config.models:
        if model.name in used:
            yield _model(twin, past, model, (name_width, width, spark), look)


def _model(twin: Twin, past: LinePast, model: ModelConfig, widths: tuple[int, int, int], look: Look) -> Text:
    name_width, width, spark = widths
    told = twin.row.models.get(model.name, {})
    score = told.get("score")
    text = Text("  ").append(draw.cut(model.failure_mode, name_width, look)).append(" ")
    if score is None:
        why = twin.row.why if twin.row.stale else told.get("why") or "no score yet"
        text.append("    -  ", "dim").append(draw.cut(why, width, look), "dim")
    else:
        colour = draw.COLOUR[told.get("severity") or "good"]
        text.append(draw.cut(f"{min(score, 9999):.2f}"[:6], 6, look, "right"), colour).append(" ")
        text.append(draw.bar(score, width, look))
    series = past.score_row(twin.row.twin, model.name)
    text.append("  ").append(draw.spark_scores(series, spark, look) if series is not None else Text(""))
    return draw.line(look, text)


def _features(twin: Twin, past: LinePast, look: Look) -> Iterator[Text]:
    name_width, spark = _split(look, 30, 14)
    expected, deviation = _expected(twin, past)
    wide = 12 + min(6, max(0, look.width - 80) // 8)
    head = f"{draw.cut('Feature', name_width + 1, look)} {'value':>{wide}} {'expected':>{wide}} {'off':>6} "
    yield draw.line(look, " ", (head, "bold"), " ", duration_text(past.span_ns))
    for feature in past.config.pipeline.features:
        value = draw.quantity(past.value(twin.row.twin, feature.name), feature.unit, feature.resolution)
        usual = draw.quantity(expected.get(feature.name, math.nan), feature.unit, feature.resolution)
        off = deviation.get(feature.name, math.nan)
        text = Text("  ").append(draw.cut(feature.title, name_width, look)).append(" ")
        text.append(draw.cut(value, wide, look, "right"), "dim" if twin.row.stale else "bold").append(" ")
        text.append(draw.cut(usual, wide, look, "right"), "dim").append(" ")
        shown = f"{max(min(off, 999), -999):+.2f}"[:6] if math.isfinite(off) else ""
        text.append(draw.cut(shown, 6, look, "right"), "" if abs(off) < 1 else "dark_orange").append("  ")
        row = past.feature_row(twin.row.twin, feature.name)
        yield draw.line(look, text.append(draw.spark_values(row, spark, look, feature.resolution)))


def _expected(twin: Twin, past: LinePast) -> tuple[dict[str, float], dict[str, float]]:
    """What models expect of features and how far off they are; of several models that which is furthest off."""
    expected: dict[str, float] = {}
    deviation: dict[str, float] = {}
    for model in past.models:
        for name, usual, off in past.inputs(twin.row.twin, model):
            if name not in expected or math.isnan(deviation[name]) or abs(off) > abs(deviation[name]):
                expected[name], deviation[name] = usual, off
    return expected, deviation


def _modes(twin: Twin, past: LinePast, fleet: Fleet, look: Look) -> Iterator[Text]:
    yield draw.heading("Modes", look)
    changes = past.modes(twin.row.twin)
    if not changes:
        yield draw.line(look, "  none seen yet")
    until = fleet.now_ns
    for change in changes[:_SHOWN_MODES]:
        began = explain.clock(change.since_ns, past.config.time_zone)
        lasted = duration_text(max(0, until - change.since_ns))
        yield draw.line(look, "  ", draw.cut(f"from {began}, {lasted}", 44, look), " ", past.mode_text(change))
        until = change.since_ns


def _split(look: Look, name: int, spark: int) -> tuple[int, int]:
    """Widths of names and sparklines; what is wider than 80 columns they share with what lies between."""
    more = max(0, look.width - 80)
    return name + min(20, more // 3), spark + more // 3
