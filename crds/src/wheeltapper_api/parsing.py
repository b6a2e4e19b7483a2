"""Text of YAML 1.2 or JSON to plain values, and where each stands.

Built on libyaml's events and not on its trees: building those recurses in C without a bound, and a file of opening
brackets would end the process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml
from yaml._yaml import CParser

FieldPath = tuple[str | int, ...]

MAX_DEPTH: Final = 64
# Nodes that exist only because an alias repeats them. A person's file has some tens; a bomb has millions.
MAX_REPEATED: Final = 10_000

_INT: Final = re.compile(r"[-+]?[0-9]{1,300}")
_OCTAL_OR_HEX: Final = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Any]] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | {f"{sign}.{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")}
    | dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan"))
)
_STR: Final = "tag:yaml.org,2002:str"


class DocumentError(ValueError):
    """A file cannot be read as documents; where, why, and what to do."""

    def __init__(self, line: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.remedy = remedy


class Parser:
    """Parser of one file.

    Parameters
    ----------
    text
        The file's text.
    positions
        Whether to keep the lines; doing so takes half as long again.
    """

    def __init__(self, text: str, *, positions: bool = False) -> None:
        self._text = text
        self._positions = positions
        self.lines: dict[FieldPath, int] = {}
        """Line of every field of the document at hand, counted from 1; () is the document itself."""

    def documents(self) -> Iterator[Any]:
        """Values of the documents, one after the other.

        Raises
        ------
        DocumentError
            If the text is not YAML or is beyond the bounds of this module.
        """
        parser = CParser(self._text)
        try:
            next_event: Callable[[], Any] = parser.get_event
            while not isinstance(event := next_event(), yaml.StreamEndEvent):
                if isinstance(event, yaml.DocumentStartEvent):
                    self.lines = {}
                    yield _Builder(parser, self.lines if self._positions else None).value(next_event(), ())
        except yaml.MarkedYAMLError as error:
            raise _not_yaml(error) from None
        except yaml.reader.ReaderError as error:
            line = self._text.count("\n", 0, error.position) + 1
            raise DocumentError(line, f"This is not YAML: {error.reason}", "remove these characters") from None
        finally:
            parser.dispose()


def _not_yaml(error: yaml.MarkedYAMLError) -> DocumentError:
    mark: Any = error.problem_mark or error.context_mark
    problem = " ".join(part for part in (error.context, error.problem) if part)
    return DocumentError(
        mark.line + 1 if mark else 1, f"This is not YAML: {problem}", "look at its indentation, quotes and brackets"
    )


class _Builder:
    """Builds one document's value from its events."""

    def __init__(self, parser: CParser, lines: dict[FieldPath, int] | None) -> None:
        self._next: Callable[[], Any] = parser.get_event
        self._lines = lines
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._repeated = 0

    def value(self, event: Any, path: FieldPath) -> Any:
        self._nodes += 1
        if self._lines is not None:
            self._lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._nodes
        if isinstance(event, yaml.ScalarEvent):
            built = _scalar(event)
        elif event.tag is not None:
            raise _unsupported_tag(event)
        elif len(path) >= MAX_DEPTH:
            raise DocumentError(event.start_mark.line + 1, f"More than {MAX_DEPTH} levels", "write it flatter")
        elif isinstance(event, yaml.SequenceStartEvent):
            built = self._sequence(path)
        else:
            built = self._mapping(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (built, self._nodes - before + 1)
        return built

    def _alias(self, event: Any) -> Any:
        line = event.start_mark.line + 1
        if event.anchor not in self._anchors:
            raise DocumentError(
                line, f"The alias *{event.anchor} stands for nothing", f"write &{event.anchor} before it"
            )
        built, size = self._anchors[event.anchor]
        self._nodes += size
        self._repeated += size
        if self._repeated > MAX_REPEATED:
            raise DocumentError(line, f"Aliases repeat more than {MAX_REPEATED} values", "write the values out")
        return built

    def _sequence(self, path: FieldPath) -> list[Any]:
        built: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            built.append(self.value(event, (*path, len(built))))
        return built

    def _mapping(self, path: FieldPath) -> dict[str, Any]:
        built: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key, line = _key(event), event.start_mark.line + 1
            if key == "<<" and event.implicit[0]:
                merged |= self._merged(path, line)
                continue
            if key in built:
                raise DocumentError(line, f"The key {key} stands here twice", "remove one of the two")
            if self._lines is not None:
                self._lines[(*path, key)] = line
            built[key] = self.value(self._next(), (*path, key))
        return merged | built

    def _merged(self, path: FieldPath, line: int) -> dict[str, Any]:
        """What a merge key brings in, as kubectl understands it: of several mappings the first one counts."""
        value = self.value(self._next(), (*path, "<<"))
        mappings = value if isinstance(value, list) else [value]
        if not all(isinstance(mapping, dict) for mapping in mappings):
            raise DocumentError(line, "A merge key (<<) takes a mapping", "point it at the anchor of one")
        return {key: entry for mapping in reversed(mappings) for key, entry in mapping.items()}


def _key(event: Any) -> str:
    line = event.start_mark.line + 1
    if not isinstance(event, yaml.ScalarEvent):
        raise DocumentError(line, "A key must be text, not a list, a mapping or an alias", "write a word")
    key = _scalar(event)
    if not isinstance(key, str):
        raise DocumentError(line, f"A key must be text, not {event.value or 'nothing'}", f'write "{event.value}"')
    return key


def _scalar(event: yaml.ScalarEvent) -> Any:
    text = event.value
    if event.tag is not None and event.tag != "!":
        if event.tag == _STR:
            return text
        raise _unsupported_tag(event)
    # Only a plain scalar without quotes has an implicit type.
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def _unsupported_tag(event: Any) -> DocumentError:
    return DocumentError(event.start_mark.line + 1, f"The tag {event.tag} is not supported", "remove it")
