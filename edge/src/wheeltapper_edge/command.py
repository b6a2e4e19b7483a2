"""What a substrate runs, and why it cannot."""

from __future__ import annotations

from dataclasses import dataclass


class SubstrateError(Exception):
    """What was asked cannot be run; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Command:
    """A worker as a process."""

    name: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    stop_order: int = 0
    """The lowest is stopped first."""
