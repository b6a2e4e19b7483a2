"""The signals of a simulated pump, their units and their OPC UA node ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NAMESPACE_INDEX: Final = 2
AMBIENT: Final = "ambient-temperature"
# Written in capitals in node ids, as plants do: drive end and non-drive end.
_ABBREVIATIONS: Final = {"de": "DE", "nde": "NDE"}


@dataclass(frozen=True, slots=True)
class Signal:
    """One measured quantity.

    Attributes
    ----------
    name : str
        DNS-1123 label.
    unit : str
        UCUM code.
    decimals : int
        Resolution of the transmitter, as decimals of the unit.
    """

    name: str
    unit: str
    decimals: int


PUMP_SIGNALS: Final = (
    Signal("vibration-de", "mm/s", 3),
    Signal("vibration-nde", "mm/s", 3),
    Signal("bearing-temperature-de", "Cel", 2),
    Signal("bearing-temperature-nde", "Cel", 2),
    Signal("flow", "m3/h", 2),
    Signal("suction-pressure", "bar", 4),
    Signal("discharge-pressure", "bar", 4),
    Signal("power", "kW", 3),
    Signal("current", "A", 2),
    Signal("speed", "/min", 1),
    Signal("seal-leakage", "mL/min", 2),
)
AMBIENT_SIGNAL: Final = Signal(AMBIENT, "Cel", 2)
SIGNAL_NAMES: Final = tuple(signal.name for signal in PUMP_SIGNALS)


def camel_case(label: str) -> str:
    """CamelCase of a DNS-1123 label: ``vibration-de`` becomes ``VibrationDE``, ``p-101`` becomes ``P101``."""
    return "".join(_ABBREVIATIONS.get(part, part.capitalize()) for part in label.split("-"))


def node_name(asset: str, signal: str) -> str:
    """Identifier of a node inside its namespace, such as ``P101.VibrationDE``."""
    return f"{camel_case(asset)}.{camel_case(signal)}"


def node_id(asset: str, signal: str) -> str:
    """OPC UA node id of a signal, such as ``ns=2;s=P101.VibrationDE``."""
    return f"ns={NAMESPACE_INDEX};s={node_name(asset, signal)}"
