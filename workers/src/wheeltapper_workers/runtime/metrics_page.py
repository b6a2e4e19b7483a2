"""Write docs/metrics.md from the table of instruments: ``python -m wheeltapper_workers.runtime.metrics_page``.

With ``--check`` it only says whether the page is right.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from wheeltapper_workers.runtime.metrics import DELAY_BUCKETS, INSTRUMENTS

PAGE: Final = Path(__file__).parents[4] / "docs" / "metrics.md"

_HEAD: Final = """\
# Metrics

Generated from the workers' own table of instruments by `make generate`.

Every worker exports by OTLP over HTTP where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector, beside its traces; the
other `OTEL_` variables hold too, such as `OTEL_METRIC_EXPORT_INTERVAL`. Without an endpoint nothing is exported. The
resource has `service.name` (the worker), `service.namespace` (`wheeltapper`) and `wheeltapper.tenant`.

| name | kind | unit | meaning |
|---|---|---|---|
"""
_TAIL: Final = """
Counters begin at 0 with their process. Attributes say of what a number is: `wheeltapper.stage` (collect, featurize,
score, alert, store) with `wheeltapper.plant`, `wheeltapper.class` and `wheeltapper.shard`, or with
`wheeltapper.connection`; `wheeltapper.stream`; `wheeltapper.condition.type`; of bytes `network.io.direction`.

Delays are counted in buckets that end at {buckets} s.
Objectives of 60 s, 5 min and 15 min are answered exactly, since a bucket ends there.
"""


def page() -> str:
    """Text of the page."""
    rows = "".join(f"| `{one.name}` | {one.kind} | `{one.unit}` | {one.meaning} |\n" for one in INSTRUMENTS)
    return _HEAD + rows + _TAIL.format(buckets=", ".join(f"{bound:g}" for bound in DELAY_BUCKETS))


def main(arguments: list[str]) -> int:
    """Write the page, or compare it where ``--check`` is given; the exit code is 1 if it differs."""
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write("docs/metrics.md is not what the instruments give; run make generate\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
