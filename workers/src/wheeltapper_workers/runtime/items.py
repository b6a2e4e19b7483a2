"""Messages of a stream, as a role takes them: blocks, ticks, and what an output says of its input."""

from __future__ import annotations

from wheeltapper_api.wire import HEADER_GENERATION, HEADER_TICK, HEADER_TRACE, Stage
from wheeltapper_workers.runtime.blocks import Block, Item, Tick, from_bytes
from wheeltapper_workers.runtime.jetstream import Message


def read_item(stage: Stage, message: Message) -> Item:
    """Block or tick of a message.

    Raises
    ------
    ValueError
        If it is neither.
    """
    generation = message.headers.get(HEADER_GENERATION, "")
    tick = message.headers.get(HEADER_TICK)
    if tick is not None:
        if not tick.isdecimal() or len(tick) > 19:
            raise ValueError(f"{tick[:40]!r} is no time")
        return Tick(stage.stream, message.sequence, int(tick), generation, message.data)
    batch = from_bytes(message.data, stage)
    return Block(stage.stream, message.sequence, batch, message.headers.get(HEADER_TRACE, ""), generation)


def parse_input(text: str) -> tuple[int, int]:
    """Stream sequence and part of an input that a header names; (0, -1) where it names none."""
    sequence, _, part = text.partition(":")
    return (int(sequence), int(part)) if sequence.isdecimal() and part.isdecimal() else (0, -1)
