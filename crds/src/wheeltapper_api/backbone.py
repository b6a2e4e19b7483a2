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
