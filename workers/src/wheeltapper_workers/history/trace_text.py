"""A trace as text for a terminal: 80 columns, plain."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from wheeltapper_workers.history.trace import BlockUse, FeatureUse, Hop, SignalUse, Trace

WIDTH: Final = 80
_SHOWN_BLOCKS: Final = 12
_DIGEST: Final = 19
"""``sha256:`` and twelve digits: enough to tell two apart."""


def render_text(trace: Trace) -> str:
    """Text of a trace, at most 80 columns wide as far as names allow."""
    parts = [_head(trace), _way(trace), _inputs(trace.features), _signals(trace.signals), _blocks(trace.blocks)]
    parts += [_origin(trace), _history(trace), _missing(trace)]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def _head(trace: Trace) -> Iterator[str]:
    alert = trace.alert
    yield f"Alert {alert.alert_id}"
    yield f"{alert.asset_title} ({alert.asset}), {alert.plant}: {alert.failure_mode}"
    yield f"{alert.severity}, {alert.state}, score {alert.score:.2f} (1 is the limit), highest {alert.peak_score:.2f}"
    yield from textwrap.wrap(alert.summary, WIDTH)


def _way(trace: Trace) -> Iterator[str]:
    yield "From the sensor to the alert"
    if not trace.hops:
        yield "  nothing of it is stored"
        return
    first = trace.hops[0]
    before = ""
    for hop in trace.hops:
        if hop.start != before:  # the way begins here, or goes on after a gap
            yield f"  {_clock(hop.start)}  {'sensor measured' if hop is first and hop.name == 'measure' else '...'}"
        yield f"  {_clock(hop.end)}  {hop.title:<44}{_span(hop.seconds):>12}"
        before = hop.end
    if trace.seconds is not None:
        work = trace.seconds - trace.seconds_by_design
        yield f"  {'in all':<58}{_span(trace.seconds):>12}"
        yield f"  {'of which work and transport, without the wait':<58}{_span(work):>12}"
    yield from _clocks(trace.hops)


def _clocks(hops: list[Hop]) -> Iterator[str]:
    if any(hop.seconds < 0 for hop in hops):
        yield "  A time below zero means that the clocks at the two ends disagree."


def _inputs(features: list[FeatureUse]) -> Iterator[str]:
    if not features:
        return
    yield "What the model saw"
    yield f"  {'':<30}{'value':>11}{'expected':>11}{'deviation':>11}{'coverage':>10}"
    for part in features:
        coverage = "-" if part.coverage is None else f"{part.coverage:.0%}"
        name = f"{part.feature} [{part.unit}]"
        numbers = f"{part.value:>11.4g}{part.expected:>11.4g}{part.deviation:>+11.2f}{coverage:>10}"
        yield from _row(name, numbers, 30)


def _signals(signals: list[SignalUse]) -> Iterator[str]:
    if not signals:
        return
    yield "Samples before the window's end, in the blocks below"
    yield f"  {'':<30}{'samples':>9}{'good':>9}{'lowest':>10}{'highest':>10}{'last':>10}"
    for signal in signals:
        numbers = f"{signal.samples:>9}{signal.good:>9}" + "".join(
            f"{'-' if value is None else format(value, '.4g'):>10}"
            for value in (signal.minimum, signal.maximum, signal.last)
        )
        yield from _row(signal.signal, numbers, 30)
        if signal.quality:
            yield "    " + ", ".join(f"{count} {flag}" for flag, count in signal.quality.items())


def _blocks(blocks: list[BlockUse]) -> Iterator[str]:
    if not blocks:
        return
    yield f"Blocks of TELEMETRY: {len(blocks)}"
    yield f"  {'block':>12}{'samples':>9}  {'first':<14}{'last':<14}published"
    shown = blocks if len(blocks) <= _SHOWN_BLOCKS else blocks[: _SHOWN_BLOCKS // 2] + blocks[-_SHOWN_BLOCKS // 2 :]
    for position, block in enumerate(shown):
        if position == _SHOWN_BLOCKS // 2 and len(shown) < len(blocks):
            yield f"  {'...':>12}  {len(blocks) - len(shown)} more"
        times = "".join(f"{_clock(time):<14}" for time in (block.first, block.last, block.published))
        yield f"  {block.sequence:>12}{block.rows:>9}  {times}".rstrip()


def _origin(trace: Trace) -> Iterator[str]:
    lineage, rule = trace.opened, trace.opened.rule
    yield "Made by"
    yield f"  model     {lineage.failure_model} {lineage.failure_model_version}, {lineage.model_digest[:_DIGEST]}"
    yield f"  baseline  {lineage.baseline_digest[:_DIGEST] or 'none'}"
    yield f"  pipeline  {lineage.pipeline_digest[:_DIGEST]}, config {lineage.generation or 'not told'}"
    yield f"  rule      {rule.severity}: above {rule.above:g} for {rule.hold}; it was {rule.score:.2f}"
    yield f"  window    ends {lineage.window_end}"
    yield f"  since     {trace.alert.since} above the lowest bound"
    if lineage.trace_id:
        yield f"  trace id  {lineage.trace_id}"


def _history(trace: Trace) -> Iterator[str]:
    if len(trace.events) < 2:
        return
    yield "Events"
    for event in trace.events:
        yield f"  {event.time:<28}{event.type.split('.')[-2]:<10}{event.severity:<8}{event.score:.2f}"


def _missing(trace: Trace) -> Iterator[str]:
    for text in trace.missing:
        yield from textwrap.wrap(f"! {text}.", WIDTH, subsequent_indent="  ")


def _row(name: str, numbers: str, width: int) -> Iterator[str]:
    """Row of a table; a name too long for its column has a line of its own."""
    if len(name) < width:
        yield f"  {name:<{width}}{numbers}".rstrip()
    else:
        yield f"  {name}"
        yield f"  {'':<{width}}{numbers}".rstrip()


def _clock(time: str) -> str:
    """Time of day to the millisecond, cut, not rounded: the day is in the events and the window's end."""
    return datetime.fromisoformat(time).strftime("%H:%M:%S.%f")[:-3]


def _span(seconds: float) -> str:
    size = abs(seconds)
    if size < 1:
        return f"{seconds * 1000:.0f} ms"
    if size < 120:
        return f"{seconds:.2f} s"
    return f"{seconds / 60:.1f} min" if size < 7200 else f"{seconds / 3600:.1f} h"
