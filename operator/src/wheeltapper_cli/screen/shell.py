"""The screens at work: state, terminal, keys and signals put together. All decisions are in :mod:`.model`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import TextIOBase
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from wheeltapper_api.wire import Alert, AlertEvent
from wheeltapper_cli.screen import alert, draw, fleet, keys_help, twin
from wheeltapper_cli.screen.draw import ASCII, UNICODE, Look
from wheeltapper_cli.screen.encode import Encoder
from wheeltapper_cli.screen.keys import Keys
from wheeltapper_cli.screen.model import Fleet, Room, Screen, State, Twin, press, worst_first
from wheeltapper_cli.screen.past import Past
from wheeltapper_cli.screen.terminal import Terminal
from wheeltapper_cli.view import TwinRow

_ESC_SECONDS: Final = 0.05
"""Within this the rest of a sequence follows its Esc, over slow lines too."""
_NOTE_SECONDS: Final = 15.0
_ENDED_KEPT: Final = 64
_HOW_TO_STOP: Final = "Ctrl-C stops it; started again it goes on from here"
_NOTE_LINES: Final = 6
Render = Callable[[Fleet, State, Look], tuple[list[Text], Room]]
_RENDER: Final[Mapping[Screen, Render]] = {
    Screen.FLEET: fleet.render,
    Screen.TWIN: twin.render,
    Screen.ALERT: alert.render,
    Screen.HELP: keys_help.render,
}


class Shell:
    """The screens on a terminal.

    Parameters
    ----------
    console
        Tells what the terminal can show.
    past
        What the streams say, followed by someone else.
    on_leave
        Called when a person leaves the first screen; without it that key does nothing.
    """

    def __init__(self, console: Console, past: Past, on_leave: Callable[[], None] | None = None) -> None:
        self._past, self._on_leave = past, on_leave
        self._encoder = Encoder(console)
        self._terminal = Terminal()
        self._glyphs = UNICODE if console.encoding.lower().startswith("utf") else ASCII
        self._keys = Keys()
        self._state, self._fleet, self._room = State(may_leave=on_leave is not None), Fleet(), Room()
        self._ended: OrderedDict[str, Alert] = OrderedDict()
        self._note = ("", 0.0)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._esc: asyncio.TimerHandle | None = None
        self._logs: list[tuple[logging.StreamHandler[Any], Any]] = []

    @property
    def started(self) -> bool:
        """Whether the screens have been shown."""
        return self._loop is not None

    def update(self, rows: list[TwinRow], alerts: list[Alert], problems: list[str]) -> None:
        """Show a new state of the installation; the first one takes the terminal over."""
        ordered = worst_first(alerts)
        by_twin: dict[tuple[str, str], list[Alert]] = {}
        for one in ordered:
            by_twin.setdefault((one.plant, one.asset), []).append(one)
            self._ended.pop(one.alert_id, None)
        twins = tuple(
            Twin(row, self._past.of(row.tenant, row.plant, row.twin), tuple(by_twin.get((row.plant, row.twin), ())))
            for row in rows
        )
        self._fleet = Fleet(twins, ordered, self._ended, tuple(problems), time.time_ns(), self._past.span_ns)
        if self._loop is None:
            self._start(asyncio.get_running_loop())
        self.paint()

    def ended(self, event: AlertEvent) -> None:
        """Keep an alert that cleared for a while: somebody may be reading it."""
        if event.data.state != "open":
            self._ended[event.data.alert_id] = event.data
            if len(self._ended) > _ENDED_KEPT:
                self._ended.popitem(last=False)

    def note(self, text: str) -> None:
        """Show a message at the bottom for some seconds."""
        self._note = (text, time.monotonic() + _NOTE_SECONDS)
        self.paint()

    def paint(self) -> None:
        """Draw the present screen."""
        if self._loop is None:
            return
        if not self._terminal.entered:
            if not self._terminal.ours:
                return  # in the background; the next update looks again
            try:
                self._terminal.enter()
            except OSError:  # the terminal is gone
                return
        self._terminal.paint([self._encoder.encode(line) for line in self._render()])

    def stop(self) -> None:
        """Give the terminal back."""
        self._terminal.leave()
        for handler, stream in self._logs:
            handler.setStream(stream)
        self._logs.clear()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._terminal.keys)
            for number in (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT):
                self._loop.remove_signal_handler(number)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self._terminal.keys, self._read)
        loop.add_signal_handler(signal.SIGWINCH, self._resized)
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        loop.add_signal_handler(signal.SIGCONT, self._resized)  # what stopped us has left its own picture
        for handler in logging.getLogger().handlers:  # what is logged would be written into the picture
            if isinstance(handler, logging.StreamHandler):
                self._logs.append((handler, handler.setStream(_Notes(self.note))))

    def _read(self) -> None:
        if not self._terminal.ours:
            return
        data = b""
        with contextlib.suppress(OSError):
            data = os.read(self._terminal.keys, 1024)
        if not data:  # the terminal is gone
            if self._loop is not None:
                self._loop.remove_reader(self._terminal.keys)
            return
        self._press(self._keys.feed(data))
        if self._esc is not None:
            self._esc.cancel()
            self._esc = None
        if self._keys.waiting and self._loop is not None:
            self._esc = self._loop.call_later(_ESC_SECONDS, lambda: self._press(self._keys.flush()))

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            self._state = press(self._state, key, self._fleet, self._room)
            if self._state.left:
                self._state = replace(self._state, left=False)
                if self._on_leave is None:
                    self._note = (_HOW_TO_STOP, time.monotonic() + _NOTE_SECONDS / 3)
                else:
                    self._on_leave()
            self._render()  # the next key may go as far as this screen goes
        self.paint()

    def _render(self) -> list[Text]:
        """Lines of the present screen, with the newest message above the last."""
        width, height = self._terminal.size
        look = Look(width, height, self._glyphs)
        note: list[Text] = []
        if time.monotonic() < self._note[1]:
            told = [piece for part in self._note[0].splitlines() for piece in draw.wrap(part, look)]
            note = told[: min(_NOTE_LINES, height // 3)]
        for part in note:
            part.stylize("bold")
        room = Look(width, height - len(note), self._glyphs)
        lines, self._room = _RENDER[self._state.screen](self._fleet, self._state, room)
        return [*lines[:-1], *note, lines[-1]]

    def _resized(self) -> None:
        self._terminal.forget()
        self.paint()

    def _suspend(self) -> None:
        """Ctrl-Z: the shell gets the terminal as it was, and we take it over again when we are continued."""
        self._terminal.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.paint()  # once continued, in the foreground


class _Notes(TextIOBase):
    """A stream that shows what is written to it as a message."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    def write(self, text: str) -> int:
        if text.strip():
            self._note(text.strip().splitlines()[0])
        return len(text)
