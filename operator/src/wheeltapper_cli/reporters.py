"""Three ways to show an installation at work: screens for a terminal, lines for a log, JSON for a program."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wheeltapper_api.wire import Alert, AlertEvent
from wheeltapper_cli.screen.past import Past
from wheeltapper_cli.screen.shell import Shell
from wheeltapper_cli.view import TwinRow

_COLOUR: Final = {"good": "green", "watch": "yellow", "warn": "dark_orange", "act": "red", "unknown": "dim"}
_LOG_EVERY_S: Final = 10.0
_SHOWN_PROBLEMS: Final = 6
_SHOWN_TWINS: Final = 40
_SHOWN_ALERTS: Final = 10
_TOLD_KEPT: Final = 50
"""Messages that are printed once the screens close."""


class Reporter(Protocol):
    """Shows what happens."""

    past: Past | None
    """To be filled with features and scores, where they are shown."""

    def progress(self, text: str) -> None:
        """A stage of a longer work."""

    def rows(self, rows: list[TwinRow], alerts: list[Alert], problems: list[str]) -> None:
        """State of all twins; called every second."""

    def event(self, event: AlertEvent) -> None:
        """An alert opened, changed or cleared."""

    def close(self) -> None:
        """The last call."""


def reporter(output: str, on_leave: Callable[[], None] | None = None) -> Reporter:
    """Reporter of a name: ``table``, ``log`` or ``json``; ``auto`` is a table where there is a terminal.

    A table is screens where there are keys, too. ``on_leave`` is called when a person leaves the first of them.
    """
    if output == "json":
        return JsonReporter()
    console = Console()
    if output == "table" or (output == "auto" and console.is_terminal):
        keys = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
        return ScreenReporter(console, on_leave) if keys and not console.is_dumb_terminal else TableReporter(console)
    return LogReporter()


class JsonReporter:
    """One JSON document a line: ``progress``, ``twins`` every second, ``alert``, ``problem``."""

    past: Past | None = None

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

    past: Past | None = None

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


class ScreenReporter:
    """Screens that a person moves about in; what was told meanwhile is printed when they close."""

    past: Past | None

    def __init__(self, console: Console, on_leave: Callable[[], None] | None = None) -> None:
        self._console = console
        self.past = past = Past()
        self._shell = Shell(console, past, on_leave)
        self._last: tuple[list[TwinRow], list[Alert], list[str]] | None = None
        self._told: deque[Text] = deque(maxlen=_TOLD_KEPT)

    def progress(self, text: str) -> None:
        """A stage of a longer work; a message while the screens are open."""
        line = Text(f"{_now_text()} {text}", style="dim")
        if not self._shell.started:
            self._console.print(line)
            return
        self._told.append(line)
        self._shell.note(text)

    def rows(self, rows: list[TwinRow], alerts: list[Alert], problems: list[str]) -> None:
        """State of all twins; the first one opens the screens."""
        self._last = rows, alerts, problems
        self._shell.update(rows, alerts, problems)

    def event(self, event: AlertEvent) -> None:
        """What an open screen shows may have ended."""
        self._shell.ended(event)

    def close(self) -> None:
        """Give the terminal back and leave the last picture standing."""
        self._shell.stop()
        for line in self._told:
            self._console.print(line)
        self._told.clear()
        if self._last is not None:
            self._console.print(picture(*self._last))
            self._last = None


class TableReporter:
    """A table that stays in place, with the open alerts below it, for where there are no keys."""

    past: Past | None = None

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
        foot = Text(f"{_now_text()}  Ctrl-C stops; started again it goes on from here", style="dim")
        self._live.update(Group(picture(rows, alerts, problems), foot), refresh=True)

    def event(self, event: AlertEvent) -> None:
        """The table shows it."""

    def close(self) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self._live.stop()


def picture(rows: list[TwinRow], alerts: list[Alert], problems: list[str]) -> Group:
    """Everything at once: the twins, the open alerts, the problems. Of many, the first and how many more."""
    parts: list[Any] = [twin_table(rows[:_SHOWN_TWINS])]
    parts += [Text(f"and {len(rows) - _SHOWN_TWINS} more twins", "dim")] if len(rows) > _SHOWN_TWINS else []
    parts += [alert_panel(alert) for alert in alerts[:_SHOWN_ALERTS]]
    parts += [Text(f"and {len(alerts) - _SHOWN_ALERTS} more alerts")] if len(alerts) > _SHOWN_ALERTS else []
    parts += [Text(f"! {problem}", style="yellow") for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        parts.append(Text(f"! and {len(problems) - _SHOWN_PROBLEMS} more", style="yellow"))
    return Group(*parts)


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
