"""From a Deployment to a command line: the first container's command and environment, with every symbol bound. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_SYMBOL: Final = re.compile(r"\$\{([a-z.]+)\}")
STOP_ORDER: Final = "wheeltapper.dev/stop-order"


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


def bind(deployment: Mapping[str, Any], symbols: Mapping[str, str]) -> Command:
    """Command of a Deployment with one container.

    Raises
    ------
    SubstrateError
        For a symbol that nobody binds.
    """
    metadata = deployment["metadata"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    arguments = [
        _bound(text, symbols, metadata["name"]) for text in (*container["command"], *container.get("args", ()))
    ]
    if arguments[0] == "python":  # an image has one by that name; here it is the one that runs
        arguments[0] = sys.executable
    environment = {e["name"]: _bound(e["value"], symbols, metadata["name"]) for e in container.get("env", ())}
    order = int(metadata.get("annotations", {}).get(STOP_ORDER, "0"))
    return Command(metadata["name"], tuple(arguments), tuple(sorted(environment.items())), order)


def _bound(text: str, symbols: Mapping[str, str], worker: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in symbols:
            raise SubstrateError(f"Worker {worker} asks for ${{{match[1]}}}; known are {', '.join(sorted(symbols))}")
        return symbols[match[1]]

    return _SYMBOL.sub(value, text)
