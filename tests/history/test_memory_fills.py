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

MERGING = """
import sys, threading
from tests.bench.storage import _messages
from tests.history.conftest import STORE
from tests.support.lines import LINE
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.runtime import memory

def aside(deed):  # as a worker does it, beside its event loop
    thread = threading.Thread(target=deed)
    thread.start()
    thread.join()

def resident():
    (found,) = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")]
    return found * 1024

memory.keep_freed()
payloads = [payload for payload, _ in _messages("noise", 100)]
historian, sequence = Historian(sys.argv[1], STORE), 0
for commit in range(40):
    for _ in range(8):
        sequence += 1
        payload = bytes(bytearray(payloads[sequence % len(payloads)]))
        historian.add(Stage.TELEMETRY, sequence, 1, LINE.subject(Stage.TELEMETRY, "c"), payload)
    aside(historian.commit)
before = resident()
aside(lambda: print(len(historian.compact())))
aside(memory.give_back)
print(before, resident())
"""


def child(script: str, *arguments: str) -> list[int]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.timeout(300)
def test_merging_leaves_nothing_behind(tmp_path):
    """With Arrow's own allocator, and an arena for each thread, some hundred MiB more would stay."""
    merged, before, after = child(MERGING, str(tmp_path))
    assert merged == 1
    assert after < 1.05 * before, f"{after / MIB:.0f} MiB instead of {before / MIB:.0f}"


@pytest.mark.parametrize(("blocks", "at_least_rows"), [("large", 4_000_000), ("tiny", 15_000)])
def test_full_historian_and_its_commit_fit_in_a_gigabyte(tmp_path, blocks, at_least_rows):
    """Without a bound on what one commit writes the large blocks take two and a half; uncounted, the tiny ones more."""
    rows, peak = child(CHILD, str(tmp_path), blocks)
    assert rows >= at_least_rows
    assert peak < 900 * MIB, f"{peak / MIB:.0f} MiB"
