"""libyaml's errors in the words of someone who writes YAML: where the mistake was made, and how it is mended.

libyaml says where it noticed; a quote or bracket that nobody closed is noticed at the end of the file, and made where
it was opened.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Mistake(NamedTuple):
    """Where a text stops being YAML, counted from 0, and what to do."""

    line: int
    column: int
    message: str
    remedy: str


_OPENED: Final = {
    "while scanning a quoted scalar": ("A quote is opened here and not closed", "add the closing quote"),
    "while parsing a flow sequence": ("A bracket [ is opened here and not closed", "add ] or the missing comma"),
    "while parsing a flow mapping": ("A brace { is opened here and not closed", "add } or the missing comma"),
}
_SIGNS: Final = {
    "while scanning an alias": ("*", "A text cannot begin with * here"),
    "while scanning an anchor": ("&", "A text cannot begin with & here"),
}
_NOTICED: Final = {
    "mapping values are not allowed in this context": (
        "A colon stands where no field can begin",
        "put text with a colon in quotes, and a space after each field's colon; fields of one mapping begin in one "
        "column",
    ),
    "did not find expected key": (
        "Here begins neither a field of the mapping nor a line of its value",
        "put the fields of one mapping in one column, and text that goes on after a quote or brace in quotes",
    ),
    "did not find expected '-' indicator": (
        "Here goes on neither the list nor what is around it",
        "put the dashes of one list in one column",
    ),
    "could not find expected ':'": ("This line has no field", "write name: value, or indent it under its field"),
    "block sequence entries are not allowed in this context": (
        "A list cannot begin behind its field",
        "put each dash on a line of its own",
    ),
    "found unknown escape character": (
        "A backslash in double quotes begins an escape, and this one is unknown",
        "write it in single quotes",
    ),
    "did not find expected node content": ("Between two commas is nothing", "remove one of them"),
    "did not find expected <document start>": ("After ... the file ends or --- begins a document", "write ---"),
    "found incompatible YAML document": ("The version behind %YAML is unknown", "remove the line"),
}


def explained(context: str | None, context_mark: Any, problem: str | None, mark: Any, text: str, first: int) -> Mistake:
    """Mistake behind a libyaml error in a text.

    Parameters
    ----------
    context, context_mark, problem, mark
        The four parts of a ``yaml.MarkedYAMLError``; marks may be None.
    text
        What was parsed.
    first
        Line of the file at which the text begins, counted from 1.
    """
    if context in _OPENED and context_mark is not None:
        message, remedy = _OPENED[context]
        noticed = f"; line {mark.line + first} does not go on with it" if mark and mark.line > context_mark.line else ""
        return Mistake(context_mark.line, context_mark.column, message, remedy + noticed)
    # Only the next line shows that one was no field.
    at = context_mark if context == "while scanning a simple key" and context_mark else mark or context_mark
    line, column = (at.line, at.column) if at is not None else (0, 0)
    if "tab" in (problem or "") or _character(text, line, column) == "\t":
        return Mistake(line, column, "A tab stands in the indentation", "indent with spaces")
    if context in _SIGNS:
        sign, message = _SIGNS[context]
        return Mistake(line, column, message, f"put text that begins with {sign} in quotes")
    if problem == "found character that cannot start any token":
        sign = _character(text, line, column)
        return Mistake(line, column, f"A text cannot begin with {sign}", "put it in quotes")
    known = _NOTICED.get(problem or "")
    message, remedy = known or (
        f"This is not YAML: {' '.join(part for part in (context, problem) if part)}",
        "look at its indentation, quotes and brackets",
    )
    return Mistake(line, column, message, remedy)


def _character(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    return lines[line][column : column + 1] if line < len(lines) else ""
