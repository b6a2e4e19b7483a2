from __future__ import annotations

import sys

import pytest

from tests.support.waiting import until
from wheeltapper_edge.command import Command
from wheeltapper_edge.substrates.processes.supervisor import Supervisor


class Bench:
    """A supervisor of tiny Python children, and what they have written."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.lines: list[tuple[str, str]] = []
        self.supervisor = Supervisor(folder / "logs", lambda name, line: self.lines.append((name, line)))

    def command(self, name: str, script: str, order: int = 0, *, env: tuple[tuple[str, str], ...] = ()) -> Command:
        return Command(name, (sys.executable, "-I", "-S", "-c", script), env, order)

    async def run(self, name: str, script: str) -> None:
        await self.supervisor.apply([self.command(name, script)])

    def said(self, name: str) -> list[str]:
        return [line for who, line in self.lines if who == name]

    async def hears(self, name: str, text: str, times: int = 1) -> None:
        await until(lambda: self.said(name).count(text) >= times, 10, f"{times} times {text!r} from {name}")

    def state(self, name: str):
        return self.supervisor.status()[name]


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    await bench.supervisor.stop(grace_s=0.2)
