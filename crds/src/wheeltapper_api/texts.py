"""Bytes of a file into text, with a word on what they are where they are not UTF-8."""

from __future__ import annotations

import codecs
import json
import re
from typing import Final

from wheeltapper_api.parsing import DocumentError

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_SAVE: Final = "save it with the encoding UTF-8"
# Control characters that no text has: not tab, the line ends, form feed or escape.
_OF_BINARY: Final = frozenset(range(9)) | frozenset(range(14, 27)) | frozenset(range(28, 32))
_LOOKED_AT: Final = 4096


def text_of(data: bytes) -> str:
    """Text of a file's bytes, without the byte order mark that some editors write.

    Raises
    ------
    DocumentError
        If the bytes are not UTF-8, with what they seem to be.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            raise DocumentError(1, f"The file is {name}, not UTF-8", _SAVE)
    head = data[:_LOOKED_AT]
    if b"\0" in head and _is_utf16(head):
        raise DocumentError(1, "The file is UTF-16, not UTF-8", _SAVE)
    if b"\0" in data or any(byte in _OF_BINARY for byte in head[:64]):
        raise DocumentError(1, "The file is binary, not text", "name a YAML or JSON file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(data, error.start) from None


def json_as_yaml(text: str) -> str:
    """JSON in the words of YAML, on the same lines: YAML has no tabs for indentation, and knows no surrogate pairs."""
    pair = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    return re.sub(rf"{pair}|\\.", _escaped, text.replace("\t", " "))


def _escaped(match: re.Match[str]) -> str:
    escape = match.group()
    if len(escape) == 12:
        return str(json.loads(f'"{escape}"'))
    return "/" if escape == r"\/" else escape


def _is_utf16(head: bytes) -> bool:
    """Whether every second byte of a text of Latin letters is zero."""
    return max(head[0::2].count(0), head[1::2].count(0)) * 4 > len(head)


def _not_utf8(data: bytes, at: int) -> DocumentError:
    begin = data.rfind(b"\n", 0, at) + 1
    line = data.count(b"\n", 0, at) + 1
    column = len(data[begin:at].decode(errors="replace")) + 1
    # Latin-1 has a letter for most bytes; seeing it, a person knows which one is meant.
    letter = data[at : at + 1].decode("cp1252", errors="ignore")
    meant = f", {letter} in Latin-1" if letter.isalpha() else ""
    return DocumentError(line, f"The file is not UTF-8: here stands the byte 0x{data[at]:02X}{meant}", _SAVE, column)
