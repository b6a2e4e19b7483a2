"""Lines with the codes of their styles, as the terminal has colours.

The library's own way is made for any text and takes several times as long for a line that is one sparkline of many
styles; the codes are still its own, asked for once a style.
"""

from __future__ import annotations

from itertools import pairwise

from rich.console import Console
from rich.text import Text


class Encoder:
    """Turns lines into what is written to a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._codes: dict[tuple[str, ...], tuple[str, str]] = {}

    def encode(self, line: Text) -> str:
        """One line; later styles lie over earlier ones."""
        plain, spans = line.plain, [span for span in line.spans if span.end > span.start and span.style]
        edges = sorted({0, len(plain), *(span.start for span in spans), *(span.end for span in spans)})
        pending = sorted(range(len(spans)), key=lambda i: spans[i].start, reverse=True)
        active: list[int] = []
        found = []
        for start, end in pairwise(edge for edge in edges if edge <= len(plain)):
            active = [i for i in active if spans[i].end > start]
            while pending and spans[pending[-1]].start <= start:
                active.append(pending.pop())
            styles = (str(line.style), *(str(spans[i].style) for i in sorted(active)))
            before, after = self._around(tuple(style for style in styles if style))
            found.append(f"{before}{plain[start:end]}{after}")
        return "".join(found)

    def _around(self, styles: tuple[str, ...]) -> tuple[str, str]:
        """Codes before and after a text of these styles."""
        if styles not in self._codes:
            sample = Text("x")
            for style in styles:
                sample.stylize(style)
            with self._console.capture() as captured:
                self._console.print(sample, end="", highlight=False)
            before, _, after = captured.get().partition("x")
            self._codes[styles] = before, after
        return self._codes[styles]
