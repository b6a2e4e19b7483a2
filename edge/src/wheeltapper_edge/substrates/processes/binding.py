"""From a Deployment to a command line: the first container's command and environment, with every symbol bound. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from wheeltapper_edge.command import Command, SubstrateError

_SYMBOL: Final = re.compile(r"\$\{([^}]*)\}")
STOP_ORDER: Final = "wheeltapper.dev/stop-order"


def bind(deployment: Mapping[str, Any], symbols: Mapping[str, str]) -> Command:
    """Command of a Deployment with one container.

    Raises
    ------
    SubstrateError
        For a symbol that nobody binds, and for a variable whose value only Kubernetes knows.
    """
    metadata = deployment["metadata"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    arguments = [
        _bound(text, symbols, metadata["name"]) for text in (*container["command"], *container.get("args", ()))
    ]
    if arguments[0] == "python":  # an image has one by that name; here it is the one that runs
        arguments[0] = sys.executable
    environment = {}
    for entry in container.get("env", ()):
        if "value" not in entry:
            raise SubstrateError(
                f"Worker {metadata['name']}: {entry['name']} has no value that is known without a cluster"
            )
        environment[entry["name"]] = _bound(entry["value"], symbols, metadata["name"])
    order = int(metadata.get("annotations", {}).get(STOP_ORDER, "0"))
    return Command(metadata["name"], tuple(arguments), tuple(sorted(environment.items())), order)


def _bound(text: str, symbols: Mapping[str, str], worker: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in symbols:
            raise SubstrateError(f"Worker {worker} asks for ${{{match[1]}}}; known are {', '.join(sorted(symbols))}")
        return symbols[match[1]]

    return _SYMBOL.sub(value, text)
