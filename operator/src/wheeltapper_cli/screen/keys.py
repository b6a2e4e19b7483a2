"""Keys from the bytes of a terminal. Pure; what is incomplete waits for the rest."""

from __future__ import annotations

import codecs
import re
from typing import Final

_NAMES: Final = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "1~": "home",
    "4~": "end",
    "5~": "page-up",
    "6~": "page-down",
    "7~": "home",
    "8~": "end",
}
"""What follows ``ESC [`` or ``ESC O``: xterm, the Linux console, rxvt and tmux agree on these."""
_PLAIN: Final = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\t": "tab"}
_SEQUENCE: Final = re.compile(r"\x1b(?:\[([0-9;<=>?]*)([ -/]*)([@-~])|O([ -~]))")
_BEGUN: Final = re.compile(r"\x1b(?:\[[0-9;<=>?]*[ -/]*|O)?")


class Keys:
    """Turns bytes into keys."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._rest = ""

    @property
    def waiting(self) -> bool:
        """Whether something has begun that may be a sequence or the key Esc alone."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """Keys that are complete."""
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        found: list[str] = []
        while text:
            key, used = _next(text)
            if not used:
                self._rest = text
                break
            text = text[used:]
            if key:
                found.append(key)
        return found

    def flush(self) -> list[str]:
        """What has begun is all there is: Esc alone is a key, half a sequence is nothing."""
        rest, self._rest = self._rest, ""
        return ["esc"] if rest == "\x1b" else []


def _next(text: str) -> tuple[str, int]:
    """First key and the characters it takes: an empty key for what is none, 0 characters for what is incomplete."""
    if text[0] != "\x1b":
        return _PLAIN.get(text[0], text[0] if text[0].isprintable() else ""), 1
    sequence = _SEQUENCE.match(text)
    if sequence:
        parameters, _, final, application = sequence.groups()
        name = application or (final if final != "~" else f"{parameters.partition(';')[0]}~")
        return _NAMES.get(name, ""), sequence.end()
    if _BEGUN.fullmatch(text):
        return "", 0
    return "esc", 1
