"""Logging of the commands that run for long: time, level and message, to standard error."""

from __future__ import annotations

import logging


def start_logging(*, quiet: bool = False) -> None:
    """Log to standard error; ``quiet`` leaves out what is not a warning, and chatty libraries say only errors."""
    level = logging.ERROR if quiet else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S", force=True)
    for name in ("asyncua", "nats", "opentelemetry"):
        logging.getLogger(name).setLevel(logging.ERROR)
