"""The terminal: keys in, lines out, and left as it was found on every way out.

Keys come one by one without echo (cbreak mode); Ctrl-C and Ctrl-Z stay signals. Only lines that changed are written.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import termios
from typing import Any, Final

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""Alternate screen, no cursor, no wrapping at the right margin, empty."""
_LEAVE: Final = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_LEAVE_SECONDS: Final = 1.0
_LOCAL, _INPUT, _CONTROL = 3, 0, 6
"""Positions in what tcgetattr returns."""
_SMALLEST: Final = (20, 6)


class Terminal:
    """A terminal on a pair of file descriptors.

    Parameters
    ----------
    keys
        Descriptor of the terminal that keys are read from.
    picture
        Descriptor of the terminal that is written to.
    """

    def __init__(self, keys: int = 0, picture: int = 1) -> None:
        self.keys = keys
        self._shown_on = picture
        self._out = -1
        self._found: list[Any] | None = None
        self._lines: list[str] = []
        self._broken = False

    @property
    def entered(self) -> bool:
        """Whether the screen is ours now."""
        return self._found is not None

    @property
    def ours(self) -> bool:
        """Whether this process is in the foreground; one in the background is stopped if it touches the terminal."""
        try:
            return os.tcgetpgrp(self.keys) == os.getpgrp()
        except OSError:  # the terminal is gone
            return False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            found = os.get_terminal_size(self._shown_on)
        except OSError:
            return 80, 24
        return max(found.columns or 80, _SMALLEST[0]), max(found.lines or 24, _SMALLEST[1])

    def enter(self) -> None:
        """Take the screen over.

        Raises
        ------
        OSError
            If the terminal is gone.
        """
        if self.entered:
            return
        try:
            found = termios.tcgetattr(self.keys)
            self._out = _open_own(self._shown_on)
            wanted = termios.tcgetattr(self.keys)
            wanted[_LOCAL] &= ~(termios.ICANON | termios.ECHO)
            wanted[_INPUT] &= ~termios.IXON  # Ctrl-S would stop the picture, and with it the command
            wanted[_CONTROL][termios.VMIN], wanted[_CONTROL][termios.VTIME] = 1, 0
            wanted[_CONTROL][termios.VQUIT] = b"\0"  # would end the command with the terminal like this
            termios.tcsetattr(self.keys, termios.TCSANOW, wanted)
        except termios.error as error:
            raise OSError(*error.args) from error
        self._found = found
        atexit.register(self.leave)
        self._lines, self._broken = [], False
        self._write(_ENTER)

    def leave(self) -> None:
        """Give the screen back as it was found."""
        found, self._found = self._found, None
        if found is None:
            return
        atexit.unregister(self.leave)
        with contextlib.suppress(OSError, termios.error):  # gone, and nothing is left to restore
            select.select([], [self._out], [], _LEAVE_SECONDS)  # what was written before may still be on its way
            os.write(self._out, _LEAVE.encode())
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self.keys, termios.TCSANOW, found)
        with contextlib.suppress(OSError):
            os.close(self._out)

    def forget(self) -> None:
        """What is on the screen is not known any more: paint all of it next time."""
        self._lines = []

    def paint(self, lines: list[str]) -> None:
        """Show lines, which must not be wider than the screen."""
        if not self.entered:
            return
        if self._broken:  # a write was cut off; begin anew
            self._lines = []
        # A line is emptied before and not behind its text: after the last column the cursor still stands on it.
        whole = len(self._lines) != len(lines)
        changed = [
            f"\x1b[{row + 1};1H\x1b[0m\x1b[2K{text}\x1b[0m"
            for row, text in enumerate(lines)
            if whole or self._lines[row] != text
        ]
        if changed:
            self._broken = not self._write(("\x1b[2J" if whole else "") + "".join(changed))
            self._lines = lines

    def _write(self, text: str) -> bool:
        """Write all of a text now or tell that the terminal does not take it: it must not hold the command up."""
        data = text.encode(errors="replace")
        try:
            return os.write(self._out, data) == len(data)
        except BlockingIOError:
            return False
        except OSError:  # gone; the hang-up signal ends the command
            return True


def _open_own(descriptor: int) -> int:
    """The same terminal opened once more, so that not waiting for it does not change it for other processes."""
    own = os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    os.set_inheritable(own, False)
    return own
