"""What a gateway and its client say to each other: a request as JSON, an answer as a row of frames.

A frame is one byte that says what it is, its length in four bytes, the most significant first, and its content. What a
command wrote comes as files, each with a relative name; there are no links, owners or modes in it, as an archive format
would have.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from wheeltapper_api.fields import Model

PATH: Final = "/v1/commands"
LARGEST: Final = 64 * 2**10
"""Bytes of a frame's content at most."""
_HEAD: Final = struct.Struct(">BI")

_Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=32 * 2**10)]


class Kind(IntEnum):
    """What a frame is."""

    OUT = 1
    """Bytes of standard output."""
    ERROR = 2
    """Bytes of standard error."""
    FILE = 3
    """Name of a file, with slashes; its content follows."""
    CONTENT = 4
    """Bytes of the file that was named last."""
    END = 5
    """The exit code, in decimal digits. An answer without it was cut off."""


class Text(Model):
    """A file that comes with a request."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Without its folder."""
    text: str


class Request(Model):
    """A command to be run."""

    command: Annotated[list[_Word], Field(min_length=1, max_length=3)]
    options: dict[_Word, bool | _Value | Annotated[list[_Value], Field(max_length=64)]] = {}
    """By the parameter's name."""
    files: dict[_Word, Text] = {}
    """What parameters name, by the parameter's name."""
    folder: _Value = ""
    """Folder in which the person wants what the command writes; only for what the command says of it."""
    columns: Annotated[int, Field(ge=20, le=1000)] = 80
    """Width of the person's terminal."""
    colours: bool = False


class Refusal(Model):
    """Why nothing was run."""

    message: str


class FrameError(Exception):
    """An answer that is none, or was cut off."""


def frame(kind: Kind, content: bytes) -> bytes:
    """A frame as it is sent."""
    return _HEAD.pack(kind, len(content)) + content


def read_frame(read: Callable[[int], bytes]) -> tuple[Kind, bytes]:
    """Next frame of an answer; ``read`` gives so many bytes, or fewer at the end.

    Raises
    ------
    FrameError
        If the answer ends before, or is no answer of a gateway.
    """
    kind, length = _HEAD.unpack(_whole(read, _HEAD.size))
    if length > LARGEST or kind not in {one.value for one in Kind}:
        raise FrameError("What was answered is no answer of a gateway")
    return Kind(kind), _whole(read, length)


def _whole(read: Callable[[int], bytes], length: int) -> bytes:
    found = read(length)
    if len(found) < length:
        raise FrameError("The answer was cut off")
    return found
