"""Text of YAML 1.2 or JSON to plain values, and where each stands.

Built on libyaml's events and not on its trees: building those recurses in C without a bound, and a file of opening
brackets would end the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import yaml
from yaml._yaml import CParser

from wheeltapper_api.scalars import is_ambiguous, plain_value
from wheeltapper_api.yaml_mistakes import explained

FieldPath = tuple[str | int, ...]

MAX_DEPTH: Final = 64
# Nodes that exist only because an alias repeats them. A person's file has some tens; a bomb has millions.
MAX_REPEATED: Final = 10_000

_STR: Final = "tag:yaml.org,2002:str"


class Place(NamedTuple):
    """Where a field stands, counted from 1."""

    line: int
    column: int = 1
    raw: str | None = None
    """A scalar without quotes as it was written: ``1.10`` is a number and no version any more."""


class DocumentError(ValueError):
    """A file, or one of its documents, cannot be read; where, why, and what to do."""

    def __init__(self, line: int, message: str, remedy: str, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.remedy = remedy
        self.column = column


class Parser:
    """Parser of one file, or of a part of one.

    Parameters
    ----------
    text
        The file's text.
    positions
        Whether to keep the places; doing so takes half as long again.
    first_line
        Line of the file at which the text begins, counted from 1.
    """

    def __init__(self, text: str, *, positions: bool = False, first_line: int = 1) -> None:
        self._text = text
        self._positions = positions
        self._first = first_line
        self.places: dict[FieldPath, Place] = {}
        """Place of every field of the document at hand; () is the document itself."""
        self.ambiguous: list[tuple[FieldPath, str]] = []
        """Scalars of the document at hand that ``kubectl`` reads otherwise, as they were written."""

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
                    self.places, self.ambiguous = {}, []
                    places = self.places if self._positions else None
                    yield _Builder(parser, self._first, places, self.ambiguous).value(next_event(), ())
        except yaml.MarkedYAMLError as error:
            raise self._not_yaml(error) from None
        except yaml.reader.ReaderError as error:
            raise self._not_text(error) from None
        except DocumentError as error:
            raise self._template(error) from None
        finally:
            parser.dispose()

    def _not_yaml(self, error: yaml.MarkedYAMLError) -> DocumentError:
        mistake = explained(
            error.context, error.context_mark, error.problem, error.problem_mark, self._text, self._first
        )
        line = mistake.line + self._first
        return self._template(DocumentError(line, mistake.message, mistake.remedy, mistake.column + 1))

    def _not_text(self, error: yaml.reader.ReaderError) -> DocumentError:
        # The position counts bytes of UTF-8, which is how libyaml is given the text.
        before = self._text.encode()[: error.position].decode(errors="replace")
        line = before.count("\n") + self._first
        column = len(before) - before.rfind("\n")
        what = f"The control character U+{error.character:04X} stands here"
        return DocumentError(line, what, "Remove it", column)

    def _template(self, error: DocumentError) -> DocumentError:
        """The same error, or a better remedy where the line belongs to a template that nobody has rendered."""
        lines = self._text.split("\n")
        at = error.line - self._first
        if at >= len(lines) or "{{" not in lines[at]:
            return error
        remedy = "Render it first, such as with helm template, or put the braces in quotes"
        return DocumentError(error.line, "This line is a template's, not YAML", remedy, error.column)


class _Builder:
    """Builds one document's value from its events."""

    def __init__(
        self,
        parser: CParser,
        first_line: int,
        places: dict[FieldPath, Place] | None,
        ambiguous: list[tuple[FieldPath, str]],
    ) -> None:
        self._next: Callable[[], Any] = parser.get_event
        self._first = first_line
        self._places = places
        self._ambiguous = ambiguous
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._repeated = 0

    def value(self, event: Any, path: FieldPath) -> Any:
        self._nodes += 1
        if self._places is not None and path not in self._places:
            self._places[path] = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._nodes
        if isinstance(event, yaml.ScalarEvent):
            built = self._scalar(event)
            if event.implicit[0] and is_ambiguous(event.value):
                self._ambiguous.append((path, event.value))
        elif event.tag is not None:
            raise self._error(event, f"The tag {event.tag} is not supported", "remove it")
        elif len(path) >= MAX_DEPTH:
            raise self._error(event, f"More than {MAX_DEPTH} levels", "write it flatter")
        elif isinstance(event, yaml.SequenceStartEvent):
            built = self._sequence(path)
        else:
            built = self._mapping(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (built, self._nodes - before + 1)
        return built

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            remedy = f"write &{event.anchor} before it, or put text that begins with * in quotes"
            raise self._error(event, f"The alias *{event.anchor} stands for nothing", remedy)
        built, size = self._anchors[event.anchor]
        self._nodes += size
        self._repeated += size
        if self._repeated > MAX_REPEATED:
            raise self._error(event, f"Aliases repeat more than {MAX_REPEATED} values", "write the values out")
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
            key = self._key(event, path)
            if key == "<<" and event.implicit[0]:
                merged |= self._merged(path, event)
                continue
            if key in built:
                raise self._error(event, f"The key {key} stands here twice", "remove one of the two")
            here = (*path, key)
            value = self._next()
            if self._places is not None:
                self._places[here] = self._place(event)._replace(raw=self._place(value).raw)
            built[key] = self.value(value, here)
        return merged | built

    def _merged(self, path: FieldPath, key: Any) -> dict[str, Any]:
        """What a merge key brings in, as kubectl understands it: of several mappings the first one counts."""
        value = self.value(self._next(), (*path, "<<"))
        mappings = value if isinstance(value, list) else [value]
        if not all(isinstance(mapping, dict) for mapping in mappings):
            raise self._error(key, "A merge key (<<) takes a mapping", "point it at the anchor of one")
        return {key: entry for mapping in reversed(mappings) for key, entry in mapping.items()}

    def _key(self, event: Any, path: FieldPath) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            remedy = "write a word, and put text that begins with { or [ in quotes"
            raise self._error(event, "A key must be text, not a list, a mapping or an alias", remedy)
        key = self._scalar(event)
        if event.implicit[0] and is_ambiguous(event.value):
            self._ambiguous.append(((*path, key), event.value))
        if not isinstance(key, str):
            what = f"A key must be text, not {event.value or 'nothing'}"
            raise self._error(event, what, f'write "{event.value}"' if event.value else "write a word")
        return key

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is not None and event.tag not in {"!", _STR}:
            raise self._error(event, f"The tag {event.tag} is not supported", "remove it")
        # Only a plain scalar without quotes has an implicit type.
        return text if event.tag == _STR or not event.implicit[0] else plain_value(text)

    def _place(self, event: Any) -> Place:
        mark = event.start_mark
        plain = isinstance(event, yaml.ScalarEvent) and event.implicit[0]
        return Place(mark.line + self._first, mark.column + 1, event.value if plain else None)

    def _error(self, event: Any, message: str, remedy: str) -> DocumentError:
        return DocumentError(event.start_mark.line + self._first, message, remedy, event.start_mark.column + 1)
