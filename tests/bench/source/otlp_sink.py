"""Takes OTLP traces over HTTP and counts them: ``python -m tests.bench.source.otlp_sink``."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Sink(BaseHTTPRequestHandler):
    """Answers every export with success."""

    protocol_version = "HTTP/1.1"
    taken: list[bytes] = []

    def do_POST(self) -> None:
        """Take one export."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def spans() -> int:
    """Spans taken."""
    found = 0
    for body in Sink.taken:  # read only when asked: it is not part of what is measured
        request = ExportTraceServiceRequest.FromString(body)
        found += sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    Sink.taken.clear()
    return found


def main() -> None:
    """Serve until the end of standard input; each line asks for the count since the last."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"spans": spans()}), flush=True)


if __name__ == "__main__":
    main()
