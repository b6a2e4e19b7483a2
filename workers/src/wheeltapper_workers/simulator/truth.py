"""Ground truth: what really happened to the simulated plant, and when."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from wheeltapper_workers.simulator import duty
from wheeltapper_workers.simulator.duty import NS
from wheeltapper_workers.simulator.scenario import Fault, Scenario

EventKind = Literal["fault-onset", "fault-severity", "load-change", "stop", "start", "sensor-fault", "sensor-good"]


@dataclass(frozen=True, slots=True, order=True)
class TruthEvent:
    """One thing that happened.

    Attributes
    ----------
    time_ns : int
        Nanoseconds since the Unix epoch, to the millisecond.
    asset : str
    event : str
        fault-onset, fault-severity, load-change, stop or start; sensor-fault and sensor-good where a sensor goes wrong.
    value : float
        Severity reached, load (flow over best-efficiency flow) after the change, or 0 for stops and starts.
    fault : str
        Kind of fault; empty for operation.
    """

    time_ns: int
    asset: str
    event: EventKind
    value: float = 0.0
    fault: str = ""

    def document(self) -> dict[str, str | float]:
        """Line of ``truth.jsonl``; `time_ns` is exact, `time` is the same for people."""
        time = datetime.fromtimestamp(self.time_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        line: dict[str, str | float] = {
            "time": f"{time}.{self.time_ns % NS // 1_000_000:03d}Z",
            "time_ns": self.time_ns,
            "asset": self.asset,
            "event": self.event,
        }
        if self.event == "load-change":
            line["load"] = round(self.value, 3)
        elif self.event in {"fault-onset", "fault-severity"}:
            line["severity"] = round(self.value, 3)
        return line | ({"fault": self.fault} if self.fault else {})


def truth(scenario: Scenario, start_ns: int, end_ns: int, *, epoch_ns: int | None = None) -> list[TruthEvent]:
    """Return everything that happens in [start_ns, end_ns), in order of time.

    Parameters
    ----------
    scenario : Scenario
    start_ns, end_ns : int
        Nanoseconds since the Unix epoch.
    epoch_ns : int, optional
        First live start; without it there are no faults and no script.
    """
    if end_ns <= start_ns:
        return []
    first_s, last_s = start_ns // NS, -(-end_ns // NS)
    epoch_s = None if epoch_ns is None else epoch_ns // NS
    events = [
        *_faults(scenario, epoch_s),
        *_loads(scenario, epoch_s, first_s, last_s),
        *_stops(scenario, epoch_s, first_s, last_s),
    ]
    return sorted(event for event in events if start_ns <= event.time_ns < end_ns)


def append_truth(path: Path, events: Iterable[TruthEvent]) -> None:
    """Add events to a ``truth.jsonl`` in one write, so that a crash leaves no half of them."""
    lines = "".join(json.dumps(event.document()) + "\n" for event in events)
    if lines:
        with path.open("a", encoding="utf-8") as file:
            file.write(lines)


def written_until_ns(path: Path, default_ns: int) -> int:
    """Time from which events are still to be written: just after the last one in the file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return default_ns
    for line in reversed(lines):
        try:
            return int(json.loads(line)["time_ns"]) + 1
        except (ValueError, KeyError, TypeError):
            continue  # a line cut off by a full disk or a power cut
    return default_ns


def _ns(time_s: float) -> int:
    return round(time_s * 1000) * 1_000_000


def _faults(scenario: Scenario, epoch_s: int | None) -> Iterable[TruthEvent]:
    if epoch_s is None:
        return
    for fault in scenario.faults:
        onset_ns = epoch_s * NS + fault.start_ns
        yield TruthEvent(onset_ns, fault.asset, "fault-onset", 0.0, fault.kind)
        yield from _milestones(fault, onset_ns)


def _milestones(fault: Fault, onset_ns: int) -> Iterable[TruthEvent]:
    for tenth in range(1, 11):
        time_ns = onset_ns + fault.growth_ns * tenth // 10
        yield TruthEvent(time_ns, fault.asset, "fault-severity", tenth / 10, fault.kind)


def _loads(scenario: Scenario, epoch_s: int | None, first_s: int, last_s: int) -> Iterable[TruthEvent]:
    steps = duty.load_steps(scenario, first_s, last_s)
    held = duty.scripted_loads(scenario, epoch_s)
    for index, asset in enumerate(scenario.assets):
        # A random change under a scripted load is not felt by the pump, so it is not an event.
        spans = [interval for which, interval in held if which == index]
        for time, level in zip(steps.time_s[index], steps.after[index], strict=True):
            if not any(span.start_s <= time < span.end_s for span in spans):
                yield TruthEvent(_ns(time), asset, "load-change", float(level))
    for index, interval in held:
        yield TruthEvent(_ns(interval.start_s), scenario.assets[index], "load-change", interval.value)
        after = duty.load(scenario, epoch_s, np.array([int(interval.end_s + duty.LOAD_RAMP_S) + 1]))[index, 0]
        yield TruthEvent(_ns(interval.end_s), scenario.assets[index], "load-change", float(after))


def _stops(scenario: Scenario, epoch_s: int | None, first_s: int, last_s: int) -> Iterable[TruthEvent]:
    for asset, stops in zip(scenario.assets, duty.stop_intervals(scenario, epoch_s, first_s, last_s), strict=True):
        for stop in stops:
            yield TruthEvent(_ns(stop.start_s), asset, "stop")
            yield TruthEvent(_ns(stop.end_s), asset, "start")
