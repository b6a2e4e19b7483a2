"""Metrics by OpenTelemetry, exported where ``OTEL_EXPORTER_OTLP_ENDPOINT`` names a collector, else not even formed.

Nearly all of them are read from the status document when they are exported, so they cost the flow nothing; only the
distribution of delays is recorded, once a block.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import pyarrow as pa
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from wheeltapper_api.wire import Line, Quality, Stage
from wheeltapper_workers.runtime.blocks import numbers
from wheeltapper_workers.runtime.conditions import lag_ns

Status = Mapping[str, Any]
Measured = tuple[str, float, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric: its kind, unit (UCUM) and meaning."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str


DELAY: Final = "wheeltapper.stage.delay"
DELAY_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0)
"""In seconds. Freshness objectives are mostly 60 s, 5 min or 15 min, so there a bucket ends exactly."""

INSTRUMENTS: Final = (
    Instrument("wheeltapper.samples", "counter", "{sample}", "Samples taken from sources, repeated ones not counted"),
    Instrument("wheeltapper.samples.duplicate", "counter", "{sample}", "Samples that came again and were left out"),
    Instrument("wheeltapper.gaps", "counter", "{gap}", "Stretches that a source did not deliver as they came"),
    Instrument("wheeltapper.gaps.lost", "counter", "{gap}", "Those of them that the source could not fill later"),
    Instrument(
        "wheeltapper.messages.missed",
        "counter",
        "{message}",
        "Messages that left a stream before a reader came to them; of a stream that lines share, those of all lines",
    ),
    Instrument("wheeltapper.blocks", "counter", "{block}", "Blocks that a stage has worked through"),
    Instrument("wheeltapper.blocks.refused", "counter", "{block}", "Messages that were no blocks and were left out"),
    Instrument("wheeltapper.stage.io", "counter", "By", "Bytes that a stage has read from or written to streams"),
    Instrument(
        DELAY,
        "histogram",
        "s",
        "Time from the newest sample or window end of a block to the moment at which the stage was done with it",
    ),
    Instrument("wheeltapper.reader.lag", "gauge", "{message}", "Messages that wait behind the one a stage read last"),
    Instrument(
        "wheeltapper.reader.lag.time",
        "gauge",
        "s",
        "Time since the message that a stage read last was stored, while others wait behind it; else 0",
    ),
    Instrument("wheeltapper.checkpoint.age", "gauge", "s", "Time for which a state has been ahead of its checkpoint"),
    Instrument("wheeltapper.stream.size", "gauge", "By", "Bytes that a stream holds"),
    Instrument("wheeltapper.stream.limit", "gauge", "By", "Bytes that a stream may hold"),
    Instrument("wheeltapper.stream.utilization", "gauge", "1", "Share of its limit that a stream holds"),
    Instrument("wheeltapper.stream.unread", "gauge", "{message}", "Messages that its slowest reader still needs"),
    Instrument("wheeltapper.store.commits", "counter", "{commit}", "Commits of the tables"),
    Instrument("wheeltapper.store.waiting", "gauge", "{row}", "Rows that wait in memory for the next commit"),
    Instrument("wheeltapper.store.waiting.size", "gauge", "By", "Bytes that wait in memory for the next commit"),
    Instrument("wheeltapper.condition", "gauge", "1", "1 while a condition of the worker holds, else 0"),
)

_delay = metrics.get_meter("wheeltapper").create_histogram(
    DELAY, "s", explicit_bucket_boundaries_advisory=DELAY_BUCKETS
)


def start(worker: str, tenant: str, status: Callable[[], Status]) -> MeterProvider | None:
    """Provider of a worker process if there is somewhere to export to; close it with ``shutdown``.

    Parameters
    ----------
    status
        Newest status document; called in a thread of the exporter.
    """
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return None
    # Imported here: without a collector nobody pays for its libraries.
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

    resource = Resource.create(
        {"service.name": worker, "service.namespace": "wheeltapper", "wheeltapper.tenant": tenant}
    )
    provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource)
    metrics.set_meter_provider(provider)
    observe(provider.get_meter("wheeltapper"), status)
    return provider


def observe(meter: Meter, status: Callable[[], Status]) -> None:
    """Make the instruments that are read from the status document."""
    for instrument in INSTRUMENTS:
        callback = partial(_observed, instrument.name, status)
        if instrument.kind == "counter":
            meter.create_observable_counter(instrument.name, [callback], instrument.unit, instrument.meaning)
        elif instrument.kind == "gauge":
            meter.create_observable_gauge(instrument.name, [callback], instrument.unit, instrument.meaning)


def record_delay(role: str, line: Line, stage: Stage, batch: pa.RecordBatch) -> None:
    """Record how long ago the newest of a block was measured that a role has just finished with.

    Parameters
    ----------
    stage
        Stream of the block. Of samples whose clock is not believed none counts.
    """
    times = numbers(batch, "source_time" if stage is Stage.TELEMETRY else "window_end")
    if stage is Stage.TELEMETRY:
        times = times[numbers(batch, "quality") & int(Quality.CLOCK) == 0]
    if len(times):
        attributes = {"wheeltapper.stage": role, **_of_line(line.plant, line.asset_class, line.shard)}
        _delay.record(max(0, time.time_ns() - int(times.max())) / 1e9, attributes)


def _of_line(plant: str, asset_class: str, shard: str) -> dict[str, str]:
    return {"wheeltapper.plant": plant, "wheeltapper.class": asset_class, "wheeltapper.shard": shard}


def _observed(name: str, status: Callable[[], Status], _: CallbackOptions) -> Iterable[Observation]:
    return [Observation(value, attributes) for found, value, attributes in measured(status()) if found == name]


def measured(status: Status) -> Iterator[Measured]:
    """Everything a status document tells: name, value, attributes. Pure."""
    for condition in status.get("conditions", []):
        holds = float(condition["status"] == "True")
        yield "wheeltapper.condition", holds, {"wheeltapper.condition.type": condition["type"]}
    for part in status.get("parts", {}).values():
        attributes = _attributes(part)
        yield from ((name, float(part[key]), attributes) for key, name in _PLAIN.items() if key in part)
        for key, way in (("bytes", "receive"), ("bytesWritten", "transmit")):
            if key in part:
                yield "wheeltapper.stage.io", part[key], attributes | {"network.io.direction": way}
        if "missed" in part:
            yield "wheeltapper.messages.missed", part["missed"]["messages"], attributes
        if "readNs" in part:
            yield "wheeltapper.reader.lag.time", lag_ns(part, status["timeNs"]) / 1e9, attributes
        for name, stream in part.get("streams", {}).items():
            yield from _of_stream(stream, {"wheeltapper.stream": name})


def _of_stream(stream: Mapping[str, Any], attributes: dict[str, str]) -> Iterator[Measured]:
    yield "wheeltapper.stream.size", stream["bytes"], attributes
    yield "wheeltapper.stream.limit", stream["maxBytes"], attributes
    yield "wheeltapper.stream.utilization", stream["bytes"] / stream["maxBytes"], attributes
    if stream["unread"] is not None:
        yield "wheeltapper.stream.unread", stream["unread"], attributes


def _attributes(part: Mapping[str, Any]) -> dict[str, str]:
    if "line" in part:
        line = part["line"]
        return {"wheeltapper.stage": part["role"], **_of_line(line["plant"], line["assetClass"], line["shard"])}
    if "connection" in part:
        return {
            "wheeltapper.stage": "collect",
            "wheeltapper.plant": part["plant"],
            "wheeltapper.connection": part["connection"],
        }
    return {"wheeltapper.stage": "store"}


_PLAIN: Final = {
    "samples": "wheeltapper.samples",
    "duplicates": "wheeltapper.samples.duplicate",
    "gaps": "wheeltapper.gaps",
    "lost": "wheeltapper.gaps.lost",
    "blocks": "wheeltapper.blocks",
    "refused": "wheeltapper.blocks.refused",
    "pending": "wheeltapper.reader.lag",
    "unsavedSeconds": "wheeltapper.checkpoint.age",
    "commits": "wheeltapper.store.commits",
    "waitingRows": "wheeltapper.store.waiting",
    "waitingBytes": "wheeltapper.store.waiting.size",
}
"""Instruments that are a number of a part's summary as it stands."""
