"""A metric that is documented and not there, or there and not documented; buckets that do not answer an objective."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from wheeltapper_workers.runtime.metrics import DELAY_BUCKETS, INSTRUMENTS, measured, observe
from wheeltapper_workers.runtime.metrics_page import PAGE, page

NOW = 1_800_000_000 * 10**9
LINE = {"tenant": "northwater", "plant": "riverside", "assetClass": "pump", "shard": "s0"}
STATUS = {
    "timeNs": NOW,
    "conditions": [{"type": "Flowing", "status": "False"}, {"type": "Storing", "status": "True"}],
    "parts": {
        "collect-riverside-scada": {
            "connection": "scada", "plant": "riverside", "samples": 100, "duplicates": 2, "gaps": 3, "lost": 1,
            "blocks": 9, "bytesWritten": 900,
        },
        "score-riverside-pump-s0": {
            "role": "score", "line": LINE, "blocks": 5, "bytes": 50, "bytesWritten": 25, "pending": 4,
            "readNs": NOW - 90 * 10**9, "refused": 1, "unsavedSeconds": 2.5, "missed": {"messages": 8},
        },
        "store": {"commits": 7, "waitingRows": 11, "waitingBytes": 12, "missed": {"messages": 0}},
        "keep": {"streams": {"SCORES": {"bytes": 30, "maxBytes": 120, "unread": 6}}},
    },
}  # fmt: skip

EXPORTS = """
import numpy as np
from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.runtime import metrics
from tests.support.lines import healthy
status = {"timeNs": 1, "conditions": [{"type": "Flowing", "status": "True"}], "parts": {}}
provider = metrics.start("northwater-store", "northwater", lambda: status)
line = Line(tenant="northwater", plant="riverside", asset_class="pump")
metrics.record_delay("featurize", line, Stage.TELEMETRY, healthy(3).batch())
print(provider is not None)
if provider is not None:
    provider.shutdown()
"""


def test_page_is_that_of_the_instruments():
    assert PAGE.read_text(encoding="utf-8") == page(), "run make generate"


def test_every_instrument_is_measured_and_every_measure_has_one():
    names = [one.name for one in INSTRUMENTS]
    assert len(names) == len(set(names))
    assert all(name.startswith("wheeltapper.") for name in names)
    assert {name for name, _, _ in measured(STATUS)} == {one.name for one in INSTRUMENTS if one.kind != "histogram"}
    assert list(measured({})) == [], "before the first look"


def test_values_and_what_they_are_of():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe(provider.get_meter("wheeltapper"), lambda: STATUS)
    found = {
        (metric.name, *sorted(point.attributes.values())): point.value
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    provider.shutdown()
    of_line = ("pump", "riverside", "s0", "score")
    assert found["wheeltapper.samples", "collect", "riverside", "scada"] == 100
    assert found["wheeltapper.condition", "Flowing"] == 0
    assert found["wheeltapper.condition", "Storing"] == 1
    assert found["wheeltapper.stream.utilization", "SCORES"] == 0.25
    assert found["wheeltapper.reader.lag.time", *of_line] == 90
    assert found["wheeltapper.stage.io", *sorted((*of_line, "receive"))] == 50
    assert found["wheeltapper.messages.missed", *of_line] == 8
    assert found["wheeltapper.store.commits", "store"] == 7


@pytest.mark.parametrize("objective_s", [60, 300, 900])
def test_a_bucket_ends_where_an_objective_does(objective_s):
    assert objective_s in DELAY_BUCKETS


class Sink(BaseHTTPRequestHandler):
    taken: list[tuple[str, ExportMetricsServiceRequest]] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.taken.append((self.path, ExportMetricsServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def sink():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def exported(**environment):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", EXPORTS], env=plain | environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_exported_where_a_collector_is_named_with_exact_buckets(sink):
    assert exported(OTEL_EXPORTER_OTLP_ENDPOINT=sink) == "True"
    (path, request), *_ = Sink.taken
    assert path == "/v1/metrics"
    (resource,) = request.resource_metrics
    told = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    assert told["service.name"] == "northwater-store"
    assert told["wheeltapper.tenant"] == "northwater"
    by_name = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    (point,) = by_name["wheeltapper.stage.delay"].histogram.data_points
    assert tuple(point.explicit_bounds) == DELAY_BUCKETS
    assert point.count == 1
    assert by_name["wheeltapper.condition"].gauge.data_points[0].as_double == 1.0


def test_not_even_formed_where_none_is():
    assert exported() == "False"
