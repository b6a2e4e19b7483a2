"""Checks of a ``Plant``: its time zone, and its addressing against connections and classes."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from functools import lru_cache

from wheeltapper_api.checks.finding import Finding, check_address, invalid, not_found
from wheeltapper_api.kinds import AssetClass, Plant
from wheeltapper_api.kinds.plant import Addressing, Connection
from wheeltapper_api.resolve import Resolver, address_of

_TAG_REMEDY = "Put {tag} where the machine's tag belongs, or add shared: true if one sensor serves all machines"

ADDRESS_FIELDS = {"opcua": "node", "mqtt": "topic", "modbus": "register"}
"""Field of the address by protocol."""


def check_plant(plant: Plant, resolver: Resolver) -> Iterator[Finding]:
    """What is wrong within a plant and between its addressing and the classes."""
    zones = _time_zones()
    if zones and plant.spec.time_zone not in zones:
        yield not_found(plant, ("spec", "timeZone"), "time zone", plant.spec.time_zone, sorted(zones))
    for index, addressing in enumerate(plant.spec.addressing):
        yield from _check_addressing(plant, index, addressing, resolver)


def protocol_of(connection: Connection) -> str:
    """``opcua``, ``mqtt`` or ``modbus``."""
    return next(name for name in ADDRESS_FIELDS if getattr(connection, name) is not None)


def _check_addressing(plant: Plant, index: int, addressing: Addressing, resolver: Resolver) -> Iterator[Finding]:
    path = ("spec", "addressing", index)
    namespace = resolver.namespace(plant)
    asset_class = resolver.visible(AssetClass, namespace, addressing.asset_class)
    if asset_class is None:
        known = resolver.visible_names(AssetClass, namespace)
        yield not_found(plant, (*path, "class"), "AssetClass", addressing.asset_class, known)
    connections = {connection.name: connection for connection in plant.spec.connections}
    connection = connections.get(addressing.source)
    if connection is None:
        yield not_found(plant, (*path, "from"), "connection", addressing.source, connections)
    signals = [signal.name for signal in asset_class.spec.signals] if asset_class else []
    for at, entry in enumerate(addressing.signals):
        here = (*path, "signals", at)
        if asset_class is not None and entry.name not in signals:
            yield not_found(plant, (*here, "name"), "signal", entry.name, signals, f"class {asset_class.name}")
        protocol, address = address_of(entry)
        field = ADDRESS_FIELDS[protocol]
        wrong = list(check_protocol(plant, here, field, connection)) if connection is not None else []
        yield from wrong or check_address(plant, here, field, address or "")
        if address is not None and "{tag}" not in address and not entry.shared:
            message = f"The {field} has no {{tag}}, so every {addressing.asset_class} would read the same"
            yield invalid(plant, (*here, field), message, _TAG_REMEDY)


def check_protocol(
    resource: Plant, path: tuple[str | int, ...], field: str, connection: Connection
) -> Iterator[Finding]:
    """Whether an address is of the sort that a connection takes."""
    right = ADDRESS_FIELDS[protocol_of(connection)]
    if field != right:
        message = f"The connection {connection.name} is {protocol_of(connection)} and takes no {field}"
        yield invalid(resource, (*path, field), message, f"Write a {right} or name another connection")


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    # A system without a time zone database gives none; then nothing can be said about names.
    return frozenset(zoneinfo.available_timezones())
