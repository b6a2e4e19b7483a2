"""What the backbone holds for a tenant: streams and key-value buckets."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from wheeltapper_api.fields import Model


class StreamDefinition(Model):
    """A JetStream stream, kept on disk."""

    name: str
    subjects: Annotated[list[str], Field(min_length=1)]
    max_bytes: Annotated[int, Field(gt=0)]
    max_age_seconds: Annotated[int, Field(ge=0)] = 0
    """0 keeps messages until ``max_bytes`` is reached."""
    discard: Literal["old", "new"] = "old"
    """What gives way at the bound: the oldest messages, or the newest."""
    max_message_bytes: Annotated[int, Field(gt=0)] = 8 * 2**20
    max_messages_per_subject: Annotated[int, Field(ge=-1)] = -1
    """-1 keeps all."""
    duplicate_window_seconds: Annotated[int, Field(ge=1)] = 120


class BucketDefinition(Model):
    """A JetStream key-value bucket, kept on disk."""

    name: str
    history: Annotated[int, Field(ge=1, le=64)] = 1
    max_bytes: Annotated[int, Field(gt=0)] = 256 * 2**20


AUDIT: Final = StreamDefinition(
    name="AUDIT", subjects=["audit.>"], max_bytes=128 * 2**20, max_message_bytes=256 * 2**10
)
"""Who asked what through a tenant's gateway, which makes the stream; some hundred thousand commands."""

CHECKPOINTS: Final = "CHECKPOINTS"
"""Stream with copies of the workers' checkpoints, and what was learned for new configs: of every subject the last."""


def checkpoints(max_bytes: int) -> StreamDefinition:
    """Stream of the copies. At its bound the oldest give way: a worker without one goes on from its own disk."""
    return StreamDefinition(
        name=CHECKPOINTS, subjects=["checkpoints.>"], max_bytes=max_bytes, max_messages_per_subject=1
    )


def checkpoint_subject(key: str, place: str, part: int) -> str:
    """Subject of one part of a copy.

    Parameters
    ----------
    key : str
        Line and role.
    place : str
        Which of the two copies.
    """
    return f"checkpoints.{key}.{place}.{part}"


def learned_subject(key: str, generation: str) -> str:
    """Subject of what was learned from the past of a line for a config that it does not run yet."""
    return f"checkpoints.{key}.learned.{generation}"
