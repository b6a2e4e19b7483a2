"""Errors a person can mend: each says what is wrong, where, and what to do about it."""

from __future__ import annotations


class SimulatorError(Exception):
    """The simulator cannot do what was asked; the message says what to change."""


class ScenarioError(SimulatorError, ValueError):
    """A scenario file cannot be read or says something impossible."""


class RecordingError(SimulatorError, ValueError):
    """A recording cannot be replayed; the message starts with ``file:line``."""
