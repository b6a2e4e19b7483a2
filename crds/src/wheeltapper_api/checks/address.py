"""Whether an address is one of its protocol: OPC UA node ids and MQTT topics.

Node ids: OPC UA part 6, 5.3.1.10. Topics: MQTT 5, 4.7.
"""

from __future__ import annotations

import re
from typing import Final

_NODE: Final = re.compile(
    r"(?:ns=\d{1,5};|nsu=[^;]+;)?(?:i=(?:\d{1,10}|\{tag\})|s=.+|g=(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|\{tag\})|b=(?:[A-Za-z0-9+/]+=*|\{tag\}))",
    re.DOTALL,
)
_NODE_REMEDY: Final = "Write an optional namespace and an identifier, such as ns=2;s=P101.VibrationDE or ns=3;i=1017"


def address_mistake(field: str, address: str) -> tuple[str, str] | None:
    """What is wrong with an address, and what would be right; None where nothing is.

    Parameters
    ----------
    field
        ``node``, ``topic`` or ``register``.
    address
        The address, in which ``{tag}`` may stand for a machine's tag.
    """
    match field:
        case "node":
            return None if _NODE.fullmatch(address) else (f"{address} is not an OPC UA node id", _NODE_REMEDY)
        case "topic":
            return _topic_mistake(address)
        case _:
            return None


def _topic_mistake(topic: str) -> tuple[str, str] | None:
    levels = topic.split("/")
    for at, level in enumerate(levels):
        if "+" in level and level != "+":
            return f"In the topic {topic} a + stands beside other letters", "A + takes a whole level: hall/+/speed"
        if "#" in level and (level != "#" or at < len(levels) - 1):
            return f"In the topic {topic} the # is not the last level", "A # takes all levels that follow: hall/#"
    return None
