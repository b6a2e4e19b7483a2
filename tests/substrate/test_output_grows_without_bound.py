"""Whatever a worker writes, memory and disk stay bounded and the words stay readable."""

from __future__ import annotations

import os
import random
import resource
import signal
import time

import pytest

from tests.support.waiting import until
from wheeltapper_edge.substrates.processes import lines
from wheeltapper_edge.substrates.processes.lines import LINE_BYTES, LineCutter


def test_lines_do_not_depend_on_the_cut_of_the_bytes():
    random_ = random.Random(3)
    data = b"".join(b"x" * random_.choice([0, 1, 30, LINE_BYTES, 3 * LINE_BYTES]) + b"\n" for _ in range(60)) + b"rest"

    def cut(sizes) -> list[str]:
        cutter, found, at = LineCutter(), [], 0
        while at < len(data):
            size = sizes()
            found += cutter.feed(data[at : at + size])
            at += size
        return found + cutter.end()

    whole = cut(lambda: len(data))
    assert whole[-1] == "rest"
    assert max(map(len, whole)) == LINE_BYTES + len(" [cut]")
    assert cut(lambda: random_.choice([1, 7, 4096])) == whole
    assert cut(lambda: 1) == whole


def test_line_without_end_is_told_once_and_takes_no_memory():
    cutter = LineCutter()
    told = [line for _ in range(1000) for line in cutter.feed(b"y" * 10_000)]
    assert told == ["y" * LINE_BYTES + " [cut]"]
    assert cutter.feed(b"yy\nnext\n") == ["next"]


def test_bytes_that_are_no_text_are_shown_as_such():
    assert LineCutter().feed(b"\xff\xfe 100 %s %d\r\n") == ["\N{REPLACEMENT CHARACTER}" * 2 + " 100 %s %d"]


async def test_log_has_the_words_as_they_were(bench):
    await bench.run("worker", "print('100 % of %s, {}', flush=True); import signal; signal.pause()")
    await bench.hears("worker", "100 % of %s, {}")
    assert (bench.folder / "logs" / "worker.log").read_text().endswith(" 100 % of %s, {}\n")


async def test_words_without_line_end_before_a_crash_are_not_lost(bench):
    await bench.run("worker", "import os; os.write(1, b'half a line'); os.abort()")
    await until(lambda: bench.state("worker").failures, 10)
    assert bench.state("worker").last_words == "half a line"
    assert bench.state("worker").last_exit == "signal SIGABRT"


@pytest.mark.parametrize("data", ["'z' * 99 + chr(10)", "'z' * 8192"], ids=["lines", "no line end"])
async def test_flood_is_bounded_and_can_be_stopped(bench, monkeypatch, data):
    monkeypatch.setattr(lines, "LOG_BYTES", 100_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = f"import os\ndata = ({data}).encode() * 10\nwhile True: os.write(1, data)"
    await bench.run("worker", flood)
    await until(lambda: bench.said("worker"), 10)
    pid = bench.state("worker").pid
    await until(lambda: _written(pid) > 5_000_000, 20, "5 MB written")
    bench.lines.clear()  # what the test itself keeps
    started = time.monotonic()
    await bench.supervisor.stop(grace_s=5)
    assert time.monotonic() - started < 2
    logs = list((bench.folder / "logs").iterdir())
    assert sum(log.stat().st_size for log in logs) < 2 * 110_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB; the test keeps lines, too


async def test_log_goes_on_after_restarts(bench):
    await bench.run("worker", "import os, signal; print('pid', os.getpid(), flush=True); signal.pause()")
    await until(lambda: bench.said("worker"), 10)
    os.kill(bench.state("worker").pid, signal.SIGKILL)
    await until(lambda: len(bench.said("worker")) == 2, 10)
    await bench.supervisor.stop()
    assert (bench.folder / "logs" / "worker.log").read_text().count(" pid ") == 2


def _written(pid: int) -> int:
    with open(f"/proc/{pid}/io", encoding="ascii") as file:  # noqa: PTH123 - the kernel's own file
        return int(next(line for line in file if line.startswith("wchar")).split()[1])
