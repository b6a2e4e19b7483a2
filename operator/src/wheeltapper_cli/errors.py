"""How a command ends: exit codes, and errors that a person reads as one sentence.

0: done. 1: it was tried and did not come to its end, such as a time-out or a worker that cannot run. 2: what was given
cannot be used, such as wrong options or files that do not validate.
"""

from __future__ import annotations

import click


class CommandError(click.ClickException):
    """Ends the command with code 1 and a message: what is wrong, and what to do."""

    exit_code = 1


class InvalidInputError(CommandError):
    """Ends the command with code 2: what was given cannot be used."""

    exit_code = 2
