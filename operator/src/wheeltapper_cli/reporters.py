"""Three ways to show an installation at work: a live table for a terminal, lines for a log, JSON for a program."""

from __future__ import annotations

import json
import textwrap
import time
from datetime import datetime
from typing import Any, Final, Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wheeltapper_api.wire import Alert, AlertEvent
from wheeltapper_cli.view import TwinRow

_COLOUR: Final = {"good": "green", "watch": "yellow", "warn": "dark_orange", "act": "red", "unknown": "dim"}
_LOG_EVERY_S: Final = 10.0
_SHOWN_PROBLEMS: Final = 6


class Reporter(Protocol):
    """Shows what happens."""

    def progress(self, text: str) -> None:
        """A stage of a longer work."""

    def rows(self, rows: list[TwinRow], alerts: list[Alert], problems: list[str]) -> None:
        """State of all twins; called every second."""

    def event(self, event: AlertEvent) -> None:
        """An alert opened, changed or cleared."""

    def close(self) -> None:
        """The last call."""


def reporter(output: str) -> Reporter:
    """Reporter of a name: ``table``, ``log`` or ``json``; ``auto`` is a table where there is a terminal."""
    if output == "json":
        return JsonReporter()
    console = Console()
    if output == "table" or (output == "auto" and console.is_terminal):
        return TerminalReporter(console)
    return LogReporter()


class JsonReporter:
    """One JSON document a line: ``progress``, ``twins`` every second, ``alert``, ``problem``."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def progress(self, text: str) -> None:
        """A stage of a longer work."""
        self._print("progress", {"message": text})

    def rows(self, rows: list[TwinRow], alerts: list[Alert], problems: list[str]) -> None:
        """State of all twins."""
        self._print("twins", {"twins": [row.as_dict() for row in rows], "openAlerts": [a.alert_id for a in alerts]})
        for problem in problems:
            if problem not in self._told:
                self._print("problem", {"message": problem})
        self._told = set(problems)

    def event(self, event: AlertEvent) -> None:
        """An alert as its whole CloudEvent."""
        self._print("alert", {"event": event.model_dump(mode="json")})

    def close(self) -> None:
        """Nothing is left to print."""

    def _print(self, kind: str, document: dict[str, Any]) -> None:
        click.echo(json.dumps({"type": kind, "time": _now_text(), **document}, ensure_ascii=False))


class LogReporter:
    """Lines for a log: all twins every ten seconds, everything else at once."""

    def __init__(self) -> None:
        self._shown = 0.0
        self._told: set[str] = set()

    def progress(self, text: str) -> None:
        """A stage of a longer work."""
        self._print(text)

    def rows(self, rows: list[TwinRow], alerts: list[Alert], problems: list[str]) -> None:
        """State of all twins, every ten seconds."""
        for problem in problems:
            if problem not in self._told:
                self._print(f"problem  {problem}")
        self._told = set(problems)
        if time.monotonic() - self._shown < _LOG_EVERY_S:
            return
        self._shown = time.monotonic()
        for row in rows:
            open_alerts = f"  {len(row.open_alerts)} open" if row.open_alerts else ""
            self._print(
                f"twin     {row.twin:12} fresh {_fresh(row):>9}  mode {row.mode or '-':10} "
                f"score {_score(row):>6}  {row.health}{open_alerts}"
            )
        del alerts

    def event(self, event: AlertEvent) -> None:
        """An alert in its own words."""
        self._print(f"alert    {event.type.split('.')[-2]}: {event.data.summary} [{event.data.alert_id}]")

    def close(self) -> None:
        """Nothing is left to print."""

    def _print(self, text: str) -> None:
        click.echo(f"{_now_text()} {text}")


class TerminalReporter:
    """A table that stays in place, with the open alerts below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def progress(self, text: str) -> None:
        """A stage of a longer work."""
        self._console.print(Text(f"{_now_text()} {text}", style="dim"))

    def rows(self, rows: list[TwinRow], alerts: list[Alert], problems: list[str]) -> None:
        """State of all twins."""
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        parts: list[Any] = [twin_table(rows)]
        parts += [alert_panel(alert) for alert in alerts]
        parts += [Text(f"! {problem}", style="yellow") for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            parts.append(Text(f"! and {len(problems) - _SHOWN_PROBLEMS} more", style="yellow"))
        parts.append(Text(f"{_now_text()}  Ctrl-C stops; started again it goes on from here", style="dim"))
        self._live.update(Group(*parts), refresh=True)

    def event(self, event: AlertEvent) -> None:
        """The table shows it."""

    def close(self) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self._live.stop()


def twin_table(rows: list[TwinRow]) -> Table:
    """Table of twins that fits 80 columns."""
    table = Table(expand=False, pad_edge=False)
    for name, justify in (
        ("Twin", "left"),
        ("Fresh", "right"),
        ("Mode", "left"),
        ("Score", "right"),
        ("Health", "left"),
    ):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # literals of the tuple above
    table.add_column("Because", overflow="fold")
    for row in rows:
        colour = _COLOUR[row.health]
        what = row.why or (row.failure_model if row.score is not None else "")
        fresh = Text(_fresh(row), style="red" if row.stale else "")
        table.add_row(row.title, fresh, row.mode or "-", _score(row), Text(row.health, style=colour), Text(what, "dim"))
    return table


def alert_panel(alert: Alert) -> Panel:
    """An open alert in its own words."""
    title = f"{alert.severity}: {alert.failure_mode}, {alert.asset_title}"
    colour = _COLOUR[alert.severity]
    return Panel(alert.summary, title=title, subtitle=alert.alert_id, border_style=colour, width=78, title_align="left")


def wrapped(text: str, indent: str = "  ") -> str:
    """Text in lines of at most 78 columns."""
    return textwrap.fill(text, 78, initial_indent=indent, subsequent_indent=indent)


def _fresh(row: TwinRow) -> str:
    if row.fresh_s is None:
        return "no data"
    return f"{row.fresh_s:.1f} s" if row.fresh_s < 100 else f"{row.fresh_s / 60:.0f} min"


def _score(row: TwinRow) -> str:
    return "-" if row.score is None else f"{row.score:.2f}"


def _now_text() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
