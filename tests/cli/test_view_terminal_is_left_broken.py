"""The screens on a real pseudo-terminal: keys do what they say, and every way out gives the terminal back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.test_view_picture_misleads import RENDER, station
from wheeltapper_cli.screen.draw import Look
from wheeltapper_cli.screen.encode import Encoder
from wheeltapper_cli.screen.model import Screen, State

ROOT = Path(__file__).parents[2]
DRIVER = """
import asyncio, logging, os, signal, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))  # the leader of a session gets its terminal by opening it
from tests.cli.test_view_picture_misleads import station
from wheeltapper_cli.logs import start_logging
from wheeltapper_cli.reporters import reporter
async def main():
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    shown = station(12, p1="act", p2="watch")
    rows, alerts = [twin.row for twin in shown.twins], list(shown.alerts)
    for past in {id(twin.past): twin.past for twin in shown.twins}.values():
        screens.past.lines[past.config.line.key] = past
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    while not stop.is_set():
        screens.rows(rows, alerts, [])
        if what == "fail":
            raise ValueError("as planned")
        if what == "log":
            logging.error("the backbone said something")
        if what == "tell":
            screens.progress("twins.yaml:7: spec.criticality: Q is none of A, B, C\\nWhat ran before goes on.")
        with __import__("contextlib").suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.2)
screens = reporter("auto")
start_logging(quiet=True)
try:
    asyncio.run(main())
finally:
    screens.close()
"""
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
PIECE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([^\x1b]+)", re.DOTALL)


class Tty:
    """The driver on a terminal of its own."""

    def __init__(self, what: str = "", columns: int = 80, lines: int = 24) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        self._begin = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *([what] if what else [])],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1"},
        )
        os.set_blocking(self.master, False)

    def resize(self, columns: int, lines: int) -> None:
        self.columns = columns
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def read(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self.master, 65536):
                self.output += data

    def screen(self) -> list[str]:
        """What a terminal shows after all that was written since the screens were entered last."""
        text = self.output[self.output.rfind(ENTER) :].decode(errors="replace")
        rows: dict[int, str] = {}
        at = 0
        for parameters, command, words in PIECE.findall(text):
            if command == "H":
                at = int(parameters.split(";")[0])
                rows[at] = ""
            elif command == "J":
                rows = {}
            elif command == "K":  # the cursor stands on the last column, not behind it
                rows[at] = "" if parameters == "2" else rows[at][: self.columns - 1]
            elif words:
                rows[at] = rows.get(at, "") + words
        return [rows.get(row, "") for row in range(1, max(rows, default=0) + 1)]

    def wait(self, condition, what: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self.read()
            if condition():
                return
            assert time.monotonic() < deadline, f"{what}: {self.screen()} {self.output[-400:]!r}"
            time.sleep(0.02)

    def shows(self, text: str) -> None:
        self.wait(lambda: any(text in line for line in self.screen()), text)

    def end(self, seconds: float = 10) -> int:
        self.wait(lambda: self.process.poll() is not None, "the end", seconds)
        self.read()
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def tty():
    made: list[Tty] = []

    def make(*arguments, **options) -> Tty:
        made.append(Tty(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_keys_lead_through_the_screens_and_back(tty):
    terminal = tty()
    terminal.shows(">✖ P-1")
    terminal.send(b"\x1b[B")
    terminal.shows(">△ P-2")
    terminal.send(b"\r")
    terminal.shows("Kurtosis of the vibration")
    terminal.send(b"\r")
    terminal.shows("What the model saw")
    terminal.send(b"n")
    terminal.shows("Bearing wear, P-1")
    terminal.send(b"\x1b")  # alone, and nothing follows
    terminal.shows("Kurtosis of the vibration")
    terminal.send(b"q")
    terminal.shows("12 twins")
    terminal.send(b"?")
    terminal.shows("PgUp PgDn")
    terminal.send(b"q/p-1")
    terminal.shows("Filter: p-1")
    terminal.wait(lambda: sum("Running" in line for line in terminal.screen()) == 4, "four twins")
    terminal.send(b"\x7f\x7f\x7fact\r")
    terminal.shows("1 of 12")
    terminal.send(b"\x1b")
    terminal.wait(lambda: sum("Running" in line for line in terminal.screen()) == 12, "all twins")
    terminal.send(b"ss")
    terminal.shows("*Twin")
    terminal.send(b"q")
    terminal.shows("Ctrl-C stops it")


def test_sequence_in_two_pieces_is_one_key_and_an_unknown_one_is_none(tty):
    terminal = tty()
    terminal.shows(">✖ P-1")
    terminal.send(b"\x1b")
    terminal.send(b"[B")
    terminal.shows(">△ P-2")
    terminal.send(b"\x1b[99;5~\x1bOA")
    terminal.shows(">✖ P-1")


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM", "SIGHUP"])
def test_every_end_restores_the_terminal_and_leaves_the_last_picture(tty, how):
    terminal = tty()
    terminal.shows(">✖ P-1")
    assert termios.tcgetattr(terminal.slave)[3] & (termios.ICANON | termios.ECHO) == 0
    if how == "ctrl-c":
        terminal.send(b"\x03")
    else:
        terminal.process.send_signal(getattr(signal, how))
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before
    after = terminal.output.partition(LEAVE)[2].decode()
    assert "P-12" in after
    assert "p-1-wear-57f425e5" in after


def test_failure_restores_the_terminal_and_is_told(tty):
    terminal = tty("fail")
    assert terminal.end(20) == 1
    assert ENTER in terminal.output
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert b"as planned" in terminal.output.partition(LEAVE)[2]


def test_suspended_command_gives_the_terminal_to_the_shell_and_takes_it_again(tty):
    terminal = tty()
    terminal.shows(">✖ P-1")
    terminal.send(b"j\r")
    terminal.shows("Kurtosis of the vibration")
    terminal.send(b"\x1a")
    terminal.wait(lambda: state_of(terminal.process.pid) == "T", "the stop")
    terminal.wait(lambda: LEAVE in terminal.output, "the terminal")
    assert termios.tcgetattr(terminal.slave) == terminal.before
    terminal.output = b""
    terminal.process.send_signal(signal.SIGCONT)
    terminal.shows("Kurtosis of the vibration")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_resized_terminal_is_filled_anew(tty):
    terminal = tty()
    terminal.wait(lambda: len(terminal.screen()) == 24, "24 lines")
    terminal.resize(120, 40)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.wait(lambda: len(terminal.screen()) == 40, "40 lines")
    terminal.wait(lambda: any(len(line) == 120 for line in terminal.screen()), "120 columns")


def test_terminal_that_takes_nothing_does_not_hold_the_command_up(tty):
    terminal = tty()
    terminal.shows(">✖ P-1")
    deadline = time.monotonic() + 15
    for _ in range(100):  # each paints all of the screen, far more in sum than what a terminal buffers
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.send(b"j")
        while wanted_keys(terminal) > 0:
            assert time.monotonic() < deadline, "keys are no longer read"
            time.sleep(0.005)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_log_lines_do_not_tear_the_picture(tty):
    terminal = tty("log")
    terminal.shows("the backbone said something")
    assert terminal.screen()[0].startswith(" Wheeltapper")
    assert len(terminal.screen()) == 24


def test_long_message_is_read_whole_and_told_again_at_the_end(tty):
    terminal = tty("tell")
    terminal.shows("Q is none of A, B, C")
    terminal.shows("What ran before goes on.")
    terminal.send(b"\x03")
    assert terminal.end() == 0
    assert b"What ran before goes on." in terminal.output.partition(LEAVE)[2]


def test_styles_reach_the_terminal_as_the_library_itself_would_write_them():
    console = Console(force_terminal=True, color_system="256", width=200, file=StringIO(), legacy_windows=False)
    encoder, shown = Encoder(console), station(3, p1="act", p2="watch")
    for state in (State(), State(Screen.TWIN, twin=shown.twins[0].key), State(Screen.HELP)):
        for line in RENDER[state.screen].render(shown, state, Look(120, 30))[0]:
            with console.capture() as captured:
                console.print(line, end="", highlight=False, no_wrap=True)
            assert cells_of(encoder.encode(line)) == cells_of(captured.get())


def cells_of(text: str) -> list[tuple[str, str]]:
    """Every character with the codes in force."""
    codes, found = "", []
    for code, character in re.findall(r"\x1b\[([0-9;]*)m|(.)", text):
        if character:
            found.append((character, codes))
        else:
            codes = "" if code == "0" else code
    return found


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wanted_keys(terminal: Tty) -> int:
    """Bytes that were typed and are not read yet."""
    return struct.unpack("i", fcntl.ioctl(terminal.slave, termios.FIONREAD, b"\0\0\0\0"))[0]
