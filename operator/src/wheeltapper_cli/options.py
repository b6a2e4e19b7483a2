"""Options that several commands share."""

from __future__ import annotations

from typing import Final

import click

OUTPUT: Final = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
TENANT: Final = click.option("--tenant", help="Where there is more than one.")
