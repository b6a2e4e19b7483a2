"""The page of an alert's evidence: one HTML file without scripts and without anything from elsewhere. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from typing import Final

from wheeltapper_api.wire import AlertEvent
from wheeltapper_workers.alerts.compose import time_ns
from wheeltapper_workers.alerts.explain import clock, number, unit_text
from wheeltapper_workers.history.evidence_plot import Level, Plot, svg
from wheeltapper_workers.history.evidence_story import InputStory, Series, SignalStory, Story

_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 600 }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
code, .digest { font-family: ui-monospace, monospace; font-size: .85em; overflow-wrap: anywhere }
figure { margin: 1rem 0 } figcaption { font-weight: 600 } svg { width: 100%; height: auto }
svg text { font: 11px system-ui, sans-serif; fill: currentColor } svg text.value, svg text.limit { text-anchor: end }
.grid { stroke: #8883 } .limit { stroke: #c22; stroke-dasharray: 6 3 } text.limit { stroke: none; fill: #c22 }
.drawn { fill: none; stroke: #06c; stroke-width: 1.4 } .expected { fill: none; stroke: #393; stroke-dasharray: 3 3 }
.alert { fill: #c222 } .summary { font-size: 1.1rem }
"""
_KEY: Final = (
    "Blue is what was measured, green what was expected, red the limit; the reddish ground is the time of the alert."
)


def page(story: Story) -> str:
    """Page of a story."""
    alert = story.alert
    title = html.escape(f"{alert.failure_mode}, {alert.asset_title}")
    parts = [
        *_head(story),
        *_seen(story),
        *_done(story),
        *_drawn(story),
        *_gaps(story),
        *_events(story),
        *_origin(story),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><style>{_STYLE}</style></head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"
    )


def _head(story: Story) -> Iterator[str]:
    alert = story.alert
    yield f"<h1>{_text(alert.failure_mode)}: {_text(alert.asset_title)}</h1>"
    place = f"{alert.severity}, {alert.state}; {alert.plant}"
    yield f"<p>{_text(place)}, <code>{_text(alert.alert_id)}</code></p>"
    yield f'<p class="summary">{_text(_told(story.events, "opened") or alert.summary)}</p>'
    last = story.events[-1] if story.events else None
    if last is not None and last.data.summary != _told(story.events, "opened"):
        yield f"<p>Last said: {_text(last.data.summary)}</p>"


def _seen(story: Story) -> Iterator[str]:
    yield "<h2>What the model saw</h2>"
    rows = [
        (
            _text(one.title),
            _text(number(one.value, one.unit)),
            _text(number(one.expected, one.unit)),
            f"{one.deviation:+.2f}",
            _text(", ".join(one.signals)),
        )
        for one in story.alert.contributions
    ]
    yield _table(("", "value", "expected", "deviation", "from"), rows, right=(1, 2, 3))
    yield "<p>A deviation of 1 is the limit. Values are those of the last time that the alert was told as open.</p>"
    yield f"<p>Sure: {_text(story.alert.confidence_because)}.</p>"


def _done(story: Story) -> Iterator[str]:
    action = story.alert.action
    yield "<h2>What to do</h2>"
    yield f"<p>{_text(action.recommend)} ({_text(action.when)}).</p>"
    for name, entries in (("Inspect", action.inspect), ("Write down", action.capture), ("Parts", action.parts)):
        if entries:
            yield f"<p>{name}: {_text('; '.join(entries))}.</p>"


def _drawn(story: Story) -> Iterator[str]:
    yield "<h2>How it came about</h2>"
    yield f"<p>{_KEY} Times are those of {_text(story.zone)}.</p>"
    times = [line for line in _lines(story) if len(line.time_ns)]
    if not times:
        return
    start = min(int(line.time_ns[0]) for line in times)
    end = max(int(line.time_ns[-1]) for line in times)

    def drawing(title: str, drawn: Series, levels: list[Level], expected: Series | None = None) -> str:
        marked = (story.since_ns, story.until_ns or end)
        return svg(Plot(title, drawn, start, end, expected, levels, marked, story.zone))

    bands = [Level(band.above, band.name) for band in story.policy.severities]
    yield drawing("Score: 1 at the limit", story.score, bands)
    for one in story.inputs:
        fixed = [Level(one.limit, "limit")] if one.limit is not None else []
        yield drawing(_named(one), one.value, fixed, one.expected)
        levels = [
            Level(side, "limit") for side in (1.0, -1.0) if side > 0 or one.deviation.low.min(initial=0) < side / 2
        ]
        yield drawing(f"{one.title}: deviation, 1 at the limit", one.deviation, levels)
    for signal in story.signals:
        yield drawing(f"{_named(signal)}, as measured", signal.value, [])
        bad = f", of which {signal.bad:,} were not good and are not drawn" if signal.bad else ", all of them good"
        yield f"<p>{signal.samples:,} samples{bad}.</p>"


def _gaps(story: Story) -> Iterator[str]:
    if not story.gaps:
        return
    yield "<h2>What the sources did not deliver as it came</h2>"
    rows = [
        (
            _text(gap.signal),
            clock(gap.since_ns, story.zone),
            clock(gap.until_ns, story.zone),
            "read later, all of it" if gap.recovered else "missing",
            _text(gap.cause),
        )
        for gap in story.gaps
    ]
    yield _table(("signal", "last before", "first after", "", "why"), rows)


def _lines(story: Story) -> Iterable[Series]:
    return [story.score, *(one.value for one in story.inputs), *(one.value for one in story.signals)]


def _named(one: InputStory | SignalStory) -> str:
    unit = unit_text(one.unit)
    return f"{one.title} in {unit}" if unit else one.title


def _events(story: Story) -> Iterator[str]:
    yield "<h2>Events</h2>"
    rows = [
        (
            clock(time_ns(event.time), story.zone),
            event.type.split(".")[-2],
            event.data.severity,
            f"{event.data.score:.2f}",
            _text(event.data.summary),
        )
        for event in story.events
    ]
    yield _table(("time", "", "severity", "score", "said"), rows, right=(3,))


def _origin(story: Story) -> Iterator[str]:
    lineage, replay = story.alert.lineage, story.replay
    rule = lineage.rule
    yield "<h2>What it rests on</h2>"
    blocks = "; ".join(
        f"{one.stream} {one.first} to {one.last}" for one in (lineage.telemetry, lineage.features, lineage.scores)
    )
    rows = [
        (
            "Rule",
            f"{rule.severity}: above {rule.above:g} for {rule.hold}; it was {rule.score:.2f}",
        ),
        ("Failure model", f"{lineage.failure_model} {lineage.failure_model_version}"),
        *(
            (name, f'<span class="digest">{_text(value or "none")}</span>')
            for name, value in (
                ("Model", lineage.model_digest),
                ("Baseline", lineage.baseline_digest),
                ("Pipeline", lineage.pipeline_digest),
                ("Policy", lineage.policy_digest),
                ("Config", lineage.generation),
            )
        ),
        ("Blocks", blocks),
        ("Made with", _text(", ".join(f"{name} {value}" for name, value in lineage.software.items()))),
    ]
    yield _table(("", ""), rows)
    how = "the same bits" if replay.exact else "the same within 1e-9"
    hops = ", ".join(f"{hop.equal:,} of {hop.rows:,} {hop.name}" for hop in replay.hops)
    yield f"<p>When this was written, the computation was done again from its beginning: {hops} came out {how}.</p>"
    yield "".join(f"<p>{_text(note)}.</p>" for note in replay.notes)
    yield "<p>To check that nothing was changed: <code>sha256sum -c SHA256SUMS</code>. "
    yield "To do the computation again: <code>wheeltapper evidence verify .</code></p>"


def _told(events: list[AlertEvent], kind: str) -> str:
    return next((event.data.summary for event in events if event.type.split(".")[-2] == kind), "")


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """Table of cells that are HTML already."""

    def row(cells: tuple[str, ...], tag: str) -> str:
        classes = [' class="n"' if position in right else "" for position in range(len(cells))]
        return "<tr>" + "".join(f"<{tag}{c}>{cell}</{tag}>" for c, cell in zip(classes, cells, strict=True)) + "</tr>"

    return f"<table>{row(heads, 'th') if any(heads) else ''}{''.join(row(cells, 'td') for cells in rows)}</table>"


def _text(text: str) -> str:
    return html.escape(text)
