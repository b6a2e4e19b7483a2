"""Tracing: one span a block, its context in the message's headers, so that an alert's trace begins at the sensor.

Spans are always formed, since their ids are part of the lineage. They leave the process only where the usual
``OTEL_EXPORTER_OTLP_ENDPOINT`` names a collector.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from wheeltapper_api.wire import HEADER_TRACE

_propagator = TraceContextTextMapPropagator()


def start(worker: str, tenant: str) -> TracerProvider:
    """Provider of a worker process; close it with ``shutdown``."""
    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": worker, "service.namespace": "wheeltapper", "wheeltapper.tenant": tenant}
        )
    )
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        # Imported here: without a collector nobody pays for its libraries.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


@contextmanager
def span(tracer: Tracer, name: str, parent: str, attributes: Mapping[str, str | int]) -> Iterator[Span]:
    """Span of one block, child of the span in the ``traceparent`` of the block it works on."""
    context = _propagator.extract({HEADER_TRACE: parent}) if parent else None
    with tracer.start_as_current_span(name, context=context, attributes=dict(attributes)) as current:
        yield current


def headers() -> dict[str, str]:
    """Headers that carry the current span on."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier


def trace_id(traceparent: str) -> str:
    """Trace id of a ``traceparent``, empty if there is none."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""
