"""Collector configs: the series of one connection, contracts merged, units turned into a scale and an offset."""

from __future__ import annotations

from typing import Any

from wheeltapper_api import units
from wheeltapper_api.config import CollectorConfig, SeriesConfig
from wheeltapper_api.fields import duration_ns, size_bytes
from wheeltapper_api.kinds import AssetTwin, Plant
from wheeltapper_api.kinds.plant import Connection, MqttConnection
from wheeltapper_api.resolve import Binding
from wheeltapper_api.wire import Line


def series_config(line: Line, twin: AssetTwin, binding: Binding) -> SeriesConfig:
    """Config of one signal of one asset."""
    signal, contract = binding.signal, binding.contract
    unit_scale, unit_offset = (
        units.conversion(binding.unit, signal.unit) if binding.unit and signal.unit else (1.0, 0.0)
    )
    bounds = contract.range
    return SeriesConfig(
        line=line,
        asset=twin.name,
        signal=signal.name,
        kind=signal.kind,
        address=binding.address,
        path=binding.path,
        time_path=binding.time_path,
        scale=binding.scale * unit_scale,
        offset=binding.offset * unit_scale + unit_offset,
        lowest=bounds.min if bounds else None,
        highest=bounds.max if bounds else None,
        max_rate=contract.max_rate,
        interval_ns=duration_ns(contract.interval),
        stale_after_ns=duration_ns(contract.stale_after),
        states={state.name: state.value for state in signal.states or []},
        sample_rate=signal.waveform.sample_rate if signal.waveform else None,
        burst_samples=signal.waveform.samples if signal.waveform else None,
    )


def collector_config(tenant: str, plant: Plant, connection: Connection, series: list[SeriesConfig]) -> CollectorConfig:
    """Config of the collector of a connection; its series come in the order of class, asset and signal."""
    protocol, endpoint, options, secret = _protocol(connection)
    return CollectorConfig(
        tenant=tenant,
        plant=plant.name,
        name=connection.name,
        protocol=protocol,
        endpoint=endpoint,
        options=options,
        secret=secret,
        max_ahead_ns=duration_ns(connection.clock.max_ahead),
        max_behind_ns=duration_ns(connection.clock.max_behind),
        series=series,
    )


def _mqtt_options(mqtt: MqttConnection) -> dict[str, Any]:
    return {"version": mqtt.version, "max_payload": size_bytes(mqtt.max_payload)}


def _protocol(connection: Connection) -> tuple[str, str, dict[str, Any], str | None]:
    if connection.opcua is not None:
        opcua = connection.opcua
        options = {
            "publishing_interval_ns": duration_ns(opcua.publishing_interval),
            "queue_size": opcua.queue_size,
            "security_policy": opcua.security.policy,
            "security_mode": opcua.security.mode,
        }
        return "opcua", opcua.endpoint, options, opcua.credentials_ref
    if connection.mqtt is not None:
        return "mqtt", connection.mqtt.url, _mqtt_options(connection.mqtt), connection.mqtt.credentials_ref
    if connection.modbus is not None:
        modbus = connection.modbus
        options = {"unit": modbus.unit, "poll_ns": duration_ns(modbus.poll)}
        return "modbus", f"{modbus.host}:{modbus.port}", options, None
    raise ValueError(f"Connection {connection.name} has no protocol")
