"""A backfill comes faster than the tables can be written: the historian holds no more than it may."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 2**20

CHILD = """
import sys
from tests.bench.storage import _messages
from tests.history.conftest import STORE, telemetry
from tests.support.lines import LINE
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.runtime.blocks import from_bytes, to_bytes

if sys.argv[2] == "large":
    payloads = [payload for payload, _ in _messages("noise", 100)]
else:
    payloads = [to_bytes(from_bytes(telemetry(10)[0].payload, Stage.TELEMETRY).slice(0, 1))]
historian, sequence = Historian(sys.argv[1], STORE), 0
while not historian.full:
    sequence += 1
    payload = bytes(bytearray(payloads[sequence % len(payloads)]))  # each message comes with memory of its own
    historian.add(Stage.TELEMETRY, sequence, 1, LINE.subject(Stage.TELEMETRY, "c"), payload)
rows = historian.buffered_rows
historian.commit()
assert historian.buffered_rows == historian._bytes == 0
(peak,) = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(rows, peak * 1024)
"""


@pytest.mark.parametrize(("blocks", "at_least_rows"), [("large", 4_000_000), ("tiny", 15_000)])
def test_full_historian_and_its_commit_fit_in_a_gigabyte(tmp_path, blocks, at_least_rows):
    """Without a bound on what one commit writes the large blocks take two and a half; uncounted, the tiny ones more."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), blocks],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    rows, peak = map(int, found.stdout.split())
    assert rows >= at_least_rows
    assert peak < 900 * MIB, f"{peak / MIB:.0f} MiB"
